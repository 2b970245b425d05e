"""A run as a folder that other programs load, proven equal first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tightfit.cascade.two_stage import CASCADE, write_cascade
from tightfit.data.sources import Columns, read_table
from tightfit.display import Shown
from tightfit.exporting.exporter import Exported, Rows
from tightfit.exporting.exporter import export as export_classifier
from tightfit.exporting.names import FACTS_FILE, Format
from tightfit.progress import Progress
from tightfit.run import Run
from tightfit.storage.whole import whole_folder

FALLBACK = "sample:test"
"""Texts to compare on where none are given; their labels belong to another task."""


@dataclass(frozen=True, repr=False)
class ExportResult(Shown, Exported):
    """What was written, and how it compares."""

    out: Path
    files: tuple[str, ...]
    """Paths within the folder, sorted."""

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit export --json`` prints."""
        return {"files": list(self.files), **super().to_json()}

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
    cascade: bool,
    progress: Progress,
) -> ExportResult:
    """Write a run in another form; see :func:`tightfit.verbs.export.export`."""
    rows = _rows(run, data, columns, labelled=form == "onnx-int8")
    if data is None and form == "onnx-int8":
        progress.warn(
            "no labelled rows were given: what int8 costs is estimated on the texts of the sample; "
            "give --data to measure it"
        )
    if run.decisions.long_text.value != "head":
        progress.warn(
            f"the run reads {run.decisions.long_text.value} of texts longer than "
            f"{run.predictor.max_length} tokens, and other tools their head alone: of such "
            "texts they may think otherwise"
        )
    with whole_folder(out, overwrite=overwrite, marker=FACTS_FILE) as folder:
        exported = export_classifier(run, form, folder, rows, progress=progress)
        if cascade:
            write_cascade(folder / CASCADE, run.cascade)
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    return ExportResult(**vars(exported), out=out, files=tuple(files))


def _rows(run: Run, data: Any, columns: Columns, *, labelled: bool) -> Rows:
    if data is None:
        table = read_table(FALLBACK, Columns(), labelled=False)
        return Rows(table.texts, None, FALLBACK)
    table = read_table(data, columns, labelled=labelled)
    return Rows(table.texts, run.task.encode(table) if labelled else None, table.source)
