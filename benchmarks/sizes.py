"""The best classifier at every size: few rows a class, many draws, and the peers beside it.

    python -m benchmarks.sizes --root shared/data --work WORK --sizes 2 4 8 --draws 10 \
        --setfit-python /path/to/its/python
    python -m benchmarks.sizes --root shared/data --work WORK --sizes 1000 --draws 3

A size is rows a class, and from 500 on rows in all, drawn at random. Every side trains on the same
rows and encoder with its defaults, and is scored on the same up to 2,000 test rows; of AG News,
whose test rows stay untouched, on rows of its training file that no draw has. A cell is a line of
`benchmarks/cells/sizes.jsonl`: what is there is not computed again, so the command can be stopped
and given anew. Seconds are those of the whole command that trains, its imports among them; the
first two sides are timed without. Each cell has the machine's load before it: where more than one
program waited for each core the tables show no seconds of it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy.stats import t
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from benchmarks.cells import Figures, columns, keep_line, read_lines, tightfit_json
from tightfit.experiments.baselines import tfidf_pipeline
from tightfit.extras import available
from tightfit.model.embedded import E5, MINILM
from tightfit.model.locate import locate

SETS = ("trec6", "ag_news", "sst2", "banking77", "tweet_emotion", "sms_spam", "newsgroups20")
OTHER_LANGUAGES = ("gnad10", "zh_reviews")
"""Asked for by name: the peers' encoder does not read them."""
NAMES = {"ag_news": ("World", "Sports", "Business", "Sci/Tech")}
"""Of labels by number, where the file has none: as its authors call them."""
HELD = 2_000
WHOLE = 500
"""From this size on rows in all are meant: SetFit, which takes hours then, is left out."""
PEER = "SetFit 1.2"
OWN = "tightfit"

Texts = tuple[list[str], list[int]]


@dataclass(frozen=True)
class Cell:
    """A draw of so many rows a class of a set, or of so many rows, in files."""

    name: str
    size: int
    draw: int
    folder: Path

    @property
    def key(self) -> tuple[str, int, int]:
        """What tells it from the others."""
        return self.name, self.size, self.draw

    @property
    def train(self) -> Path:
        """Rows to train on, as JSON lines with text, label and the label's name."""
        return self.folder / "train.jsonl"

    @property
    def held(self) -> Path:
        """Rows to score on."""
        return self.folder / "held.jsonl"


def write_rows(root: Path, work: Path, name: str, size: int, draw: int) -> Cell:
    """Draw ``size`` rows of every class, or in all, the same ones for the same numbers."""
    cell = Cell(name, size, draw, work / f"{name}-{size}-{draw}")
    if cell.train.is_file() and cell.held.is_file():
        return cell
    cell.folder.mkdir(parents=True, exist_ok=True)
    train, test = read_table(root / name / "train.parquet"), root / name / "test.parquet"
    pool = np.random.default_rng(0).permutation(len(train))
    if test.is_file():
        held = read_table(test)
        held = [held[i] for i in np.random.default_rng(0).permutation(len(held))[:HELD]]
    else:
        held, pool = [train[i] for i in pool[:HELD]], pool[HELD:]
    order = np.random.default_rng((size, draw)).permutation(pool).tolist()
    chosen: dict[int, list[Any]] = defaultdict(list)
    if size >= WHOLE:
        # One of each label: no side could be asked for one that it has never seen.
        seen = {train[i]["label"]: i for i in reversed(order)}
        order = list(dict.fromkeys([*seen.values(), *order]))[:size]
    for row in (train[i] for i in order):
        if len(chosen[row["label"]]) < size:
            chosen[row["label"]].append(row)
    rows = [row for label in sorted(chosen) for row in chosen[label]]
    for path, kept in ((cell.train, rows), (cell.held, held)):
        if names := NAMES.get(name):
            kept = [{**row, "label_name": names[row["label"]]} for row in kept]
        path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    return cell


def read_table(path: Path) -> list[dict[str, Any]]:
    """Rows of a data set, with the names of their labels where it has any."""
    columns = [c for c in ("text", "label", "label_name") if c in pq.read_schema(path).names]
    rows: list[dict[str, Any]] = pq.read_table(path, columns=columns).to_pylist()
    return rows


def _tfidf(cell: Cell, args: argparse.Namespace) -> Figures:
    """Words and pairs of words, and a linear model."""
    return _fitted(tfidf_pipeline(), columns(cell.train), columns(cell.held), time.perf_counter())


def _embeddings(cell: Cell, args: argparse.Namespace) -> Figures:
    """Mean embeddings of length 1 and logistic regression, both as their libraries come."""
    (texts, labels), (held, answers) = columns(cell.train), columns(cell.held)
    started = time.perf_counter()
    model = LogisticRegression(max_iter=1000)
    train: Any = mean_embeddings(texts)
    spent = time.perf_counter() - started
    return _fitted(model, (train, labels), (mean_embeddings(held), answers), spent=spent)


def _fitted(
    model: Pipeline | LogisticRegression,
    train: Any,
    held: Any,
    started: float = 0,
    spent: float = 0,
) -> Figures:
    started = time.perf_counter()
    model.fit(*train)
    seconds = spent + time.perf_counter() - started
    right = int((model.predict(held[0]) == np.array(held[1])).sum())
    linear = model[-1] if isinstance(model, Pipeline) else model
    parameters = int(linear.coef_.size + linear.intercept_.size)
    return {"right": right, "rows": len(held[1]), "seconds": seconds, "parameters": parameters}


def mean_embeddings(texts: Sequence[str]) -> Any:
    """By plain ``transformers``, in batches of like length."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = locate(MINILM.name).folder
    tokenizer, encoder = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    found = np.empty((len(texts), encoder.config.hidden_size))
    for start in range(0, len(order), 32):
        rows = order[start : start + 32]
        some = [texts[i] for i in rows]
        given = tokenizer(some, padding=True, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            states = encoder.eval()(**given).last_hidden_state
        mask = given["attention_mask"][..., None]
        found[rows] = ((states * mask).sum(1) / mask.sum(1)).numpy()
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def _setfit(cell: Cell, args: argparse.Namespace) -> Figures | None:
    """SetFit, in an environment of its own; None where none was named, or rows are many."""
    if args.setfit_python is None or cell.size >= WHOLE:
        return None
    out = cell.folder / "setfit.json"
    # -P: beside the script lies a module named like one of its libraries.
    command = [str(args.setfit_python), "-P", str(Path(__file__).with_name("setfit_side.py"))]
    command += ["--train", str(cell.train), "--held", str(cell.held), "--json", str(out)]
    command += ["--model", str(locate(MINILM.name).folder), "--seed", str(cell.draw)]
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=bare)
    found: Figures = json.loads(out.read_text())
    return found


def _tightfit(cell: Cell, args: argparse.Namespace, *more: str) -> Figures:
    """The untouched defaults, whole command and all."""
    out = cell.folder / "run"
    columns = ["--label-column", "label_name"] if "names" in more else []
    command = ["train", "--data", str(cell.train), "--out", str(out), "--overwrite", *columns]
    if "both" not in more:
        command += ["--model", MINILM.name]  # the peers' encoder, whatever else is installed
    if "no side" in more:
        command += ["--set", "head.side=off"]
    started = time.perf_counter()
    said = tightfit_json([*command, "--seed", str(cell.draw)])
    seconds = time.perf_counter() - started
    scored = tightfit_json(["evaluate", str(out), "--data", str(cell.held), *columns])
    right = round(scored["accuracy"]["value"] * scored["n"])
    counts = {"right": right, "rows": scored["n"], "parameters": said["total"]}
    return {**counts, "seconds": seconds, "said": said["accuracy"], "start": said["start_accuracy"]}


def _named(cell: Cell, args: argparse.Namespace, *more: str) -> Figures | None:
    """The same with the labels' names in place of their numbers, where the rows have names."""
    first = json.loads(cell.train.read_text().splitlines()[0])
    return _tightfit(cell, args, "names", *more) if "label_name" in first else None


def _both(cell: Cell, args: argparse.Namespace) -> Figures | None:
    """The defaults with both embedded encoders at hand, where they are."""
    return _tightfit(cell, args, "both") if available(E5.package) else None


def _both_named(cell: Cell, args: argparse.Namespace) -> Figures | None:
    """Both at once."""
    return _named(cell, args, "both") if available(E5.package) else None


def _both_no_side(cell: Cell, args: argparse.Namespace) -> Figures | None:
    """Both encoders, and no side head."""
    return _tightfit(cell, args, "both", "no side") if available(E5.package) else None


SIDES: Mapping[str, Callable[[Cell, argparse.Namespace], Figures | None]] = {
    "tf-idf + LR": _tfidf,
    "mean embeddings + LR": _embeddings,
    PEER: _setfit,
    OWN: _tightfit,
    f"{OWN}, label names": _named,
    f"{OWN}, both encoders": _both,
    f"{OWN}, both encoders, label names": _both_named,
    f"{OWN}, both encoders, no side head": _both_no_side,
}


def main(words: Sequence[str] | None = None) -> None:
    """Run every cell that is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--work", type=Path, required=True, help="folder of rows and runs")
    parser.add_argument("--sets", nargs="+", choices=(*SETS, *OTHER_LANGUAGES), default=list(SETS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[2, 4, 8], help="rows a class")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--first-draw", type=int, default=0)
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES))
    parser.add_argument("--setfit-python", type=Path, help="of an environment that has SetFit")
    parser.add_argument("--cells", type=Path, default=Path("benchmarks/cells/sizes.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/SIZES.md"))
    args = parser.parse_args(words)
    found = read_cells(args.cells)
    for draw in range(args.first_draw, args.first_draw + args.draws):
        for size in args.sizes:
            for name in args.sets:
                cell = write_rows(args.root, args.work, name, size, draw)
                for side in args.sides:
                    if (*cell.key, side) not in found:
                        _run(cell, side, args)
    args.out.write_text(tables(read_cells(args.cells)))


def _run(cell: Cell, side: str, args: argparse.Namespace) -> None:
    """Compute a cell and keep it."""
    print(*cell.key, side, file=sys.stderr, flush=True)
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    figures = SIDES[side](cell, args)
    if figures is None:
        return
    line = {
        "set": cell.name,
        "size": cell.size,
        "draw": cell.draw,
        "side": side,
        "load": load,
        **figures,
    }
    keep_line(args.cells, line)


def read_cells(path: Path) -> dict[tuple[str, int, int, str], Figures]:
    """The cells by set, size, draw and side; of two for one the later."""
    return {(c["set"], c["size"], c["draw"], c["side"]): c for c in read_lines(path)}


def tables(cells: Mapping[tuple[str, int, int, str], Figures]) -> str:
    """A table for each size: means over draws, and differences of the same draws with intervals."""
    sizes = sorted({size for _, size, _, _ in cells})
    return "\n\n".join([_intro(), *(_size_table(cells, size) for size in sizes)]) + "\n"


def _intro() -> str:
    return (
        "# From few rows to many\n\nAccuracy in %, means over draws (their number in brackets), "
        "seconds where the machine was quiet, and parameters that train. Written by "
        "`python -m benchmarks.sizes`, which says what is compared."
    )


def _size_table(cells: Mapping[tuple[str, int, int, str], Figures], size: int) -> str:
    sides = [side for side in SIDES if any(k[1] == size and k[3] == side for k in cells)]
    title = f"{size:,} rows" if size >= WHOLE else f"{size} rows a class"
    lines = [f"## {title}", "", "| set | " + " | ".join(sides) + " |"]
    lines += ["| --- |" + " --- |" * len(sides)]
    for name in (*SETS, *OTHER_LANGUAGES):
        shown = [_mean(cells, name, size, side) for side in sides]
        if any(shown):
            lines.append(f"| {name} | " + " | ".join(each or "" for each in shown) + " |")
    lines += ["", *(_difference(cells, size, one) for one in sides if one.startswith(OWN))]
    return "\n".join(lines)


def _mean(
    cells: Mapping[tuple[str, int, int, str], Figures], name: str, size: int, side: str
) -> str:
    own = [c for k, c in cells.items() if (k[0], k[1], k[3]) == (name, size, side)]
    if not own:
        return ""
    accuracy = np.mean([100 * c["right"] / c["rows"] for c in own])
    seconds = [c["seconds"] for c in own if _quiet(c)]
    taken = f" {np.mean(seconds):.0f} s," if seconds else ""
    return f"{accuracy:.1f} ({len(own)}),{taken} {own[0]['parameters']:,}"


def _quiet(cell: Figures) -> bool:
    """Whether its seconds say anything; of some cells the load is not known."""
    return bool(cell.get("load", np.inf) <= 1)


def _difference(cells: Mapping[tuple[str, int, int, str], Figures], size: int, one: str) -> str:
    """One side less each peer, over all sets and draws that both have."""
    words = []
    for peer in (PEER, "mean embeddings + LR"):
        by_set: dict[str, list[float]] = defaultdict(list)
        times = []
        for (name, own_size, draw, side), cell in cells.items():
            other = cells.get((name, size, draw, peer))
            if own_size == size and side == one and other is not None:
                by_set[name].append(percent(cell) - percent(other))
                if _quiet(cell) and _quiet(other):
                    times.append(cell["seconds"] / other["seconds"])
        if by_set:
            words.append(interval(one, peer, by_set, times))
    return "\n".join(words)


def interval(
    one: str, peer: str, by_set: Mapping[str, Sequence[float]], times: Sequence[float] = ()
) -> str:
    """One side less another: the mean over sets, whose error is that of the draws within the sets;
    of a set with one draw it is that of the others, pooled.

    Args:
        one: the side.
        peer: the other.
        by_set: by name of a set, the difference of each draw.
        times: the quotient of their seconds, where those say anything.
    """
    means = {name: float(np.mean(found)) for name, found in by_set.items()}
    whole = float(np.mean(list(means.values())))
    counts = [len(found) for found in by_set.values()]
    freedom = sum(counts) - len(counts)
    each = ", ".join(f"{name} {mean:+.1f}" for name, mean in means.items())
    text = f"- {one} less {peer}: {whole:+.1f} points"
    if freedom > 0:
        pooled = sum(float(np.var(f)) * len(f) for f in by_set.values()) / freedom
        errors = [
            (float(np.var(f, ddof=1)) if len(f) > 1 else pooled) / len(f) for f in by_set.values()
        ]
        reach = float(t.ppf(0.975, freedom)) * (sum(errors) / len(counts) ** 2) ** 0.5
        alone = ", ".join(name for name, found in by_set.items() if len(found) == 1)
        more = f", with one draw of {alone} at the spread of the others" if alone else ""
        text += f" (95%: {whole - reach:+.1f} to {whole + reach:+.1f}{more})"
    taken = f", of its seconds {np.median(times):.2f} (median)" if times else ""
    return f"{text}{taken}; {each}"


def percent(cell: Figures) -> float:
    """The accuracy of a cell."""
    return 100 * float(cell["right"]) / float(cell["rows"])


if __name__ == "__main__":
    main()
