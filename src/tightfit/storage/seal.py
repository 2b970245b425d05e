"""The seal of a run: a manifest with the digest of every file, written last.

Where the manifest is, everything is; and a sealed run never changes. What is worked out later is
kept beside it, in ``derived/``, each file with a digest of its own.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from tightfit.digests import file_sha256
from tightfit.errors import ArtefactError
from tightfit.storage.files import (
    TEMPORARY_SUFFIX,
    machine_errors,
    parsed,
    read_digested,
    write_digested,
)
from tightfit.storage.folder import RunFolder, kept_beside

T = TypeVar("T")

_FROM_A_RUN = re.compile(r'^start = "run"$', re.MULTILINE)
"""Of its settings: the head's start."""

_UNSEALED = ("checkpoints", "derived", "manifest.json")
FORMAT = 2
"""Of the run folder; counted on when a reader of the one before would misread it."""

READABLE = (1, FORMAT)
"""Format 1 kept decisions among the settings."""

_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)


class SealedFile(BaseModel):
    """One file of a sealed run: path within the run (``/`` between parts), digest, size."""

    model_config = _STRICT
    path: str
    sha256: str
    bytes: int


class Manifest(BaseModel):
    """What the seal says: every file, the libraries' versions, the base model's identity."""

    model_config = _STRICT
    format: int
    files: list[SealedFile]
    versions: dict[str, str]
    base: dict[str, str]


def seal(folder: RunFolder, versions: Mapping[str, str], base: Mapping[str, str]) -> None:
    """Finish a run: write the manifest over everything but checkpoints and derived files.

    Args:
        folder: a run that is complete and not yet sealed.
        versions: version of each library that took part.
        base: the identity of the base model, such as its name and digest.

    Raises:
        ArtefactError: the run holds a symbolic link, or a pipe or device.
        MachineError: a file cannot be read, or the manifest not written.
    """
    assert not folder.manifest.exists(), "a sealed run never changes"
    with machine_errors(folder.root, "read"):
        for leftover in folder.root.rglob(f".*{TEMPORARY_SUFFIX}"):
            leftover.unlink()
        files = [_describe(folder, name) for name in _sealed_names(folder)]
    manifest = Manifest(format=FORMAT, files=files, versions=dict(versions), base=dict(base))
    write_digested(folder.manifest, manifest.model_dump())


def open_run(path: Path) -> RunFolder:
    """The folder of a sealed run, after checking that it is whole and unchanged.

    Raises:
        ArtefactError: not a run, not finished, or a file is missing, changed or added.
        MachineError: a file may not be read.
    """
    folder = RunFolder(path)
    manifest = read_manifest(folder)
    with machine_errors(path, "read"):
        present = set(_sealed_names(folder))
        listed = {file.path: file for file in manifest.files}
        # Only names found by walking the folder are opened, so a listed path cannot lead out of it.
        faults = [f"missing: {name}" for name in sorted(listed.keys() - present)]
        faults += [f"added: {name}" for name in sorted(present - listed.keys())]
        for name in sorted(present & listed.keys()):
            if not _unchanged(folder, listed[name]):
                faults.append(f"changed: {name}")
    if faults:
        raise ArtefactError(
            f"the run in {path} is not as it was sealed",
            seen="; ".join(faults),
            next_step="restore it from a copy, or train again",
        )
    return folder


def read_manifest(folder: RunFolder) -> Manifest:
    """The seal of a run, checked against its own digest; the files are not looked at.

    Raises:
        ArtefactError: not a run, not finished, of another format, or the manifest is damaged.
        MachineError: it may not be read.
    """
    _check_finished(folder)
    value = read_digested(folder.manifest)
    if value.get("format", FORMAT) not in READABLE:
        raise ArtefactError(
            f"the run in {folder.root} was sealed by another version of tightfit",
            seen=f"format {value['format']}",
            allowed=" or ".join(map(str, READABLE)),
            next_step="open it with the version that stands in its manifest.json",
        )
    return parsed(Manifest, value, folder.manifest)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises:
        MachineError: it cannot be made.
    """
    with machine_errors(path, "make"):
        path.mkdir(parents=True, exist_ok=True)


def write_derived(folder: RunFolder, name: str, value: Mapping[str, Any]) -> Path:
    """Keep something that was worked out after sealing, in ``derived/NAME.json``; returns the path.

    Raises:
        MachineError: it cannot be written.
    """
    path = _derived_path(folder, name)
    make_folder(folder.derived)
    write_digested(path, value)
    return path


def read_derived(folder: RunFolder, name: str) -> dict[str, Any]:
    """What :func:`write_derived` kept under ``name``.

    Raises:
        ArtefactError: it is missing, or changed since it was written.
        MachineError: it may not be read.
    """
    return read_digested(_derived_path(folder, name))


def find_derived(folder: RunFolder, name: str, kind: type[T]) -> T | None:
    """A dataclass that :func:`write_derived` kept under ``name``; None where nothing was kept.

    Raises:
        ArtefactError: it is damaged.
        MachineError: it may not be read.
    """
    path = _derived_path(folder, name)
    return parsed(kind, read_derived(folder, name), path) if path.is_file() else None


def _derived_path(folder: RunFolder, name: str) -> Path:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name), name
    return folder.derived / f"{name}.json"


def _check_finished(folder: RunFolder) -> None:
    """Tell apart no folder, a run that was interrupted, and a folder of something else."""
    root = folder.root
    with machine_errors(root, "read"):
        if not root.is_dir():
            raise ArtefactError(
                "there is no run folder here", seen=root, next_step=_runs_beside(root)
            )
        if folder.sealed:
            return
        if not folder.config.is_file():
            raise ArtefactError(
                "this folder is not a run: it has neither config.toml nor manifest.json",
                seen=root,
                next_step=_runs_in(root, "runs in it") or _instead(root),
            )
    kept = kept_beside(root)
    before = f"; the run before it is in {kept}" if kept.is_dir() else ""
    raise ArtefactError(
        "the run is not finished: it has no manifest.json",
        seen=root,
        next_step=f"continue it with {_how_to_resume(folder)}{before}",
    )


def _how_to_resume(folder: RunFolder) -> str:
    """The command; a run that went on from another takes its settings from that one."""
    out = shlex.quote(str(folder.root))
    command = f"tightfit train --resume --out {out}"
    if _FROM_A_RUN.search(folder.config.read_text("utf-8", "replace")):
        return f"the options that it began with: {command} --data ROWS --from RUN …"
    recipe = shlex.quote(str(folder.config))
    return f"the rows that it began with: {command} --recipe {recipe} --data ROWS"


def _runs_beside(root: Path) -> str:
    """What to give instead."""
    return _runs_in(root.parent, "runs beside it") or "give the folder that 'tightfit train' names"


def _instead(root: Path) -> str:
    """What to do with a folder that is no run and holds none."""
    program = root / "predict.py"
    if program.is_file() and (root / "export.json").is_file():
        answers = f"python {shlex.quote(str(program))} < texts.txt"
        return f"it is an export, which answers by itself: {answers}; else give the run itself"
    return "give the folder that 'tightfit train' names"


def _runs_in(root: Path, where: str) -> str | None:
    """The first few by name, after these words."""
    folders = sorted(root.iterdir()) if root.is_dir() else []
    names = ", ".join([str(path) for path in folders if RunFolder(path).sealed][:5])
    return f"{where}: {names}" if names else None


def _sealed_names(folder: RunFolder) -> list[str]:
    """Paths within the run of all files that the seal covers, sorted."""
    names = []
    for parent, folders, files in os.walk(folder.root, onerror=_raise):
        for name in (*folders, *files):
            path = Path(parent, name)
            # A link could lead out of the run, and reading a pipe would wait for ever.
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise ArtefactError("a run may hold only plain files and folders", seen=path)
        if Path(parent) == folder.root:
            folders[:] = [name for name in folders if name not in _UNSEALED]
            files = [name for name in files if name not in _UNSEALED]
        names += [Path(parent, name).relative_to(folder.root).as_posix() for name in files]
    return sorted(names)


def _raise(error: OSError) -> None:
    """By default ``os.walk`` leaves out, in silence, what it may not read."""
    raise error


def _describe(folder: RunFolder, name: str) -> SealedFile:
    path = folder.root / name
    return SealedFile(path=name, sha256=file_sha256(path), bytes=path.stat().st_size)


def _unchanged(folder: RunFolder, sealed: SealedFile) -> bool:
    size = (folder.root / sealed.path).stat().st_size
    return size == sealed.bytes and _describe(folder, sealed.path) == sealed
