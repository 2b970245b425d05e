"""How the run came about and what to do with it: proofs, settings, versions, commands."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tightfit.data.text_pair import text_option
from tightfit.display import percent, score_name
from tightfit.model.model_card import loading_code
from tightfit.reporting.drawing import short
from tightfit.run import Run

LONGEST_VALUE = 300
"""Characters of a setting that are shown: a thousand label names would fill the page."""


@dataclass(frozen=True)
class Proven:
    """One proof in words."""

    name: str
    tone: str
    """Empty where it holds, ``bad`` where not, ``note`` where nothing was to be proven."""
    expected: bool
    """The failure was declared beforehand."""
    words: str


@dataclass(frozen=True)
class Provenance:
    """The closing parts of the page."""

    proofs: tuple[Proven, ...]
    settings: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    """Section, and its names with their values."""
    commands: str
    python: str
    loading: str
    """Code that needs no tightfit."""


def provenance(run: Run) -> Provenance:
    """The closing parts of the page about a run."""
    path, quoted = str(run.path), shlex.quote(str(run.path))
    pair = run.config.data.pair
    kind = "model" if run.plan.record.whole else "adapter"
    base = run.manifest.base.get("public_name", run.plan.model)
    labels = run.task.calibrates
    answers = "labels.csv --probabilities" if labels else "ratings.csv"
    return Provenance(
        proofs=tuple(_proven(run, name, proof) for name, proof in run.proofs.items()),
        settings=_settings(run),
        commands=f"tightfit predict {quoted} {text_option(pair=pair)}\n"
        f"tightfit predict {quoted} --data texts.csv --out {answers}\n"
        f"tightfit evaluate {quoted} --data labelled.csv\n"
        f"tightfit audit {quoted}",
        python="import tightfit\n\n"
        f"run = tightfit.Run.load({path!r})\n"
        + ('found = run.predict([("…", "…")])\n' if pair else 'found = run.predict(["…"])\n')
        + (
            "found.labels, found.probabilities" if labels else "found.values, found.low, found.high"
        ),
        loading=loading_code(run.plan, run.labels, base, f"{path}/{kind}"),
    )


def _proven(run: Run, name: str, proof: Mapping[str, Any]) -> Proven:
    title, known = name.replace("_", " "), run.metrics.train.continued
    if known is not None and proof.get("kept_start") and not proof["ok"]:
        words = f"No further step did better: every part stays as {known.run} had learned it."
        return Proven(title, "note", False, words)
    words = WORDS[name](proof) if name in WORDS else ""
    declared = bool(proof.get("expected")) and not proof.get("kept_start")
    return Proven(title, "" if proof["ok"] else "bad", declared, words)


def _gates(proof: Mapping[str, Any]) -> str:
    counts = [proof[key] for key in ("plan", "built", "optimizer", "saved")]
    if len(set(counts)) == 1:
        return f"Plan, built model, optimiser and saved file all count {counts[0]:,} parameters."
    return f"Plan, model, optimiser and file count {', '.join(f'{c:,}' for c in counts)}."


def _gradients(proof: Mapping[str, Any]) -> str:
    if proof["never"]:
        return f"{len(proof['never'])} of {proof['tensors']} tensors never had a gradient."
    latest = max(proof["first_step"].values(), default=0)
    waiting = f"; {len(proof['not_due'])} were not due yet" if proof["not_due"] else ""
    return f"All of {proof['tensors']} tensors had a gradient by step {latest}{waiting}."


def _movement(proof: Mapping[str, Any]) -> str:
    whole = len(proof["adapters"]) + len(proof["tensors"])
    if proof.get("kept_start"):
        return "The start was kept, since no step did better: no trained part moved."
    if proof["still"]:
        return f"{len(proof['still'])} of {whole} trained parts never moved."
    return f"All of {whole} trained parts moved away from their start."


def _no_regression(proof: Mapping[str, Any]) -> str:
    kept = " It is the start itself, since no step did better." * proof["kept_start"]
    return (
        f"{_outcome(proof)}; loss {short(proof['loss'])} after {short(proof['start_loss'])}.{kept}"
    )


def _outcome(proof: Mapping[str, Any]) -> str:
    """What is sealed and what it started from, by the metric that the proof was made with."""
    watched = "of the validation rows that training watched"
    if "accuracy" in proof:
        return (
            f"What is sealed gives {percent(proof['accuracy'])} {watched} the right label, its "
            f"start {percent(proof['start_accuracy'])}"
        )
    start = next(name for name in proof if name.startswith("start_") and name != "start_loss")
    metric = start.removeprefix("start_")
    return (
        f"The {score_name(metric)} {watched} is {proof[metric]:.3f}, that of its start "
        f"{proof[start]:.3f}"
    )


def _solved(which: str, proof: Mapping[str, Any]) -> str:
    return (
        f"The gradient of the {which}'s own objective is zero, to "
        f"{proof['largest_gradient']:.1g}, on {proof['rows']:,} rows."
    )


def _round_trip(proof: Mapping[str, Any]) -> str:
    difference = proof["max_abs_difference"]
    how = f"logits within {difference:.1g}" if difference else "to the last digit"
    return (
        "The saved artefact, loaded anew, answers as the trained model does: "
        f"{how}, on {proof['rows']} rows."
    )


WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "gates": _gates,
    "gradients": _gradients,
    "movement": _movement,
    "no_regression": _no_regression,
    "round_trip": _round_trip,
    "head_solved": partial(_solved, "head"),
    "side_solved": partial(_solved, "side head"),
}
"""What each proof shows."""


def _settings(run: Run) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    tree = run.config.model_dump(mode="json")
    single = tuple(
        (key, _value(value)) for key, value in tree.items() if not isinstance(value, dict)
    )
    sections = (
        (name, tuple((key, _value(value)) for key, value in section.items()))
        for name, section in tree.items()
        if isinstance(section, dict)
    )
    return (("run", single), *sections)


def _value(value: object) -> str:
    words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return words if len(words) <= LONGEST_VALUE else words[: LONGEST_VALUE - 1] + "…"
