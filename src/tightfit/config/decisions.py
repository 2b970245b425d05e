"""What a run decided by itself: typed values with their reasons, beside settings that never change.

A setting says what was asked for; a decision says what came of it. They are kept apart so that a
resumed training compares requests and takes over decisions, and a reader sees which is which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Generic, Literal, TypeVar

from tightfit.config.settings_model import Config
from tightfit.families import Pooling

KeptText = Literal["head", "head+tail", "windows"]
"""What is kept of a text that is too long."""

Objective = Literal["contrastive", "contrastive-first", "cross-entropy", "probe"]
"""What a training does: steps on one of two losses, on one after the other, or none at all before
the head is solved."""

Use = Literal["used", "left out"]
"""Of what a training may do without: the labels' names, texts without a label."""

T = TypeVar("T")

ASKED = "asked for"
"""The reason for a decision that left nothing to decide."""


@dataclass(frozen=True)
class Decision(Generic[T]):
    """A value that was decided once, and why."""

    value: T
    reason: str


@dataclass(frozen=True)
class Decisions:
    """Every automatic choice of one run; None where there was nothing to decide.

    Attributes:
        max_length: longest text while training, in tokens: no more than the encoder has positions.
        predict_max_length: longest text at inference, likewise.
        long_text: what is kept of a longer text.
        pooling: what the head reads of the encoder's last layer.
        encoder: the encoder, where there was a choice.
        side: numbers that the plan pays a side head to read, 0 for none.
        side_factor: what its outputs are multiplied by, where there is one.
        prefix: what stands before every text, where the encoder was trained for something.
        epochs: passes over the training rows.
        precision: of the forward pass.
        forward: the lean forward pass, or the model's own.
        prefix_cache: whether what lies below the lowest adapter is computed once and kept.
        probe_rows: most rows that the probe start is fitted on, where time is short.
        eval_rows: most rows that an evaluation while training scores, where time is short.
        eval_every: optimiser steps between evaluations, likewise.
        max_steps: optimiser steps that fit into the time.
        scored_rows: validation rows that the final scores are of, where time is short.
        objective: what the steps minimise, or that there are none.
        class_rows: most rows of each class in a step of the contrastive phase.
        folds: parts of the cross-validation that the scores come from.
        label_names: whether they are rows to train on.
        head: whether it is what the steps left, or solved once they were over.
        kept: whether what trained is kept, or where it started from.
        unlabelled: whether texts without a label shape the head.
        spend: parameters, where the fewest that suffice were looked for.
        blend: how much of what was learned is kept.
    """

    max_length: Decision[int]
    predict_max_length: Decision[int]
    long_text: Decision[KeptText]
    epochs: Decision[float] | None = None
    precision: Decision[Literal["fp32", "bf16", "fp16"]] | None = None
    forward: Decision[Literal["lean", "own"]] | None = None
    prefix_cache: Decision[Literal["on", "off"]] | None = None
    probe_rows: Decision[int] | None = None
    eval_rows: Decision[int] | None = None
    eval_every: Decision[int] | None = None
    max_steps: Decision[int] | None = None
    scored_rows: Decision[int] | None = None
    objective: Decision[Objective] | None = None
    class_rows: Decision[int] | None = None
    folds: Decision[int] | None = None
    label_names: Decision[Use] | None = None
    head: Decision[Literal["trained", "solved"]] | None = None
    kept: Decision[Literal["trained", "start"]] | None = None
    unlabelled: Decision[Use] | None = None
    spend: Decision[int] | None = None
    blend: Decision[float] | None = None
    pooling: Decision[Pooling] | None = None
    encoder: Decision[str] | None = None
    prefix: Decision[str] | None = None
    side: Decision[int] | None = None
    side_factor: Decision[float] | None = None

    @property
    def head_solved_anew(self) -> bool:
        """Whether the head is not what the steps of cross-entropy left of it."""
        return self.head is not None and self.head.value == "solved"

    def made(self) -> dict[str, Decision[Any]]:
        """The decisions by their names; those are left out that were just what was asked for."""
        every = {field.name: getattr(self, field.name) for field in fields(self)}
        plain = ("max_length", "predict_max_length", "pooling")
        return {
            name: decision
            for name, decision in every.items()
            if decision is not None and not (name in plain and decision.reason == ASKED)
        }

    def to_json(self) -> dict[str, Any]:
        """The object in ``decisions.json``."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, value: Mapping[str, Mapping[str, Any]]) -> Decisions:
        """What :meth:`to_json` gave."""
        return cls(**{name: Decision(**each) for name, each in value.items()})


def undecided(config: Config) -> Decisions:
    """Decisions where nothing is left open, as of an adapter that was trained elsewhere."""
    kept = config.data.long_text
    return Decisions(
        Decision(config.data.max_length, ASKED),
        Decision(config.predicted_length, ASKED),
        Decision("head" if kept == "auto" else kept, ASKED),
    )


def decisions_of_format_1(config: Config, choices: Mapping[str, Mapping[str, str]]) -> Decisions:
    """Decisions as runs of format 1 kept them: as words, in a section of their settings."""
    numbers = {"epochs": float, "probe_rows": int, "watched_rows": int, "max_steps": int}
    renamed = {"watched_rows": "eval_rows"}
    found: dict[str, Any] = {
        renamed.get(name, name): Decision(numbers.get(name, str)(each["value"]), each["reason"])
        for name, each in choices.items()
    }
    start = undecided(config)
    lengths = {"max_length": start.max_length, "predict_max_length": start.predict_max_length}
    return Decisions(**{"long_text": start.long_text, **lengths, **found})
