"""Encoders, characters and both on seven data sets in three languages: one resumable command.

    python -m benchmarks.languages --root shared/data --work WORK --rows 700 --seeds 0 1 2

Every system trains on the same rows and is scored once on the test rows (AG News, whose official
test rows stay untouched, on rows held out of its training file), on 2,000 at most. `tightfit` has
its untouched defaults and both embedded encoders at hand. A cell that is in `benchmarks/cells` is
not computed again; what takes too long can be left for another time by `--seeds`, `--sets` and
`--systems`: the table has all cells that are there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from benchmarks.cells import MODEL, Figures, System, Task, by_recipe, columns, options, task
from benchmarks.sizes import interval, percent
from tightfit.budget.parts import SidePlan
from tightfit.data.labels import LabelSet
from tightfit.data.text_tokenizer import TextTokenizer
from tightfit.model.locate import locate
from tightfit.progress import RichProgress
from tightfit.tasks import SingleLabel
from tightfit.tasks.labelled_rows import LabelledRows
from tightfit.tasks.labelled_texts import LabelledTexts
from tightfit.tasks.linear_probe import RidgeProblem, fit_probe
from tightfit.training.frozen_probe import both_features, tokens_of
from tightfit.training.side_choice import MOST_NGRAMS, factor_of
from tightfit.training.side_solver import SideSolver

SETS = ("gnad10", "zh_reviews", "trec6", "sst2", "tweet_emotion", "banking77", "ag_news")
SCORED = 2_000
E5 = "multilingual-e5-small"
LENGTH = 256
"""Tokens of a text that are read, as in the default recipe."""
STRENGTHS = (1.0, 10.0, 100.0)

Ids = NDArray[np.int64]
Answer = Callable[[list[str], Ids, list[str]], tuple[Ids, int]]
"""From training texts, their labels and other texts: answers to those, and numbers that trained."""


def main(words: Sequence[str] | None = None) -> None:
    """Run every cell that is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options(parser, "benchmarks/LANGUAGES.md")
    args = parser.parse_args(words)
    for seed in args.seeds:
        args.seed = seed
        for name in args.sets:
            rows = task(args, name, scored=SCORED)
            for system in args.systems:
                rows.cell(system, SYSTEMS[system])
                args.out.write_text(table(args.cells, args.rows))


def _timed(answer: Answer) -> System:
    def run(task: Task, seconds: float) -> Figures:
        texts, labels, held_texts, held_labels = *columns(task.train), *columns(task.held)
        every, ids_N = np.unique(labels, return_inverse=True)
        started = time.perf_counter()
        answers_N, trainable = answer(texts, ids_N, held_texts)
        taken = time.perf_counter() - started
        right = int((every[answers_N] == np.array(held_labels)).sum())
        return {"right": right, "rows": len(held_texts), "seconds": taken, "trainable": trainable}

    return run


def _tfidf(texts: list[str], ids_N: Ids, held: list[str], **features: Any) -> tuple[Ids, int]:
    """Rare runs weighted up, and a logistic regression whose strength is cross-validated."""
    linear = GridSearchCV(LogisticRegression(max_iter=1_000), {"C": STRENGTHS}, cv=3)
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True, **features), linear)
    answers_N = model.fit(texts, ids_N).predict(held)
    best = linear.best_estimator_
    return answers_N, int(best.coef_.size + best.intercept_.size)


def _means(name: str, texts: list[str]) -> NDArray[np.float32]:
    """Mean embeddings of a frozen encoder, without words before the texts."""
    source = locate(name)
    tokens = tokens_of(source, TextTokenizer.of(source.folder), texts, LENGTH)
    return both_features(source, tokens, RichProgress())[1]


def _encoder(name: str, texts: list[str], ids_N: Ids, held: list[str]) -> tuple[Ids, int]:
    """Logistic regression on mean embeddings."""
    rows = LabelledRows(ids_N)
    found = fit_probe(_means(name, texts), rows, num_labels=int(ids_N.max()) + 1)
    logits_MK = _means(name, held) @ found.weight_KF.T + found.bias_K
    return logits_MK.argmax(1), found.weight_KF.size + found.bias_K.size


def _stack(name: str, texts: list[str], ids_N: Ids, held: list[str]) -> tuple[Ids, int]:
    """Least squares on mean embeddings plus a side head, weighted by rows that neither saw."""
    ids = range(int(ids_N.max()) + 1)
    task = SingleLabel(LabelSet(tuple(map(str, ids)), tuple(ids)))
    plan, features_NF = SidePlan(MOST_NGRAMS, task.outputs), _means(name, texts)
    rows = LabelledTexts(ids_N, texts)
    side = SideSolver(plan, task, rows, seed=0)
    factor = factor_of(task, task.unseen(features_NF, rows), side.unseen(), ids_N)
    found = RidgeProblem.of(features_NF, task.wanted(ids_N)).solve()
    logits_MK = _means(name, held) @ found.weight_KF.T + found.bias_K
    logits_MK += factor * side.head.logits(held)
    return logits_MK.argmax(1), found.weight_KF.size + found.bias_K.size + plan.parameters


def table(cells: Path, rows: int) -> str:
    """A row a set, a column a system: means over the draws that are there; and differences."""
    found = {name: _draws(cells, name, rows) for name in SETS}
    lines = [
        "# Languages\n",
        f"Accuracy in % with {rows} training rows, means over draws of rows (their number in "
        "brackets). Made by `python -m benchmarks.languages`.\n",
        "| set | " + " | ".join(SYSTEMS) + " |",
        "| --- |" + " ---: |" * len(SYSTEMS),
    ]
    for name, draws in found.items():
        told = (_mean([draw[one] for draw in draws if one in draw]) for one in SYSTEMS)
        lines.append(f"| {name} | " + " | ".join(told) + " |")
    for words, peers in (("the best without training of adapters", FROZEN), (ALONE, [ALONE])):
        by_set = {
            name: less
            for name, draws in found.items()
            if (less := [_less(d, peers) for d in draws if {OWN, *peers} <= d.keys()])
        }
        if by_set:
            lines.append("\n" + interval(OWN, words, by_set))
    return "\n".join(lines) + "\n"


def _draws(cells: Path, name: str, rows: int) -> list[dict[str, float]]:
    """Of each draw of a set, the accuracy of the systems that are there."""
    return [
        {file.stem: percent(json.loads(file.read_text())) for file in sorted(folder.glob("*.json"))}
        for folder in sorted(cells.glob(f"{name}-{rows}-*"))
    ]


def _mean(found: Sequence[float]) -> str:
    return f"{np.mean(found):.1f} ({len(found)})" if found else ""


def _less(draw: Mapping[str, float], peers: Sequence[str]) -> float:
    return draw[OWN] - max(draw[peer] for peer in peers)


OWN, ALONE = "tightfit", "tightfit-MiniLM"
SYSTEMS: dict[str, System] = {
    "words": _timed(partial(_tfidf, ngram_range=(1, 2))),
    "characters": _timed(partial(_tfidf, analyzer="char", ngram_range=(1, 3))),
    "MiniLM": _timed(partial(_encoder, MODEL)),
    "e5": _timed(partial(_encoder, E5)),
    "MiniLM-stack": _timed(partial(_stack, MODEL)),
    "e5-stack": _timed(partial(_stack, E5)),
    ALONE: by_recipe("tight"),
    OWN: by_recipe("tight", model="auto"),
}
FROZEN = [name for name in SYSTEMS if name not in (OWN, ALONE)]


if __name__ == "__main__":
    main()
