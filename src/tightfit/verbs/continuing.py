"""``train --from RUN``: what a training that goes on takes from the run, and what it may not."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from tightfit.config import Config, typed
from tightfit.errors import SettingsError, UsageError
from tightfit.run import Run
from tightfit.training.request import TrainOptions, TrainRequest

FRESH: dict[str, object] = {
    "adapters.init": "kaiming",
    "budget.spend": "all",
    "data.labels": (),
    "head.start": "run",
    "optim.objective": "cross-entropy",
    "train.folds": 0,
    "train.max_steps": None,
    "train.minutes": None,
}
"""Settings that a training takes from no other: how it starts, and how long it may take."""

FORCED = ("adapters.init", "budget.spend", "head.start", "optim.objective", "train.folds")
"""Those of them that no other value can have."""

LEARNED = 0.75
"""Share of what new rows teach that is kept, where old ones do not train again: on the way from the
run's weights less is forgotten (arXiv:2109.01903), at no cost (docs/experiments/going-on.md)."""

BUILD = (
    "model.name",
    "data.pair",
    *(f"adapters.{key}" for key in ("method", "rank", "alpha", "rslora", "dora", "targets")),
    *("adapters.layers", "head.kind", "head.pooling"),
)
"""Settings of what was built; another value would be another classifier."""


def request_of(data: Any, from_run: str | Path | None, options: TrainOptions) -> TrainRequest:
    """What is asked for, anew or from a run.

    Raises:
        ArtefactError: there is no such run, or it is incomplete or damaged.
        SettingsError: with every mistake in the options.
        UsageError: there are no rows, or a model or recipe is named beside a run.
    """
    if data is None:
        raise UsageError(
            "there is nothing to train on",
            next_step="give rows with --data, or names of labels with --label-names",
        )
    if from_run is None:
        return TrainRequest.of(data, **options)
    return continued_request(data, from_run, options)


def continued_request(data: Any, from_run: str | Path, options: TrainOptions) -> TrainRequest:
    """The request to go on from a run: its settings, with the options on top.

    Raises:
        ArtefactError: it is incomplete or damaged.
        UsageError: a model or recipe is named as well.
        SettingsError: a setting contradicts what the run is.
    """
    for name in ("model", "recipe"):
        value: Any = options.get(name)
        if value is not None:
            words = value if isinstance(value, str) else " ".join(value)
            raise UsageError(
                f"--from goes on from a run, and --{name} begins anew",
                seen=f"--from {from_run} --{name} {words}",
                next_step="leave out one of the two",
            )
    run = Run.open(from_run)
    asked = typed(options.get("settings", ()))
    named: Any = {key: value for key, value in options.items() if key not in ("recipe", "settings")}
    # After a cross-validation the run's own rows train again, and remind.
    learned = LEARNED if run.data.folds is None else 1.0
    settings = {**FRESH, "train.blend": learned, **asked}
    request = TrainRequest.of(data, recipe=str(run.folder.config), settings=settings, **named)
    _check_build(request.config, run)
    return replace(request, from_run=run.path)


def _check_build(config: Config, run: Run) -> None:
    began = run.config
    if began.adapters.init == "pissa":
        raise SettingsError(
            "no training can go on from this run: its adapters stand on changed base weights",
            seen=f"adapters.init=pissa in {run.path}",
            next_step="train anew on all rows",
        )
    due = {name: (attrgetter(name)(began), f", as in {run.path}") for name in BUILD}
    due |= {name: (FRESH[name], " with --from") for name in FORCED}
    for name, (value, why) in due.items():
        seen = attrgetter(name)(config)
        if seen != value:
            raise SettingsError(
                "a setting contradicts the run that is gone on from",
                seen=f"{name}={_word(seen)}",
                allowed=f"{name}={_word(value)}{why}",
                next_step=f"leave out {name}, or train anew without --from",
            )


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return (
        "auto" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
