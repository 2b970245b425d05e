"""Configurations that ship with tightfit, so that a plan for them needs no network."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

_BY_HUB_NAME: dict[str, dict[str, Any]] = json.loads(
    (resources.files("tightfit") / "budget" / "published.json").read_text("utf-8")
)
_BY_SHORT_NAME = {name.rpartition("/")[2]: config for name, config in _BY_HUB_NAME.items()}

PUBLISHED_NAMES = tuple(_BY_SHORT_NAME)
"""Without the organisation that the Hub puts before them."""


def published_config(name: str) -> dict[str, Any] | None:
    """The ``config.json`` of a published model, or None where it does not ship.

    It suffices to build the very model: ``transformers.AutoConfig.for_model(**config)``.

    Args:
        name: as on the Hub, with or without the organisation.
    """
    config = _BY_HUB_NAME.get(name) or _BY_SHORT_NAME.get(name)
    return None if config is None else dict(config)
