"""An encoder that is kept in a form of its own, where little may be written."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tightfit import storage
from tightfit.errors import MachineError
from tightfit.model import embedded
from tightfit.model.embedded import DIGESTS_FILE, Embedded

CONVERTED = Embedded("name", "name", "json", "weights", "0123456789abcdef", converted=True)


def kept_in(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Say where this user keeps things; no lock can be had there."""
    kept = SimpleNamespace(user_cache_path=lambda name, appauthor: cache)
    monkeypatch.setattr(embedded, "platformdirs", kept)
    monkeypatch.setattr(embedded, "filelock", None)


def test_one_that_is_there_is_taken_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In an image of a container the cache is read-only."""
    kept_in(monkeypatch, tmp_path)
    folder = tmp_path / "models" / "name-0123456789ab"
    folder.mkdir(parents=True)
    storage.write_digests(folder / DIGESTS_FILE, [])
    assert CONVERTED.folder() == folder


def test_where_it_cannot_be_kept_the_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A user without a home of its own: there is no option for that path."""
    (tmp_path / "home").write_bytes(b"")
    kept_in(monkeypatch, tmp_path / "home" / ".cache")
    with pytest.raises(MachineError, match="set XDG_CACHE_HOME to a folder that you may write"):
        CONVERTED.folder()
