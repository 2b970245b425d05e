"""``tightfit report``: a fresh page about a run."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from tightfit import storage
from tightfit.data.output_paths import refuse_inside_run
from tightfit.errors import MachineError, UsageError
from tightfit.progress import Progress, RichProgress
from tightfit.run import Run


def report(
    run: str | PathLike[str], *, out: str | Path | None = None, progress: Progress | None = None
) -> Path:
    """Write a page about a run, with the evaluations since it was sealed; returns where it is.

    Args:
        run: a run folder, or a run in one.
        out: the file to write; None takes ``derived/report.html`` in the run, whose own page
            stays as it was sealed.
        progress: how to speak to people; None speaks on stderr.

    Raises:
        ArtefactError: the run is incomplete or damaged.
        MachineError: the page cannot be written.
        UsageError: ``out`` is a folder, or a part of the run that is sealed.
    """
    found = Run.open(run)
    folder = found.folder
    path = folder.derived / folder.report.name if out is None else Path(out)
    _check_out(path)
    with (progress or RichProgress()).work("writing the page; mistakes are read again"):
        from tightfit.reporting.page import render

        page = render(found, explain=True)
    storage.make_folder(path.parent)
    storage.write_text(path, page)
    return path


def _check_out(path: Path) -> None:
    if path.is_dir():
        raise UsageError("the page is to be a file", seen=f"{path}, a folder")
    if path.is_file() and not path.read_bytes()[:15].lower().startswith(b"<!doctype html"):
        raise UsageError(
            "the output exists already, and is no page",
            seen=path,
            next_step="give --out another name",
        )
    refuse_inside_run(path)
    try:
        storage.check_may_add(path)
    except MachineError as refused:
        refused.next_step = "choose another place for the page with --out FILE"
        raise
