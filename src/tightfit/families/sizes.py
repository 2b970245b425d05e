"""A model's ``config.json``, read with types: whatever is missing or odd is refused here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tightfit.errors import ModelError


class Sizes:
    """The integers of one configuration, under the names that most families use.

    Args:
        config: a parsed ``config.json``.
        renamed: the family's own keys, each with the common name for it.
    """

    def __init__(self, config: Mapping[str, Any], renamed: Mapping[str, str]) -> None:
        self._values = {renamed.get(key, key): value for key, value in config.items()}
        self.hidden = self.count("hidden_size")
        self.inner = self.count("intermediate_size")
        self.depth = self.count("num_hidden_layers")

    def signed(self, key: str, default: int | None = None) -> int:
        """An integer; ``default`` stands for a missing or null one.

        Raises:
            ModelError: it is missing and has no default, or is not an integer.
        """
        value = self._values.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool):
            raise _unusable(key, value)
        return value

    def count(self, key: str, default: int | None = None) -> int:
        """An integer of at least 0, otherwise like :meth:`signed`."""
        value = self.signed(key, default)
        if value < 0:
            raise _unusable(key, value)
        return value

    def flag(self, key: str, default: bool) -> bool:
        """A yes or no."""
        return bool(self._values.get(key, default))

    def words(self, key: str) -> tuple[str, ...]:
        """Words given as a list, or as one text with ``|`` between them."""
        value = self._values.get(key) or ()
        parts = value.lower().split("|") if isinstance(value, str) else value
        return tuple(str(part).strip() for part in parts)


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file of a model folder, such as its ``config.json``.

    Raises:
        ModelError: it is missing, or no JSON object.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"the model's {path.name} cannot be read", seen=error) from error
    if not isinstance(value, dict):
        raise ModelError(f"the model's {path.name} is not an object", seen=type(value).__name__)
    return value


def _unusable(key: str, value: object) -> ModelError:
    return ModelError(
        f"the model's config.json gives no usable {key}",
        seen=value if value is not None else "nothing",
        allowed="a whole number",
        next_step="use the config.json that was published with the model",
    )
