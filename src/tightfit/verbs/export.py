"""``tightfit export``: a run as a folder that other programs load, proven equal first.

What can be refused at once is refused here, before torch is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tightfit import storage
from tightfit.config import Settings
from tightfit.data.output_paths import check_not_input, refuse_inside_run
from tightfit.data.sources import check_source
from tightfit.data.text_tokenizer import TOKENIZER
from tightfit.exporting.format_names import FACTS_FILE, Pieces, check_format, check_pieces
from tightfit.extras import loading_much
from tightfit.progress import Progress, RichProgress
from tightfit.run import Run
from tightfit.storage.whole import check_replaceable

if TYPE_CHECKING:
    from tightfit.verbs.write_export import ExportResult


def export(
    run: str | PathLike[str],
    format: str,
    out: str | Path,
    *,
    data: Any = None,
    max_length: int | None = None,
    text_column: Sequence[str] | str | None = None,
    label_column: str | None = None,
    settings: Settings = (),
    vocabulary: Pieces = "all",
    overwrite: bool = False,
    cascade: bool = False,
    progress: Progress | None = None,
) -> ExportResult:
    """Write a run in another form, compare the two, and keep the folder only if they agree.

    Args:
        run: a run folder, or a run in one.
        format: ``peft``, ``merged``, ``onnx`` or ``onnx-int8``.
        out: the folder to write; it appears when it is complete.
        data: rows on which run and export are compared, besides random batches; labelled ones for
            ``onnx-int8``, which may lose 0.3 points of accuracy on them. Without any, the run's own
            validation rows are read again, or as the run kept them; where it has none, the texts of
            the sample serve, and the loss is estimated from the run's own probabilities.
        max_length: longest text to read, in tokens; None takes the run's own.
        text_column: column, or columns to join with a space.
        label_column: column of the labels.
        settings: how a text file is read: ``data.encoding``, ``data.delimiter``, ``data.quoting``,
            as assignments or by name; else as in training.
        vocabulary: ``used`` keeps only the pieces that the run's texts use, and single characters.
        overwrite: replace a folder that an earlier export wrote.
        cascade: put the run's cascade, as ``make_cascade`` made it, beside the model.
        progress: how to speak to people; None speaks on stderr.

    Raises:
        ProofError: the export does not answer as the run does, or its format cannot hold what
            trained; nothing is kept.
        TightfitError: its other subclasses tell what else is wrong.
    """
    progress, out = progress or RichProgress(), Path(out)
    known = check_format(format, pieces=vocabulary)
    check_replaceable(out, overwrite=overwrite, marker=FACTS_FILE)
    refuse_inside_run(out)
    check_not_input(out, data)
    loaded = Run.open(run, max_length=max_length)
    check_format(format, loaded.plan)
    if vocabulary == "used":
        check_pieces(storage.read_json(loaded.artefact / TOKENIZER)["model"]["type"])
    columns = loaded.columns(text_column, label_column, settings=settings)
    if data is not None:
        check_source(data, columns, labelled=known == "onnx-int8", progress=progress)
    with progress.work("loading torch"), loading_much():
        from tightfit.verbs.write_export import write_export

    return write_export(
        loaded,
        known,
        out,
        data=data,
        columns=columns,
        overwrite=overwrite,
        used=vocabulary == "used",
        cascade=cascade,
        progress=progress,
    )
