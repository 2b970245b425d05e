"""A run as a folder that other programs load, proven equal first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tightfit.cascade.two_stage import CASCADE, write_cascade
from tightfit.data.sources import Columns, read_table
from tightfit.data.text_pair import TextPair
from tightfit.display import Shown
from tightfit.engines.parity import spread
from tightfit.errors import TightfitError
from tightfit.exporting.exported import ComparedRows, Exported
from tightfit.exporting.exporter import export as export_classifier
from tightfit.exporting.format_names import FACTS_FILE, Format
from tightfit.progress import Progress
from tightfit.run import Run
from tightfit.storage.whole import whole_folder
from tightfit.tasks.label_thresholds import OWN_ROWS
from tightfit.verbs.rows_of_run import rows_of

MOST_ROWS = 2_000
"""Of the run's validation rows: computed twice, by the run and by the export."""
FALLBACK = "sample:test"
"""Texts to compare on where there are no others; their labels belong to another task."""


@dataclass(frozen=True, repr=False, kw_only=True)
class ExportResult(Shown, Exported):
    """What was written, and how it compares."""

    out: Path
    files: tuple[str, ...]
    """Paths within the folder, sorted."""
    bytes: int
    """Of all files together."""

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit export --json`` prints."""
        return {"files": list(self.files), **super().to_json(), "bytes": self.bytes}

    def shown(self) -> dict[str, object]:
        """Where it is, what it holds, and that it answers as the run does."""
        same = f"{self.parity.agreement:.1%}"
        return {"out": self.out, "files": ", ".join(self.files), "same_labels": same}


def write_export(
    run: Run,
    form: Format,
    out: Path,
    *,
    data: Any,
    columns: Columns,
    overwrite: bool,
    used: bool,
    cascade: bool,
    progress: Progress,
) -> ExportResult:
    """Write a run in another form; see :func:`tightfit.verbs.export.export`."""
    with progress.track("reading rows", 1):
        rows = _rows(run, data, columns, progress, labelled=form == "onnx-int8", own_needed=used)
    progress.say(f"writing {form}, then comparing its answers on {len(rows.texts):,} rows")
    with whole_folder(out, overwrite=overwrite, marker=FACTS_FILE) as folder:
        exported = export_classifier(run, form, folder, rows, used=used, progress=progress)
        for words in exported.caveats.values():
            progress.warn(words)
        if cascade:
            write_cascade(folder / CASCADE, run.cascade)
    written = sorted(path for path in out.rglob("*") if path.is_file())
    files = tuple(path.relative_to(out).as_posix() for path in written)
    size = sum(path.stat().st_size for path in written)
    return ExportResult(**vars(exported), out=out, files=files, bytes=size)


def _rows(
    run: Run,
    data: Any,
    columns: Columns,
    progress: Progress,
    *,
    labelled: bool,
    own_needed: bool,
) -> ComparedRows:
    """The rows given, else the run's own validation rows, read again or as the run kept them, else
    the texts of the sample.

    Raises:
        TightfitError: rows cannot be read, or the run's own are needed and not at hand.
    """
    own, kept = None, None
    try:
        own = rows_of(run)
    except TightfitError as error:
        if own_needed:
            raise
        kept = _kept(run)
        if data is None and kept is None:
            progress.warn(
                f"the run's validation rows are not at hand ({error.what}): the texts of the "
                "sample serve; give --data to compare on yours"
            )
    if data is not None:
        table = read_table(data, columns, labelled=labelled)
        trained = [] if own is None else own.train.texts
        known = set(trained)
        seen = sum(text in known for text in table.texts)
        if seen:
            progress.warn(
                f"{seen:,} of {len(table):,} rows given are among those that the run was trained "
                "on: what an export costs on them says little about new rows"
            )
        targets = run.task.encode(table) if labelled else None
        return ComparedRows(table.texts, targets, table.source, trained)
    if own is not None:
        held = own.validation.select(spread(len(own.validation), MOST_ROWS))
        kept = ComparedRows(held.texts, held.targets, OWN_ROWS, own.train.texts)
    if kept is None:
        return ComparedRows(_sample_texts(pair=run.config.data.pair), None, FALLBACK)
    if run.data.folds is not None:
        progress.warn(
            "the run was trained on every row that it has: what an export costs on them says "
            "little about new rows; give --data to compare on yours"
        )
    return kept


def _kept(run: Run) -> ComparedRows | None:
    """The validation rows that the run kept whole: those of a training that went on from a run are
    in no one file, and others may have moved."""
    if run.validation is None:
        return None
    kept = run.validation.whole_rows
    kept = kept.select(spread(len(kept), MOST_ROWS))
    return ComparedRows(kept.texts, kept.targets, OWN_ROWS) if len(kept) else None


def _sample_texts(*, pair: bool) -> list[str]:
    """Texts that ship with the package; each with the next one where pairs are read."""
    texts = read_table(FALLBACK, Columns(), labelled=False).texts
    return list(map(TextPair, texts, texts[1:])) if pair else texts
