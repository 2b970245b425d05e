"""Folders that ``datasets.Dataset.save_to_disk`` wrote, read without that library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tightfit.data.compressed import PART_SIGN
from tightfit.data.readers_arrow import open_ipc
from tightfit.data.rows import PartFault, Rows
from tightfit.errors import DataError, nearest
from tightfit.storage.files import machine_errors

STATE, SPLITS = "state.json", "dataset_dict.json"


def is_saved(path: Path) -> bool:
    """Whether a folder is one of a data set, or of several splits of one."""
    return (path / STATE).is_file() or (path / SPLITS).is_file()


def open_saved(path: Path, source: str, split: str | None = None) -> Rows:
    """The rows of a saved data set, in their order.

    Args:
        path: the folder.
        source: where error messages say that the rows come from.
        split: which of the splits of a ``DatasetDict``; None takes the only one.

    Raises:
        DataError: the folder is damaged, or has several splits, or none of that name.
        MachineError: it cannot be read.
    """
    if not (path / SPLITS).is_file():
        if split is not None:
            raise DataError(f"{path} has no splits", seen=split, next_step=f"leave out #{split}")
        return open_ipc(_files(path), source)
    splits = _list(path / SPLITS, "splits")
    if split is None and len(splits) == 1:
        split = str(splits[0])
    if split is None or split not in splits:
        near = split and nearest(split, splits)
        raise PartFault(
            f"{path} has several splits" if split is None else f"{path} has no split {split!r}",
            seen=", ".join(splits),
            whole=source,
            likely=f"{path}{PART_SIGN}{near or splits[0]}",
        )
    return open_ipc(_files(path / split), source)


def _files(folder: Path) -> list[Path]:
    """The files of one split, in their order."""
    names = [each.get("filename") for each in _list(folder / STATE, "_data_files")]
    # Names only: a folder that somebody sent must not point elsewhere.
    files = [folder / name for name in names if isinstance(name, str) and Path(name).name == name]
    missing = [str(name) for name in names if not (folder / str(name)).is_file()]
    if len(files) < len(names) or missing or not files:
        raise DataError(
            f"{folder} lacks files of the data set that was saved there",
            seen=", ".join(missing[:3]) or None,
            next_step="save it again with save_to_disk, or to_parquet",
        )
    return files


def _list(path: Path, key: str) -> list[Any]:
    """A list in one of the folder's own files."""
    try:
        with machine_errors(path, "read"):
            value = json.loads(path.read_text("utf-8"))[key]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} is damaged", seen=f"{type(error).__name__}: {error}") from error
    if not isinstance(value, list) or not value:
        raise DataError(f"{path} is damaged", seen=f"{key} is no list, or is empty")
    return value
