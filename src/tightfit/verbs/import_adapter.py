"""``tightfit import``: a run from an adapter that was trained elsewhere.

What can be refused at once is refused here, before torch is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tightfit import storage
from tightfit.data.output_paths import check_not_input, refuse_inside_run
from tightfit.encoder.adapter_weights import ADAPTER_CONFIG
from tightfit.errors import ArtefactError
from tightfit.extras import loading_much
from tightfit.model.locate import check_model
from tightfit.progress import Progress, RichProgress
from tightfit.storage.whole import check_replaceable

if TYPE_CHECKING:
    from tightfit.verbs.imported_run import ImportResult


def import_adapter(
    folder: str | Path,
    base: str,
    *,
    out: str | Path | None = None,
    labels: Sequence[str] | str | None = None,
    max_length: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ImportResult:
    """Make a sealed run of a PEFT LoRA adapter, so that it predicts, evaluates and exports.

    Args:
        folder: as ``PeftModel.save_pretrained`` writes it.
        base: Hub name, folder, or the embedded model on which it was trained.
        out: the run folder; None takes the next ``runs/NNN``.
        labels: names in order; None takes those beside the adapter, else those of the base model,
            else LABEL_0, LABEL_1 and so on.
        max_length: longest text to read, in tokens; None takes the usual one.
        overwrite: replace a run that is there.
        progress: how to speak to people; None speaks on stderr.

    Raises:
        ArtefactError: the adapter is damaged, or belongs to another base model.
        TightfitError: its other subclasses tell what else is wrong; nothing is left behind.
    """
    progress, folder = progress or RichProgress(), Path(folder)
    path = Path(out) if out is not None else storage.next_path()
    _check_out(path, folder, base, overwrite=overwrite)
    if not (folder / ADAPTER_CONFIG).is_file():
        raise _no_adapter(folder)
    check_model(base)
    with progress.work("loading torch"), loading_much():
        from tightfit.verbs.imported_run import imported_run

    return imported_run(
        folder,
        base,
        path,
        labels=labels,
        max_length=max_length,
        overwrite=overwrite,
        progress=progress,
    )


def _check_out(path: Path, folder: Path, base: str, *, overwrite: bool) -> None:
    check_not_input(path, folder, base)
    refuse_inside_run(path)
    found = storage.RunFolder(path)
    check_replaceable(path, overwrite=overwrite, marker=found.manifest.name)
    if found.sealed:
        storage.refuse_strange(found)


def _no_adapter(folder: Path) -> ArtefactError:
    # PEFT puts an adapter that has a name of its own into a folder of that name.
    inside = sorted(file.parent.name for file in folder.glob(f"*/{ADAPTER_CONFIG}"))
    named = f"give one of those in it: {', '.join(inside)}" if inside else None
    return ArtefactError(
        "there is no adapter in this folder",
        seen=folder,
        allowed=f"a folder with {ADAPTER_CONFIG}",
        next_step=named or "give the folder that PeftModel.save_pretrained wrote",
    )
