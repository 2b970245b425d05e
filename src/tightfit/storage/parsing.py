"""What a file of a run holds, as the dataclass that it was written from."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from tightfit.storage.files import damaged

T = TypeVar("T")


def parsed(kind: type[T], saved: object, path: Path) -> T:
    """A dataclass from JSON; keys that it does not have are passed over.

    Raises:
        ArtefactError: entries are missing or faulty.
    """
    try:
        return TypeAdapter(kind).validate_python(saved)
    except ValidationError as error:
        raise damaged(path, f"{error.error_count()} faulty entries") from error
