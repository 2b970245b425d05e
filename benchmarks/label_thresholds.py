"""Thresholds of several labels a row: how F1 chooses them, and what that is worth on other rows.

    python -m benchmarks.label_thresholds --data goemotions/train.parquet

One-vs-rest logistic regressions on tf-idf give probabilities; thresholds are chosen on one half of
some rows and scored on the other, and the other way round, ten times over. Training rows alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import MultiLabelBinarizer

from tightfit.metrics.thresholds import F1
from tightfit.tasks.label_set_thresholds import USUAL, best_f1

TRAINED, HELD, TIMES = 10_000, 5_400, 10
ROWS = (100, 300, 1_000, HELD)
NOW = "10 expected, at most x 1.5, drawn towards a shared one (now)"
RULES: dict[str, tuple[F1, int]] = {
    "F1 alone, 0.5 below 5 rows": (F1(1), 5),
    "F1 alone": (F1(1), 1),
    "10 rows expected": (F1(1, 10.0), 1),
    **{f"10 expected, at most x {most:g}": (F1(1, 10.0, most), 1) for most in (1, 1.5, 2, 3)},
    "10 expected, at most x 1.5, 0.5 below 5": (F1(1, 10.0, 1.5), 5),
    **{f"{rows:g} expected, at most x 1.5": (F1(1, rows, 1.5), 1) for rows in (0, 5, 20, 40)},
}
"""Each with the fewest rows of a label, in a half, from which on it applies."""

Shares = NDArray[np.float64]
Marks = NDArray[np.bool_]


def probabilities(path: Path) -> tuple[Shares, Marks]:
    """Of the held rows, and which labels they have: (N, K) both."""
    table = pq.read_table(path)
    order = np.random.default_rng(0).permutation(len(table))
    true_NK = MultiLabelBinarizer().fit_transform(table["labels"].to_pylist())
    texts = np.array(table["text"].to_pylist(), dtype=object)
    own, held = order[:TRAINED], order[TRAINED : TRAINED + HELD]
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    model = OneVsRestClassifier(LogisticRegression(C=4, max_iter=200))
    model.fit(words.fit_transform(texts[own]), true_NK[own])
    return model.predict_proba(words.transform(texts[held])), true_NK[held].astype(bool)


def threshold(rule: F1, least: int, share_N: Shares, true_N: Marks) -> float:
    """By the rule, or the usual one."""
    if true_N.sum() < least:
        return USUAL
    found = rule.choose(np.stack([1 - share_N, share_N], axis=1), true_N.astype(np.int64))
    return USUAL if found is None else found


def cuts(name: str, shares_NK: Shares, true_NK: Marks) -> Shares:
    """A threshold for each label, by a rule."""
    if name == NOW:
        return best_f1(shares_NK, true_NK)
    alone = zip(shares_NK.T, true_NK.T, strict=True)
    return np.array([threshold(*RULES[name], share_N, true_N) for share_N, true_N in alone])


def scores(name: str, shares_NK: Shares, true_NK: Marks, rows: int) -> Shares:
    """Means of micro and macro F1 and exact matches, in percent, and of labels a row."""
    found = []
    for seed in range(TIMES):
        chance = np.random.default_rng(seed)
        drawn = chance.permutation(len(true_NK))[:rows]
        p_NK, y_NK, half_N = shares_NK[drawn], true_NK[drawn], chance.permutation(rows) < rows // 2
        given_NK = np.empty_like(y_NK)
        for here in (half_N, ~half_N):
            given_NK[here] = p_NK[here] >= cuts(name, p_NK[~here], y_NK[~here])
        f1 = [
            100 * f1_score(y_NK, given_NK, average=x, zero_division=0) for x in ("micro", "macro")
        ]
        exact = 100 * (given_NK == y_NK).all(axis=1).mean()
        found.append([*f1, exact, given_NK.sum(axis=1).mean()])
    return np.mean(found, axis=0)


def main() -> None:
    """Print a table for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    shares_NK, true_NK = probabilities(parser.parse_args().data)
    for rows in ROWS:
        print(f"\n| {rows:,} rows | micro F1 | macro F1 | exact | labels a row |")
        print("| --- " * 5 + "|")
        for name in (*RULES, NOW):
            told = scores(name, shares_NK, true_NK, rows)
            cells = [f"{each:.1f}" for each in told[:3]] + [f"{told[3]:.2f}"]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
