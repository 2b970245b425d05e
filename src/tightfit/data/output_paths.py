"""Where an output may not go: onto what is read, or, unasked, onto what somebody else wrote."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path

from tightfit.data.compressed import PART_SIGN
from tightfit.data.many_files import Sources, is_many
from tightfit.errors import UsageError
from tightfit.storage import RunFolder
from tightfit.storage.whole import PARTIAL_SUFFIX


def check_not_input(out: Path, *sources: object) -> None:
    """Refuse an output that is one of the inputs, or would take one with it.

    Links, hard ones too, and other ways to write the same path are seen through.

    Args:
        out: a file, or a folder that is to be replaced.
        sources: what is read: paths, patterns, folders; names and rows in memory are passed over.

    Raises:
        UsageError: it is one of them, or holds one, or the folder in which it grows does.
    """
    own = {out.resolve(), out.with_name(out.name + PARTIAL_SUFFIX).resolve()}
    for file in _files(sources):
        same = out.exists() and out.samefile(file)
        if same or own & {file.resolve(), *file.resolve().parents}:
            raise UsageError(
                "the output would replace an input",
                seen=out if same else f"{out}, with {file}",
                next_step="give --out another name; --overwrite does not change this",
            )


def check_new_file(out: Path, *, overwrite: bool) -> None:
    """Refuse a file that is there already, unless it may be replaced.

    Raises:
        UsageError: there is one; or the output lies inside a sealed run, which never changes.
    """
    refuse_inside_run(out)
    if out.exists() and not overwrite:
        raise UsageError(
            "the output exists already",
            seen=out,
            next_step="replace it with --overwrite, or give --out another name",
        )


def refuse_inside_run(out: Path) -> None:
    """A sealed run never changes; only below ``derived/`` may anything be added.

    Raises:
        UsageError: the output lies in one.
    """
    whole = out.absolute()
    for parent in whole.parents:
        folder = RunFolder(parent)
        if folder.sealed and not whole.is_relative_to(folder.derived):
            raise UsageError(
                "an output cannot lie inside a run, which never changes once it is sealed",
                seen=out,
                next_step=f"choose an --out beside {parent}",
            )


def _files(sources: Sequence[object]) -> Iterator[Path]:
    """The files that are meant, as far as they are there."""
    for source in sources:
        if isinstance(source, Sources):
            yield from _files(source.names)
        if not isinstance(source, str | PathLike):
            continue
        path = Path(source)
        if not path.exists() and not is_many(path):
            path = Path(str(source).partition(PART_SIGN)[0])
        if path.is_dir():
            yield path
            yield from (file for file in path.rglob("*") if file.is_file())
        elif is_many(path):
            yield from map(Path, glob.glob(str(path), recursive=True))
        elif path.exists():
            yield path
