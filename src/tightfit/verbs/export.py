"""``tightfit export``: a run as a folder that other programs load, proven equal first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tightfit import storage
from tightfit.cascade.two_stage import CASCADE, write_cascade
from tightfit.data.sources import Columns, read_table
from tightfit.display import Shown
from tightfit.errors import UsageError
from tightfit.exporting.exporter import FACTS_FILE, Exported, Rows
from tightfit.exporting.exporter import export as export_classifier
from tightfit.exporting.formats import check_format
from tightfit.progress import Progress, RichProgress
from tightfit.run import Run
from tightfit.storage.whole import check_replaceable, whole_folder

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


def export(
    run: str | Path,
    form: str,
    out: str | Path,
    *,
    data: Any = None,
    max_length: int | None = None,
    text_column: Sequence[str] | str | None = None,
    label_column: str | None = None,
    overwrite: bool = False,
    cascade: bool = False,
    progress: Progress | None = None,
) -> ExportResult:
    """Write a run in another form, compare the two, and keep the folder only if they agree.

    Args:
        run: a run folder.
        form: ``peft``, ``merged``, ``onnx`` or ``onnx-int8``.
        out: the folder to write; it appears when it is complete.
        data: rows on which run and export are compared, besides random batches; labelled ones for
            ``onnx-int8``, which may lose 0.3 points of accuracy on them. Without any, the texts of
            the sample serve, and the loss is estimated from the run's own probabilities.
        max_length: longest text to read, in tokens; None takes the run's own.
        text_column: column, or columns to join with a space.
        label_column: column of the labels.
        overwrite: replace a folder that an earlier export wrote.
        cascade: put the run's cascade, as ``make_cascade`` made it, beside the model.
        progress: how to speak to people; None speaks on stderr.

    Raises:
        ProofError: the export does not answer as the run does; nothing is kept.
        TightfitError: its other subclasses tell what else is wrong.
    """
    progress, out = progress or RichProgress(), Path(out)
    known = check_format(form)
    check_replaceable(out, overwrite=overwrite, marker=FACTS_FILE)
    _refuse_inside_run(out)
    loaded = Run.load(run, max_length=max_length)
    check_format(form, loaded.classifier)
    columns = loaded.columns(text_column, label_column)
    rows = _rows(loaded, data, columns, labelled=known == "onnx-int8")
    if data is None and known == "onnx-int8":
        progress.warn(
            "no labelled rows were given: what int8 costs is estimated on the texts of the sample; "
            "give --data to measure it"
        )
    if loaded.decisions.long_text.value != "head":
        progress.warn(
            f"the run reads {loaded.decisions.long_text.value} of texts longer than "
            f"{loaded.predictor.max_length} tokens, and other tools their head alone: of such "
            "texts they may think otherwise"
        )
    with whole_folder(out, overwrite=overwrite, marker=FACTS_FILE) as folder:
        exported = export_classifier(loaded, known, folder, rows, progress=progress)
        if cascade:
            write_cascade(folder / CASCADE, loaded.cascade)
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    return ExportResult(**vars(exported), out=out, files=tuple(files))


def _rows(run: Run, data: Any, columns: Columns, *, labelled: bool) -> Rows:
    if data is None:
        table = read_table(FALLBACK, Columns(), labelled=False)
        return Rows(table.texts, None, FALLBACK)
    table = read_table(data, columns, labelled=labelled)
    return Rows(table.texts, run.task.encode(table) if labelled else None, table.source)


def _refuse_inside_run(out: Path) -> None:
    """A sealed run never changes; only below ``derived/`` may anything be added."""
    for parent in out.absolute().parents:
        folder = storage.RunFolder(parent)
        if folder.manifest.is_file() and not out.absolute().is_relative_to(folder.derived):
            raise UsageError(
                "an export cannot lie inside a run, which never changes once it is sealed",
                seen=out,
                next_step=f"choose an --out beside {parent}",
            )
