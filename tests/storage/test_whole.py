"""Folders that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tightfit.errors import MachineError, UsageError
from tightfit.storage.whole import check_replaceable, whole_folder


def fill(path: Path, content: str, *, overwrite: bool = False) -> None:
    """Write a folder of one file, its marker."""
    with whole_folder(path, overwrite=overwrite, marker="mark") as folder:
        assert folder != path
        (folder / "mark").write_text(content)


def names(folder: Path) -> list[str]:
    """Everything in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def test_it_appears_when_the_block_ends(tmp_path: Path) -> None:
    """Under its own name, folders above it included, with nothing beside it."""
    path = tmp_path / "a" / "b"
    with whole_folder(path, overwrite=False, marker="mark") as folder:
        (folder / "mark").write_text("1")
        assert not path.exists()
    assert (path / "mark").read_text() == "1"
    assert names(path.parent) == ["b"]


def fail_half_way(path: Path) -> None:
    """A writer that breaks off."""
    with whole_folder(path, overwrite=True, marker="mark") as folder:
        (folder / "mark").write_text("half")
        raise RuntimeError("half-way")


def test_nothing_is_left_after_an_error(tmp_path: Path) -> None:
    """Neither the folder nor its parts; what was there before stays."""
    fill(tmp_path / "out", "old")
    for name in ("new", "out"):
        with pytest.raises(RuntimeError, match="half-way"):
            fail_half_way(tmp_path / name)
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "mark").read_text() == "old"


def test_what_a_kill_left_does_no_harm(tmp_path: Path) -> None:
    """The parts of a writer that could not clean up."""
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "rest").write_text("")
    fill(tmp_path / "out", "new")
    assert names(tmp_path / "out") == ["mark"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    """mkdir first is a common habit."""
    (tmp_path / "out").mkdir()
    fill(tmp_path / "out", "new")
    assert (tmp_path / "out" / "mark").read_text() == "new"


def test_overwrite_replaces_the_whole(tmp_path: Path) -> None:
    """Files that the new folder lacks are gone; without the word nothing changes."""
    fill(tmp_path / "out", "old")
    (tmp_path / "out" / "more").write_text("")
    with pytest.raises(UsageError, match=r"exists already[\s\S]*overwrite=True"):
        fill(tmp_path / "out", "new")
    fill(tmp_path / "out", "new", overwrite=True)
    assert names(tmp_path / "out") == ["mark"]
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_other_peoples_things_are_never_replaced(kind: str, tmp_path: Path) -> None:
    """Not even with --overwrite."""
    path, away = tmp_path / "out", tmp_path / "away"
    fill(away, "mine")
    if kind == "folder":
        path.mkdir()
        (path / "thesis.tex").write_text("")
    elif kind == "file":
        path.write_text("")
    else:
        path.symlink_to(away)
    with pytest.raises(UsageError, match="holds no mark, so it is not overwritten") as caught:
        check_replaceable(path, overwrite=True, marker="mark")
    assert caught.value.exit_code == 2
    assert names(away) == ["mark"]


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    """A part of the path that is no folder."""
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="file/out") as caught:
        fill(tmp_path / "file" / "out", "new")
    assert caught.value.exit_code == 9


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """It emptied the unfinished folder of the first, which ended in an odd error."""
    path = tmp_path / "out"
    with whole_folder(path, overwrite=False, marker="mark") as folder:
        (folder / "mark").write_text("first")
        with pytest.raises(MachineError, match="another process is writing"):
            fill(path, "second")
    assert (path / "mark").read_text() == "first"
    assert names(tmp_path) == ["out"]
