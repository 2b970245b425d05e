"""``tightfit audit``: did the adapters learn? For a run, or an adapter folder from anywhere."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from tightfit import storage
from tightfit.errors import ArtefactError
from tightfit.run import Run

if TYPE_CHECKING:
    from tightfit.model.adapter_audit import Audit


def audit(path: str | PathLike[str]) -> Audit:
    """Look into a run, or into a PEFT adapter folder from anywhere: LoRA, VeRA or IA3.

    Raises:
        ArtefactError: there is no run and no such adapter here, or it is incomplete or damaged.
    """
    folder = storage.RunFolder(Path(path))
    if not folder.root.is_dir():
        raise ArtefactError(
            "there is no folder here to audit",
            seen=path,
            next_step="give a run, or a folder with adapter_config.json and "
            "adapter_model.safetensors",
        )
    run = Run.open(path) if folder.begun else None
    from tightfit.model.adapter_audit import audit_artefact, audit_folder

    if run is None:
        return audit_folder(folder.root)
    found = audit_artefact(run.artefact, run.plan, run.labels)
    proofs = run.proofs if run.folder.proofs.is_file() else {}
    if proofs.get("no_regression", {}).get("kept_start"):
        words = f"{found.verdict}; no step did better than the start, which training kept"
        return replace(found, verdict=words)
    return found
