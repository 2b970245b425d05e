"""``tightfit audit``: did the adapters learn? For a run, or an adapter folder from anywhere."""

from __future__ import annotations

from pathlib import Path

from tightfit import storage
from tightfit.model.adapter_audit import Audit, audit_artefact, audit_folder
from tightfit.run import Run


def audit(path: str | Path) -> Audit:
    """Look into a run, or into a PEFT LoRA adapter folder from anywhere.

    Raises:
        ArtefactError: there is no run and no LoRA adapter here, or it is incomplete or damaged.
    """
    folder = storage.RunFolder(Path(path))
    if not (folder.config.is_file() or folder.manifest.is_file()):
        return audit_folder(path)
    run = Run.open(path)
    return audit_artefact(run.artefact, run.plan, run.labels)
