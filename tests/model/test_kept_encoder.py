"""An encoder that is kept in a form of its own, where little may be written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import platformdirs
import pytest

from tightfit import storage
from tightfit.errors import MachineError
from tightfit.model import embedded
from tightfit.model.embedded import DIGESTS_FILE, Embedded
from tightfit.storage import temporary_cache
from tightfit.user_cache import user_cache

CONVERTED = Embedded("name", "name", "json", "weights", "0123456789abcdef", converted=True)


def keep_in(patch: pytest.MonkeyPatch, cache: Path, temporary: Path) -> None:
    """Say where this user keeps things, and what is temporary; an encoder is one file."""
    patch.setenv("XDG_CACHE_HOME", str(cache))
    patch.setattr(temporary_cache, "gettempdir", lambda: temporary)
    patch.setattr(Embedded, "_check_file", lambda self, file: None)
    writer = SimpleNamespace(write_encoder=lambda file, made: (made / "config.json").touch())
    patch.setattr(embedded, "import_module", lambda name: writer)


@pytest.fixture
def barred(tmp_path: Path) -> Path:
    """What cannot be made, whoever asks."""
    (tmp_path / "file").write_bytes(b"")
    return tmp_path / "file" / "cache"


def test_one_that_is_there_is_taken_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In an image of a container the cache is read-only: no lock can be had there."""
    keep_in(monkeypatch, tmp_path, tmp_path)
    monkeypatch.setattr(embedded, "filelock", None)
    folder = tmp_path / "tightfit" / "models" / "name-0123456789ab"
    folder.mkdir(parents=True)
    storage.write_digests(folder / DIGESTS_FILE, [])
    assert CONVERTED.folder() == folder


def test_where_it_cannot_be_kept_it_is_temporary(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    barred: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A user without a home of its own; the variable that would mend it is named, once."""
    keep_in(monkeypatch, barred, tmp_path)
    found = CONVERTED.folder()
    assert CONVERTED.folder() == found
    assert (found / "config.json").is_file()
    assert found.is_relative_to(tmp_path)
    (told,) = caplog.messages
    assert "set XDG_CACHE_HOME to a folder that you may write" in told


def test_where_nothing_can_be_made_the_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, barred: Path
) -> None:
    """There is no option for that path."""
    keep_in(monkeypatch, barred, barred)
    with pytest.raises(MachineError, match="set XDG_CACHE_HOME to a folder that you may write"):
        CONVERTED.folder()


def open_to_all(folder: Path) -> None:
    """Others could put weights there."""
    folder.mkdir()
    folder.chmod(0o777)


def a_link(folder: Path) -> None:
    """It leads where somebody else wants it to."""
    folder.symlink_to(folder.parent)


@pytest.mark.parametrize("prepare", [open_to_all, a_link])
def test_a_temporary_folder_of_others_is_not_used(
    prepare: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Everybody may make a folder of any name among temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = temporary_cache.temporary_cache()
    folder.rmdir()
    prepare(folder)
    with pytest.raises(MachineError, match="somebody else may write this folder"):
        temporary_cache.temporary_cache()


def test_a_user_whom_nobody_knows_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that is given to a container, and has no line in its passwd."""

    def homeless(name: str, appauthor: bool) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(platformdirs, "user_cache_path", homeless)
    with pytest.raises(MachineError, match="this user has no home"):
        user_cache()
