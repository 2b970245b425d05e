"""Which layers of an encoder the settings offer to adapters."""

from __future__ import annotations

from typing import Literal

from tightfit.budget.shapes import EncoderShapes, LinearShape
from tightfit.config import Adapters
from tightfit.errors import SettingsError
from tightfit.methods import METHODS


def targeted(shapes: EncoderShapes, asked: Adapters) -> list[LinearShape]:
    """What a method has something to train on, of the layers of the roles in the uppermost blocks.

    Raises:
        SettingsError: the model has no layer of a role, or not so many blocks.
    """
    method, targets = METHODS[asked.method], asked.targets
    if not (method.kinds or method.vectors):
        return []
    known = dict.fromkeys(role for shape in shapes.layers for role in shape.roles)
    unknown = [role for role in targets if role not in known]
    if unknown:
        raise SettingsError(
            f"{shapes.model_type} has no layer for a target",
            seen=", ".join(unknown),
            allowed=", ".join(known),
            next_step="name other roles in adapters.targets",
        )
    lowest = 0 if asked.layers is None else _lowest_block(shapes, asked.layers)
    return [
        shape
        for shape in shapes.layers
        if shape.block >= lowest
        and not set(targets).isdisjoint(shape.roles)
        and method.suits(shape.roles, bias=shape.bias)
    ]


def _lowest_block(shapes: EncoderShapes, asked: int | Literal["half"]) -> int:
    """The lowest of so many uppermost blocks, counted from below."""
    blocks = len({shape.block for shape in shapes.layers})
    if blocks < shapes.depth:
        raise SettingsError(
            f"{shapes.model_type} has no upper layers to adapt: its {shapes.depth} layers share "
            + ("one block" if blocks == 1 else f"{blocks} blocks"),
            seen=f"adapters.layers={asked}",
            allowed="all",
            next_step="leave adapters.layers=all, or choose an encoder of another family",
        )
    uppermost = (blocks + 1) // 2 if asked == "half" else asked
    if uppermost > blocks:
        raise SettingsError(
            "the encoder has fewer layers than are to be adapted",
            seen=f"adapters.layers={asked}",
            allowed=f"1 to {blocks}, or all",
            next_step="set adapters.layers within that range",
        )
    return blocks - uppermost
