"""Large files in pieces that may travel, and back together again; nothing here needs a package."""

from __future__ import annotations

import shutil
from pathlib import Path

MOST_BYTES = 60 * 2**20
"""Of one piece: what travels in files below 64 MiB keeps some room."""

MARK = ".piece-"


def split(file: Path, most: int = MOST_BYTES) -> list[Path]:
    """Put pieces in the place of a file of more than ``most`` bytes; returns what is there."""
    if file.stat().st_size <= most:
        return [file]
    pieces: list[Path] = []
    with file.open("rb") as whole:
        while data := whole.read(most):
            piece = file.with_name(f"{file.name}{MARK}{len(pieces):03d}")
            piece.write_bytes(data)
            pieces.append(piece)
    file.unlink()
    return pieces


def joined(folder: Path, work: Path) -> Path:
    """A folder with the same files whole: ``folder`` itself where none of them is in pieces.

    Args:
        folder: what was packed.
        work: where a whole copy is made, unless it is there already.
    """
    pieces = sorted(folder.rglob(f"*{MARK}*"))
    if not pieces:
        return folder
    if work.is_dir():
        return work
    partial = work.with_name(f"{work.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(folder, partial, ignore=shutil.ignore_patterns(f"*{MARK}*"))
    for piece in pieces:
        target = partial / piece.relative_to(folder).with_name(piece.name.partition(MARK)[0])
        with target.open("ab") as whole:
            whole.write(piece.read_bytes())
    return partial.rename(work)
