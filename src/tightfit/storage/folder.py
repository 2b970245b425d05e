"""Where everything of one run lies, and how a run folder comes to be."""

from __future__ import annotations

import errno
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tightfit.errors import UsageError
from tightfit.storage.files import TEMPORARY_SUFFIX, machine_errors

START_DIGESTS = "beginning.json"
"""Among the checkpoints: digests of what was written before the first step."""

DECIDED = "decided.json"
"""Likewise, while they are written anew: decisions and plan, which a kill may have parted."""


SHOWN = 3
"""Strange files that are named."""


class _Named:
    """A file or folder of a run, by its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, run: RunFolder, owner: type) -> Path:
        return run.root / self._name


@dataclass(frozen=True)
class RunFolder:
    """Where everything of one run lies, and how far it has come; makes and reads nothing."""

    root: Path

    config = _Named("config.toml")
    """Every setting, as TOML."""
    decisions = _Named("decisions.json")
    """Every automatic choice with its reason; absent in runs of format 1."""
    plan = _Named("plan.json")
    """Layers, ranks and the head, with their prices."""
    labels = _Named("labels.json")
    """The label names in the order of their ids."""
    data = _Named("data.json")
    """Which rows were used: source, fingerprint, split."""
    history = _Named("history.jsonl")
    """One JSON object for each evaluation while training."""
    metrics = _Named("metrics.json")
    """The outcome on the validation rows."""
    validation = _Named("validation.parquet")
    """Logits and true labels of the validation rows, and texts of confident mistakes."""
    trained = _Named("trained.npy")
    """Digests of the texts that trained, here and in runs that it goes on from, if kept."""
    proofs = _Named("proofs.json")
    """The proofs with their numbers."""
    adapter = _Named("adapter")
    """PEFT folder: adapters, head, tokenizer, model card."""
    model = _Named("model")
    """The whole model, in place of :attr:`adapter`, where every weight trained."""
    checkpoints = _Named("checkpoints")
    """What training resumes from; not sealed."""
    report = _Named("report.html")
    """The page about the run."""
    derived = _Named("derived")
    """What was worked out after sealing; each file carries its own digest."""
    manifest = _Named("manifest.json")
    """The seal, written last."""

    @property
    def sealed(self) -> bool:
        """Whether the run is finished, which is not yet to say that it is whole."""
        return self.manifest.is_file()

    @property
    def begun(self) -> bool:
        """Whether this is a run, sealed or not."""
        return self.config.is_file() or self.sealed


def next_path(base: Path = Path("runs")) -> Path:
    """The first number after all those in use: ``runs/001``, ``runs/002`` and so on."""
    with machine_errors(base, "read"):
        names = [entry.name for entry in base.iterdir()] if base.is_dir() else []
    used = [int(name) for name in names if re.fullmatch(r"[0-9]+", name)]
    return base / f"{max(used, default=0) + 1:03d}"


def check_may_create(path: Path, *, overwrite: bool = False) -> None:
    """Refuse early what :func:`create` would refuse later; changes nothing.

    Raises:
        UsageError: something is there already.
        MachineError: the folder cannot be looked at, or the disk does not let it be made.
    """
    with machine_errors(path, "make"):
        if not _is_free(path):
            _check_may_replace(RunFolder(path), overwrite)
    check_may_add(path)


def check_may_add(path: Path) -> None:
    """Refuse early a file or folder that cannot be made, by the folders above it.

    Raises:
        MachineError: one is no folder, or the disk does not let anything be added there.
    """
    with machine_errors(path, "make"):
        above = next(p for p in path.absolute().parents if p.exists())
        if not above.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(above))
        if not os.access(above, os.W_OK):
            code = errno.EROFS if _is_read_only(above) else errno.EACCES
            raise OSError(code, os.strerror(code), str(above))


def create(path: Path, *, overwrite: bool = False) -> RunFolder:
    """Make an empty run folder, and the folders above it.

    An empty folder is taken as it is. With ``overwrite``, a finished run that is there is moved to
    :func:`kept_beside`, and one that is not finished deleted; anything that is not a run never is.

    Raises:
        UsageError: something is there already.
        MachineError: the folder cannot be made.
    """
    folder = RunFolder(path)
    with machine_errors(path, "make"):
        if not _is_free(path):
            _check_may_replace(folder, overwrite)
            if folder.sealed:
                _remove(kept_beside(path))
                path.rename(kept_beside(path))
            else:
                _remove(path)
        path.mkdir(parents=True, exist_ok=True)
    return folder


def kept_beside(path: Path) -> Path:
    """Where a finished run lies while another is trained into its folder."""
    whole = Path(os.path.abspath(path))
    return whole.with_name(f".{whole.name}.before")


def bring_back(path: Path) -> None:
    """Put the run of :func:`kept_beside` into its folder again, in place of what is there.

    Raises:
        MachineError: a folder cannot be removed or renamed.
    """
    with machine_errors(path, "bring back"):
        clear_unstarted(RunFolder(path))
        _remove(path)
        kept_beside(path).rename(path)


def drop_kept(path: Path) -> None:
    """Remove the run of :func:`kept_beside`, if there is one.

    Raises:
        MachineError: it cannot be removed.
    """
    with machine_errors(kept_beside(path), "remove"):
        _remove(kept_beside(path))


def _remove(path: Path) -> None:
    """A run, if it is there."""
    if _is_free(path):
        return
    _check_may_replace(RunFolder(path), overwrite=True)
    # Renaming first: a deletion that fails half-way must not leave half a run here.
    whole = Path(os.path.abspath(path))
    doomed = whole.with_name(f".{whole.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    path.rename(doomed)
    shutil.rmtree(doomed)


def clear_unstarted(folder: RunFolder) -> None:
    """Remove what a kill left of a run that had not yet begun; anything else is left as it is.

    Raises:
        MachineError: the folder cannot be looked at, or a file not be removed.
    """
    ours = {folder.config, folder.decisions, folder.plan, folder.labels, folder.data}
    with machine_errors(folder.root, "clear"):
        found = [path for path in folder.root.rglob("*") if not path.is_dir()]
        if all(path in ours or path.name.endswith(TEMPORARY_SUFFIX) for path in found):
            shutil.rmtree(folder.root, ignore_errors=not folder.root.exists())


def _check_may_replace(folder: RunFolder, overwrite: bool) -> None:
    if folder.begun and overwrite:
        refuse_strange(folder)
    if folder.root.is_symlink() or not folder.begun:
        raise UsageError(
            "the output path exists and is not a run folder, so it is not overwritten",
            seen=folder.root,
            next_step="choose another --out",
        )
    if not overwrite:
        raise UsageError(
            "the run folder exists already",
            seen=folder.root,
            next_step="continue it with --resume, replace it with --overwrite, "
            "or choose another --out",
        )


def refuse_strange(folder: RunFolder) -> None:
    """Refuse to replace a folder with what is no part of a run: other programs have folders with a
    ``config.toml`` or a ``manifest.json``, too.

    Raises:
        UsageError: it holds such files.
    """
    ours = {getattr(folder, n).name for n, part in vars(RunFolder).items() if type(part) is _Named}
    names = sorted(path.name for path in folder.root.iterdir())
    strange = [name for name in names if name not in ours and not name.endswith(TEMPORARY_SUFFIX)]
    if strange:
        raise UsageError(
            "the run folder holds files that are no part of a run, so it is not overwritten",
            seen=", ".join(strange[:SHOWN]),
            next_step="move them away, or choose another --out",
        )


def _is_read_only(path: Path) -> bool:
    """Whether the whole disk is; Windows does not tell."""
    return hasattr(os, "statvfs") and bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _is_free(path: Path) -> bool:
    """Whether nothing is there, or an empty folder."""
    if path.is_symlink() or not path.is_dir():
        return not os.path.lexists(path)
    return not any(path.iterdir())
