"""What label names and texts without labels are worth, on rows of training files alone.

    python -m benchmarks.names --root shared/data --work WORK --questions gate pool

``gate``: a probe on the frozen encoder never with a sentence a label, always, where the gate of
before wanted it (a binomial test of the nearest name, and as good as a probe), and where
out-of-fold log loss does. ``pool``: heads with and without texts that have no label, from names
alone (size 0) and from rows. ``start``: trainings of 8 rows a class, by their out-of-fold answers
and on rows that nobody saw; with adapters scaled down, and with answers averaged with those of the
start. ``command``: ``train --label-names`` without and with 2,000 texts, on test rows.

A cell is a line of ``benchmarks/cells/names.jsonl`` and is not computed again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from accelerate.utils import set_seed
from numpy.typing import NDArray
from scipy.stats import binomtest

import tightfit
from benchmarks.cells import keep_line, read_lines
from benchmarks.sizes import SETS, mean_embeddings, read_table
from tightfit.config import load_config
from tightfit.data.name_sentences import TEMPLATE, sentences
from tightfit.data.table import Table
from tightfit.data.text_tokenizer import tokenise
from tightfit.model.classifier import predict_logits
from tightfit.model.embedded import MINILM
from tightfit.model.locate import locate
from tightfit.progress import Progress
from tightfit.tasks import SingleLabel
from tightfit.tasks.dataset import read_dataset
from tightfit.tasks.labelled_rows import LabelledRows
from tightfit.tasks.solved_head import HeadProblem, out_of_fold
from tightfit.training.answers import Answers
from tightfit.training.blend import SCALES, blended
from tightfit.training.cross_validate import cross_validate
from tightfit.training.gradients import watch_over
from tightfit.training.label_names import PROBE_STRENGTH
from tightfit.training.loop import Loop
from tightfit.training.prepare import plan_for, prepare
from tightfit.training.setup import Setup
from tightfit.training.solve import NAMES_STRENGTH, solve_head

KNOWN, POOL, SCORED, HELD = 3_500, 1_500, 1_000, 500
"""Rows of a file that are embedded; of those, texts without a label, and rows that score: heads
on embeddings, and trainings."""

PLAIN_NAMES = {
    "ag_news": ["world news", "sports", "business", "science and technology"],
    "trec6": ["abbreviation", "entity", "description", "human", "location", "numeric value"],
}
"""Where the file has numbers or codes for names."""

Figures = dict[str, float]
Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Data:
    """A training file, and where its embeddings are kept."""

    root: Path
    work: Path
    name: str

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Some of the file's, in an order of their own."""
        rows = read_table(self.root / self.name / "train.parquet")
        order = np.random.default_rng(77).permutation(len(rows))[:KNOWN]
        return [rows[row] for row in order]

    @cached_property
    def targets_N(self) -> NDArray[np.int64]:
        """Of these rows."""
        return np.array([row["label"] for row in self.rows])

    @cached_property
    def names(self) -> list[str]:
        """Of the labels, as the file has them where it has any."""
        if "label_name" not in self.rows[0]:
            return PLAIN_NAMES[self.name]
        known = {row["label"]: row["label_name"] for row in self.rows}
        return [known[label] for label in sorted(known)]

    @cached_property
    def features(self) -> tuple[Matrix, Matrix]:
        """Mean embeddings of rows and of a sentence for each label."""
        path = self.work / f"frozen-{self.name}.npz"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            said = [text or TEMPLATE.format(name) for text, name in self._sentences()]
            texts = [row["text"] for row in self.rows]
            np.savez(path, rows=mean_embeddings(texts), names=mean_embeddings(said))
        found = np.load(path)
        return found["rows"].astype(np.float32), found["names"].astype(np.float32)

    def _sentences(self) -> list[tuple[str | None, str]]:
        return list(zip(sentences(self.names, {}), self.names, strict=True))

    def draw(self, size: int, draw: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """So many rows a class, and the others in random order."""
        order = np.random.default_rng(draw).permutation(len(self.rows))
        labels = np.unique(self.targets_N)
        chosen = [order[self.targets_N[order] == label][:size] for label in labels]
        few = np.concatenate(chosen) if size else np.zeros(0, dtype=np.int64)
        return few, order[~np.isin(order, few)]


def _right(head: Any, features_NF: Matrix, targets_N: NDArray[np.int64]) -> float:
    logits_NK = features_NF @ head.weight_KF.T + head.bias_K
    return 100 * float((logits_NK.argmax(1) == targets_N).mean())


def gate(data: Data, size: int, draw: int) -> Figures:
    """Which rule about names is right on rows that nobody saw."""
    (rows_NF, names_KF), labels = data.features, len(data.names)
    few, others = data.draw(size, draw)
    others, targets_N = others[:SCORED], data.targets_N[few]
    features = {0: rows_NF[few], labels: np.concatenate([rows_NF[few], names_KF])}
    accuracy, told = {}, {}
    for names, given_NF in features.items():
        rows = LabelledRows(np.concatenate([targets_N, np.arange(names)]))
        given = (given_NF, rows, labels, PROBE_STRENGTH)
        head = HeadProblem.of(*given).solve()
        accuracy[names] = _right(head, rows_NF[others], data.targets_N[others])
        logits_NK = out_of_fold(*given, seed=draw, unscored=names).astype(np.float32)
        told[names] = Answers(SingleLabel.from_names(data.names), logits_NK, targets_N)
    near = int(((rows_NF[few] @ names_KF.T).argmax(1) == targets_N).sum())
    chance = binomtest(near, len(few), 1 / labels, alternative="greater").pvalue
    counted = chance < 0.05 and near >= told[0].right
    surer = told[labels].scores[0] < told[0].scores[0]
    return {
        "never": accuracy[0],
        "always": accuracy[labels],
        "counts": accuracy[labels if counted else 0],
        "log loss": accuracy[labels if surer else 0],
    }


def pool(data: Data, size: int, draw: int) -> Figures:
    """Heads without and with texts that have no label; from names alone where size is 0."""
    rows_NF, names_KF = data.features
    few, others = data.draw(size, draw)
    texts, scored = others[:POOL], others[POOL:]
    labels = len(data.names)
    known_NF, rows = rows_NF[few], LabelledRows(data.targets_N[few])
    if not size:
        known_NF, rows = names_KF, LabelledRows(np.arange(labels))
    alone = HeadProblem.of(
        known_NF,
        rows,
        labels,
        PROBE_STRENGTH if size else NAMES_STRENGTH,
        intercept=bool(size),
    ).solve()
    strength = load_config().contrastive.strength if size else NAMES_STRENGTH
    with_texts = HeadProblem.of(known_NF, rows, labels, strength, pool_MF=rows_NF[texts]).solve()
    truth = (rows_NF[scored], data.targets_N[scored])
    return {"without": _right(alone, *truth), "with": _right(with_texts, *truth)}


def start(data: Data, size: int, draw: int) -> Figures:
    """A training, what its out-of-fold answers say of it, and what is true."""
    few, others = data.draw(size, draw)
    setup = cross_validate(_setup(data, few.tolist(), draw), Progress())
    crossed = setup.out_of_fold
    assert crossed is not None
    texts = [data.rows[i]["text"] for i in others[:HELD].tolist()]
    tokens = tokenise(setup.classifier.tokenizer, texts, setup.train.tokens.max_length)
    truth_N = data.targets_N[others[:HELD]]

    def answers(*, frozen: bool) -> Matrix:
        solve_head(setup, frozen=frozen)
        return predict_logits(setup.classifier, tokens, batch=64, forward=setup.logits)

    begun, found = setup.classifier.state(), {"start": answers(frozen=True)}
    Loop(setup, watch_over(setup)).fit()
    trained = setup.classifier.state()
    for scale in SCALES:
        setup.classifier.load_state(blended(setup.classifier, begun, trained, scale))
        found[f"scale {scale:g}"] = answers(frozen=False)
    found["answers averaged"] = found["start"] + found["scale 1"]
    right = {name: 100 * float((each.argmax(1) == truth_N).mean()) for name, each in found.items()}
    lost = crossed.trained.right < crossed.start.right
    before = lost and crossed.trained.scores[0] >= crossed.start.scores[0]
    return {
        **right,
        "kept, rule of before": right["start" if before else "scale 1"],
        "kept": right["scale 1" if setup.as_good_as_start else "start"],
        "out of fold, start": 100 * crossed.start.scores[1],
        "out of fold, trained": 100 * crossed.trained.scores[1],
    }


def _setup(data: Data, chosen: Sequence[int], seed: int) -> Setup:
    config = load_config("tight", [f"model.name={MINILM.name}", "data.label_names=off"])
    config = config.with_values({"seed": seed, "head.pooling": "mean"})
    texts = [data.rows[i]["text"] for i in chosen]
    # Numbers, which sort as the file's classes do.
    table = Table(texts, data.targets_N[list(chosen)].tolist(), source=data.name)
    dataset, source = read_dataset(config, table, None, None), locate(MINILM.name)
    plan = plan_for(config, source, dataset.task.outputs, pooling="mean")
    set_seed(seed)
    return prepare(config, dataset, source, plan, progress=Progress())


def command(data: Data, size: int, draw: int) -> Figures:
    """``train --label-names``, without and with texts, on test rows; ``size`` is theirs."""
    test = data.root / data.name / "test.parquet"
    rows, random = read_table(data.root / data.name / "train.parquet"), np.random.default_rng(draw)
    rows = [rows[i] for i in random.permutation(len(rows))[: size + HELD]]
    held = read_table(test) if test.is_file() else rows[size:]
    held = [held[i] for i in random.permutation(len(held))[:SCORED]]
    names = PLAIN_NAMES.get(data.name, data.names)
    texts, found = [row["text"] for row in rows[:size]], {}
    for told, unlabelled in (("names", None), ("names and texts", texts)):
        with TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            given: Any = {"label_names": [name.replace("_", " ") for name in names], "out": out}
            tightfit.train(**given, unlabelled=unlabelled, model=MINILM.name, progress=Progress())
            ids_N = np.array(tightfit.Run.load(out).predict([row["text"] for row in held]).ids)
        found[told] = 100 * float((ids_N == [row["label"] for row in held]).mean())
    return found


QUESTIONS: Mapping[str, tuple[Callable[[Data, int, int], Figures], Sequence[int], int]] = {
    "gate": (gate, (2, 4, 8), 12),
    "pool": (pool, (0, 2, 8), 3),
    "start": (start, (8,), 3),
    "command": (command, (2_000,), 1),
}
"""How each is answered, for how many rows a class (or texts), and in how many draws."""


def main(words: Sequence[str] | None = None) -> None:
    """Answer what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--work", type=Path, required=True, help="folder of embeddings")
    parser.add_argument("--questions", nargs="+", choices=list(QUESTIONS), default=list(QUESTIONS))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--draws", type=int, help="other than each question has")
    parser.add_argument("--cells", type=Path, default=Path("benchmarks/cells/names.jsonl"))
    args = parser.parse_args(words)
    for question in args.questions:
        ask, sizes, draws = QUESTIONS[question]
        known = _read(args.cells)
        for name in args.sets:
            data = Data(args.root, args.work, name)
            for size, draw in product(sizes, range(args.draws or draws)):
                key = {"question": question, "set": name, "size": size, "draw": draw}
                if tuple(key.values()) not in known:
                    print(*key.values(), file=sys.stderr, flush=True)
                    keep_line(args.cells, {**key, **ask(data, size, draw)})
    print("\n\n".join(tables(_read(args.cells))))


def _read(path: Path) -> dict[tuple[Any, ...], dict[str, float]]:
    found = {}
    for cell in read_lines(path):
        key = tuple(cell.pop(name) for name in ("question", "set", "size", "draw"))
        found[key] = cell
    return found


def tables(cells: Mapping[tuple[Any, ...], Figures]) -> Iterator[str]:
    """One a question: means over draws, a row for each set and size, and their mean over sets."""
    for question in QUESTIONS:
        own = {key[1:]: found for key, found in cells.items() if key[0] == question}
        if not own:
            continue
        columns = list(next(iter(own.values())))
        lines = [f"## {question}", "", "| set | size | draws | " + " | ".join(columns) + " |"]
        lines.append("| --- | ---: | ---: |" + " ---: |" * len(columns))
        for size in sorted({size for _, size, _ in own}):
            means = []
            for name in dict.fromkeys(name for name, other, _ in own if other == size):
                draws = [
                    found for (one, other, _), found in own.items() if (one, other) == (name, size)
                ]
                means.append([float(np.mean([each[c] for each in draws])) for c in columns])
                lines.append(_line(name, size, len(draws), means[-1]))
            lines.append(_line("mean", size, len(means), np.mean(means, axis=0).tolist()))
        yield "\n".join(lines)


def _line(name: str, size: int, count: int, means: Sequence[float]) -> str:
    shown = " | ".join(f"{mean:.1f}" for mean in means)
    return f"| {name} | {size} | {count} | {shown} |"


if __name__ == "__main__":
    main()
