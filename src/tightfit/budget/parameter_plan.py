"""What trains, to the last parameter: a plan over its cap cannot be made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tightfit.budget.budget_errors import over_budget
from tightfit.budget.parts import HeadLayer, LayerPlan, SidePlan, VectorPlan
from tightfit.config.settings_model import explained
from tightfit.errors import ArtefactError, SettingsError, UsageError
from tightfit.families import Pooling
from tightfit.families.bert import BERT
from tightfit.methods import HEAD_ONLY, METHODS, PLAIN, Method


@dataclass(frozen=True)
class Plan:
    """What trains in one model, and its price: the first of the four gates.

    Raises:
        BudgetError: the total is over the cap; the message prints the whole sum.
        SettingsError: the layers contradict the method.
        UsageError: the head has no output.
    """

    model: str
    num_labels: int
    budget: int | None
    """The cap; None where none holds."""
    method: str
    """Name of the record that says all else of it; see :attr:`record`."""
    layers: tuple[LayerPlan, ...]
    head_layers: tuple[HeadLayer, ...]
    head_modules: tuple[str, ...]
    """Modules that train and are saved whole; together they own the layers of the head."""
    everything: int = 0
    """Parameters of the whole model where all of it trains, otherwise 0."""
    frozen_constants: tuple[str, ...] = ()
    """Tensors that are saved beside the trained ones and do not count."""
    why: str = ""
    """The reason for these ranks, where the settings left them open."""
    vectors: tuple[VectorPlan, ...] = ()
    """What trains in the encoder for methods that train vectors."""
    mean_block: tuple[str, ...] = ()
    """Tensors of the frozen block that gives the head the mean of all tokens, saved like the
    constants; none where it reads the first token."""
    side: SidePlan | None = None
    """The side head, where there is one."""

    def __post_init__(self) -> None:
        if self.num_labels < 1:
            raise UsageError(
                "a head needs an output: one for a rating, one for each label",
                seen=self.num_labels,
                allowed="1 or more",
                next_step="give the number of classes, such as --labels 4",
            )
        if bool(self.vectors) != bool(self.record.vectors):
            raise SettingsError(
                f"the method {self.method} does not go with {len(self.vectors)} vectors",
                allowed=f"{_names_where(lambda m: m.vectors)} with one or more, the other methods "
                "without any",
                next_step="name layers that have a bias in adapters.targets; of a key it does "
                "nothing",
            )
        if bool(self.layers) != self.record.matrices:
            having = _names_where(lambda m: m.matrices)
            raise SettingsError(
                f"the method {self.method} does not go with {len(self.layers)} adapters",
                allowed=f"{having} with one adapter or more, the other methods without any",
                next_step=f"set adapters.targets for {having}, or adapters.method={HEAD_ONLY.name}",
            )
        if self.budget is not None and self.total > self.budget:
            raise over_budget(
                self.layers,
                self.head_layers,
                total=self.total,
                cap=self.budget,
                method=self.record,
                side=self.side,
            )

    @property
    def record(self) -> Method:
        """All that is known of its method."""
        return METHODS[self.method]

    @property
    def pooling(self) -> Pooling:
        """What the head reads of the encoder's last layer."""
        return "mean" if self.mean_block else "first"

    @property
    def peft_loads(self) -> bool:
        """Whether plain PEFT loads what is saved; it adds a block to BERT alone."""
        bert_or_none = all(name.partition(".")[0] == BERT.encoder for name in self.mean_block)
        return self.record.form == "peft" and bert_or_none

    @property
    def adapters(self) -> int:
        """Trained parameters outside the head: the adapters', or the encoder's own."""
        if self.record.whole:
            # Everything includes the head.
            return self.everything - self.head
        vectors = sum(vector.parameters for vector in self.vectors)
        return vectors + sum(layer.parameters for layer in self.layers)

    @property
    def saved_constants(self) -> tuple[str, ...]:
        """Tensors of the artefact that did not train."""
        return self.frozen_constants + self.mean_block + self.record.constants

    @property
    def head(self) -> int:
        """Parameters of the head."""
        return sum(layer.parameters for layer in self.head_layers)

    @property
    def total(self) -> int:
        """All that trains, or is solved."""
        return self.adapters + self.head + (self.side.parameters if self.side else 0)

    @property
    def headroom(self) -> int | None:
        """What the cap leaves unspent; None where no cap holds."""
        return None if self.budget is None else self.budget - self.total

    @property
    def head_ranks(self) -> dict[str, int]:
        """Ranks of the head's weights that are products of two narrow ones, by tensor."""
        return {f"{layer.name}.weight": layer.rank for layer in self.head_layers if layer.rank}

    def to_json(self) -> dict[str, Any]:
        """The plan as a JSON object; :meth:`from_json` gives an equal plan back."""
        return {
            "model": self.model,
            "num_labels": self.num_labels,
            "budget": self.budget,
            "total": self.total,
            "adapters": self.adapters,
            "head": self.head,
            **({"side": self.side.parameters} if self.side else {}),
            "headroom": self.headroom,
            "layers": [_layer_to_json(layer) for layer in self.layers],
            "head_layers": [
                # A rank is named only where there is one: most plans have none.
                {key: value for key, value in asdict(layer).items() if value is not None}
                for layer in self.head_layers
            ],
            "method": self.method,
            "head_modules": list(self.head_modules),
            "everything": self.everything,
            "frozen_constants": list(self.frozen_constants),
            "why": self.why,
            # Plans of older runs have no such entry, and stay valid.
            **({"vectors": list(map(asdict, self.vectors))} if self.vectors else {}),
            **({"mean_block": list(self.mean_block)} if self.mean_block else {}),
            **({"side_width": self.side.width} if self.side else {}),
            **({"side_reads": self.side.reads} if self.side and self.side.reads == "pairs" else {}),
            **({"shared": list(self.record.constants)} if self.record.constants else {}),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Plan:
        """The plan that :meth:`to_json` wrote; sums are worked out anew and must agree.

        Raises:
            ArtefactError: something is missing, of the wrong type, over the cap, or a sum differs.
        """
        try:
            width, reads = value.get("side_width"), value.get("side_reads", "characters")
            side = {"width": width, "labels": value.get("num_labels"), "reads": reads}
            fields = {**value, "side": None if width is None else side}
            plan = _reader().validate_json(json.dumps(fields), strict=True)
        except (KeyError, AttributeError) as error:  # no such method, or no object
            raise _damaged(f"{type(error).__name__}: {error}") from error
        except ValidationError as error:
            raise _damaged("; ".join(map(explained, error.errors()))) from error
        # The sums are in the file for other readers; one that was edited must not be believed.
        again = plan.to_json()
        for key in {**again, **value}:
            told, due = value.get(key, "nothing"), again.get(key, "nothing")
            if told != due:
                raise _damaged(f"{key} is {told} and should be {due}")
        return plan


@cache
def _reader() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)


def _names_where(has: Callable[[Method], object]) -> str:
    """The methods of which this holds, in words."""
    *most, last = [name for name, method in METHODS.items() if has(method)]
    return f"{', '.join(most)} and {last}" if most else last


def _layer_to_json(layer: LayerPlan) -> dict[str, Any]:
    return {
        "name": layer.name,
        "rank": layer.rank,
        "in": layer.in_features,
        "out": layer.out_features,
        "parameters": layer.parameters,
        "roles": list(layer.roles),
        # Plans of older runs have no such entry, and stay valid.
        **({"kind": layer.kind.name} if layer.kind != PLAIN else {}),
    }


def _damaged(seen: str) -> ArtefactError:
    return ArtefactError(
        "the plan is damaged or was changed",
        seen=seen,
        allowed="a plan as tightfit wrote it",
        next_step="restore plan.json from a copy, or train again",
    )
