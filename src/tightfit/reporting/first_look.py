"""What a reader wants to know first: which label is weakest, whether the figures can be trusted,
and what the page shows."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from markupsafe import Markup, escape

from tightfit.display import (
    constant_words,
    found_words,
    help_words,
    percent,
    score_name,
    score_words,
    weakest_label,
)
from tightfit.reporting.learning import fall
from tightfit.reporting.spending import adapter_words
from tightfit.run import Run

DECLARED = (
    "the recipe declares it, to reproduce a published failure; another trains adapters that do"
)
BESIDES = "Its mistakes show whether texts or labels are to blame; more of its rows may help"
"""Of the weakest label."""


@dataclass(frozen=True)
class Point:
    """One thing to know, in the order of what it is good for."""

    title: str
    words: str
    """Names that users gave stand apart, in whatever direction they are written."""
    section: str
    """Of the page, that tells more."""
    tone: Literal["", "note", "bad"] = ""
    """Fine, to be heeded, or amiss."""


def first_points(run: Run, beware: Sequence[str]) -> list[Point]:
    """The points at the top of the page; ``beware`` are the warnings about the rows."""
    return [*_learned(run), *_weakest(run), *_proven(run), *_believed(run), *_heeded(beware)]


def what_it_shows(run: Run, now: datetime, *, sealed: bool) -> Markup:
    """When the page was made, and what can have come since, or has."""
    made = f"{now:%d %B %Y, %H:%M} UTC".removeprefix("0")
    if sealed:
        command = f"tightfit report {shlex.quote(str(run.path))}"
        return Markup(
            "This page was sealed with the run on {}. It knows nothing of what came later: "
            "<code>{}</code> writes a newer one."
        ).format(made, command)
    since = Markup("; ").join(_since(run)) or "nothing was evaluated"
    return Markup("Made anew on {}. Since the run was sealed: {}.").format(made, since)


def _since(run: Run) -> Iterator[Markup]:
    """What was found out after the seal."""
    for each in run.evaluations:
        name, score = next(iter(each.scores.headline().items()))
        told = f"{score_name(name)} {score_words(name, score)} on {each.scores.n:,} rows"
        yield Markup("{} of <bdi>{}</bdi>").format(told, each.data)
    if run.chosen_thresholds and run.task.one_class:  # of others each label has one from the start
        names = (Markup("<bdi>{}</bdi>").format(each.label) for each in run.chosen_thresholds)
        yield Markup("a threshold for {}").format(Markup(", ").join(names))
    if run.cascade_facts:
        yield escape("a cascade")


def _learned(run: Run) -> Iterator[Point]:
    """Where the scores do not show it."""
    if constant := _constant(run):
        yield Point("Nothing shows that it learned", f"It is {constant}.", "labels", "bad")


def _constant(run: Run) -> str | None:
    scores = run.metrics.validation
    return scores and constant_words(scores)


def _weakest(run: Run) -> Iterator[Point]:
    scores = run.metrics.validation
    if scores is None or not scores.each_label():
        return
    weakest, lost = weakest_label(scores)
    if weakest is None:
        yield Point("No label is weak", "Every validation row is answered rightly.", "labels")
        return
    words = Markup("<bdi>{}</bdi>, {}").format(weakest.name, found_words(weakest))
    if run.task.one_class:
        for each in [x for x in scores.confusions() if x.true == weakest.name][:1]:
            often = f"most often, {each.count:,} times," if each.count > 1 else "once"
            words += Markup("; {} it is taken for <bdi>{}</bdi>").format(often, each.predicted)
    if lost and not _constant(run):
        never = Markup(", ").join(Markup("<bdi>{}</bdi>").format(name) for name in lost[:5])
        more = f" and {len(lost) - 5:,} more" * (len(lost) > 5)
        words += Markup(". No row was found of {}{}: {}.").format(
            never, more, help_words(scores, lost)
        )
    else:
        words += f". {BESIDES}."
    yield Point("Weakest label", words, "labels", "bad" if lost else "note")


def _proven(run: Run) -> Iterator[Point]:
    count = len(run.proofs)
    failed = sum(not proof.get("ok") for proof in run.proofs.values())
    if not failed:
        words, fell = "What was planned, trained and saved is the same, and it learned.", fall(run)
        if run.metrics.validation is None:  # made of label names: nothing shows that it learned
            words = "What was planned, solved and saved is the same."
        elif run.metrics.train.kept_start:
            words = "What was planned, solved and saved is the same: the start, which was kept."
        elif _constant(run):
            words = "What was planned, trained and saved is the same."
        words = " ".join(each for each in (words, fell) if each)
        yield Point(f"All {count} proofs hold", words, "proofs", "note" if fell else "")
        return
    words, known = adapter_words(run), run.metrics.train.continued
    if run.metrics.train.kept_knowledge and known is not None:
        told = Markup(
            "No further step did better: the adapters stay as <bdi>{}</bdi> had learned them."
        ).format(known.run)
        yield Point("What it knew is kept", told, "proofs", "note")
        return
    if run.config.train.expect_dead:
        words += f"; {DECLARED}"
    elif run.metrics.train.kept_start:
        words += ": a lower optim.lr, or more rows, may change that"
    words = f"{words[:1].upper()}{words[1:]}. {count - failed} of {count} proofs hold."
    yield Point("Not everything learned", words, "proofs", "bad")


def _believed(run: Run) -> Iterator[Point]:
    """What calibration came to, and what it did not."""
    found, rows = run.calibration, run.validation
    if found is None or rows is None:
        return
    probabilities_NK = run.task.probabilities(rows.logits_NK, found.temperature)
    chance = percent(run.task.calibration_error_by_chance(probabilities_NK, rows.weights_N))
    off = f"It is off by {percent(found.ece_after)} on average"
    limit = f"a perfect one would show {chance} on {len(rows):,} rows"
    if found.reason is not None:
        words = f"{off}; {limit}. Calibration did not make it better: {found.reason}."
        yield Point("Confidence is as trained", words, "confidence", "note")
        return
    words = f"{off}, before calibration by {percent(found.ece_before)}; {limit}."
    if found.ece_after < found.ece_before:
        yield Point("Confidence is calibrated", words, "confidence")
        return
    losses = f"{found.log_loss_before:.3f} to {found.log_loss_after:.3f}"
    words += f" That did not become better; the log loss did, from {losses}."
    yield Point("Confidence is calibrated", words, "confidence", "note")


def _heeded(beware: Sequence[str]) -> Iterator[Point]:
    if beware:
        more = f" ({len(beware) - 1:,} more below.)" * (len(beware) > 1)
        yield Point("Of the rows", f"{beware[0]}{more}", "rows", "note")
