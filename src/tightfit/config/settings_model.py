"""All settings of a run together: what may not go together is refused."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Annotated, Any, Self

import tomli_w
from pydantic import Field, ValidationError, model_validator

from tightfit.config.sections import (
    Adapters,
    Budget,
    Contrastive,
    Data,
    Head,
    Model,
    Optim,
    Predict,
    Section,
    Tracking,
    Train,
)
from tightfit.errors import SettingsError
from tightfit.methods import METHODS


class Config(Section):
    """All settings of one run."""

    recipe: str
    """The recipe that these settings started from."""
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    """Of the split, the first weights, the order of rows and dropout. Another, to see how much of
    a score is chance."""
    budget: Budget
    model: Model
    adapters: Adapters
    head: Head
    data: Data
    optim: Optim
    train: Train
    tracking: Tracking
    predict: Predict = Predict()
    contrastive: Contrastive = Contrastive()

    @property
    def predicted_length(self) -> int:
        """Tokens of the longest text at inference."""
        return self.predict.max_length or self.data.max_length

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        faults = []
        if self.train.checkpointing == "reentrant" and not self.train.expect_dead:
            faults.append(
                "train.checkpointing=reentrant leaves every adapter dead; "
                "use train.checkpointing=on, or declare it with train.expect_dead=true"
            )
        if self.optim.warmup_steps >= 1 and self.optim.warmup_steps % 1:
            faults.append("optim.warmup_steps must be a whole number, or a share below 1")
        if self.data.validation_rows >= 1 and self.data.validation_rows % 1:
            faults.append("data.validation_rows must be a whole number, or a share below 1")
        if self.train.folds == 1:
            faults.append("train.folds=1 leaves nothing to train on; use 0, auto, or 2 and more")
        if self.train.batch_by == "tokens" and not self.train.group_by_length:
            faults.append("train.batch_by=tokens needs train.group_by_length=true")
        faults += _split_faults(self.data)
        if self.data.pair and self.data.long_text in ("head+tail", "windows"):
            faults.append(
                f"data.long_text={self.data.long_text} is for single texts; a pair loses the end "
                "of its longer text, so set data.long_text=head with data.pair=true"
            )
        if len(set(self.data.labels)) != len(self.data.labels):
            faults.append("data.labels names a label twice")
        faults += self._side_faults() + self._adapter_faults()
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _side_faults(self) -> list[str]:
        """A side head of characters where no row has one class."""
        task = self.data.task
        if self.data.pair or task not in ("multi", "rating") or isinstance(self.head.side, str):
            return []
        return [
            f"head.side={self.head.side} is for one label a text; set head.side=off with "
            f"data.task={task}"
        ]

    def _adapter_faults(self) -> list[str]:
        adapters, by_importance = self.adapters, self.budget.allocation == "importance"
        faults = []
        if len(set(adapters.targets)) != len(adapters.targets):
            faults.append("adapters.targets names a layer twice")
        if by_importance and adapters.rank is not None:
            faults.append("budget.allocation=importance decides the ranks; set adapters.rank=auto")
        if by_importance and self.budget.cap is None:
            faults.append("budget.allocation=importance spends a cap; set budget.cap, or uniform")
        if by_importance and adapters.dora:
            faults.append("budget.allocation=importance weighs ranks alone; set dora=false")
        if self.budget.spend == "frugal" and adapters.rank is not None:
            faults.append("budget.spend=frugal chooses the ranks; set adapters.rank=auto")
        if adapters.init == "pissa" and adapters.dora:
            faults.append("adapters.init=pissa changes the weights that adapters.dora measures")
        return faults + [
            f"{name} is for LoRA's matrices, and adapters.method={adapters.method} has none; "
            f"set {name}={str(idle).lower()}"
            for name, idle in METHODS[adapters.method].idle.items()
            if attrgetter(name)(self) != idle
        ]

    def with_values(self, values: Mapping[str, object]) -> Config:
        """The same settings with some dotted names changed, checked anew."""
        tree = self.model_dump()
        for name, value in values.items():
            section, _, key = name.rpartition(".")
            (tree[section] if section else tree)[key] = value
        return build_config(tree, [])

    def by_name(self) -> dict[str, Any]:
        """Every value as JSON has it, under its dotted name."""
        tree = self.model_dump(mode="json")
        sections = {name: own for name, own in tree.items() if isinstance(own, dict)}
        alone = {name: value for name, value in tree.items() if name not in sections}
        return alone | {f"{k}.{name}": own[name] for k, own in sections.items() for name in own}

    def to_toml(self) -> str:
        """These settings as TOML; :func:`tightfit.config.from_toml` gives an equal object back."""
        return tomli_w.dumps(self.model_dump(mode="json"))


def _split_faults(data: Data) -> list[str]:
    """Contradictions between the split, its groups and the columns."""
    if not data.group_column:
        return []
    if data.split != "group":
        return [
            f"data.group_column={data.group_column} does nothing with data.split={data.split}; "
            "set data.split=group"
        ]
    if data.group_column == data.label_column:
        return [
            f"data.group_column={data.group_column} is the column of labels; name what rows of "
            "different labels may share, such as an author"
        ]
    return []


def build_config(values: Mapping[str, Any], mistakes: list[str]) -> Config:
    """Settings from a tree of values, checked.

    Raises:
        SettingsError: with ``mistakes``, and with every one that the check finds.
    """
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        mistakes = [*mistakes, *map(explained, error.errors())]
    if mistakes:
        raise SettingsError(
            "the settings have "
            + ("a mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"),
            seen="\n           ".join(mistakes),
            next_step="correct them; recipes and settings are listed by 'tightfit train --help'",
        )
    return config


def explained(error: Any) -> str:
    """One line for one finding of pydantic: where, the value seen, and what is due."""
    where = ".".join(str(part) for part in error["loc"] if not str(part).startswith("function-"))
    message = error["msg"].removeprefix("Value error, ")
    return f"{where} = {error['input']!r}: {message}" if where else message
