"""Rows written to a file that :func:`tightfit.data.sources.read_table` reads back the same."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tightfit import storage
from tightfit.arrow import pa, pq
from tightfit.data.table import Table
from tightfit.errors import UsageError
from tightfit.extras import require
from tightfit.storage.files import machine_errors


@dataclass(frozen=True)
class Sheet:
    """Columns of cells under their names, all of one length."""

    columns: Mapping[str, Sequence[Any]]
    label: str = ""
    """The column of labels, where class names are to be kept beside it."""
    label_names: tuple[str, ...] | None = None
    """What its integers stand for; only Parquet keeps them."""

    @classmethod
    def of(cls, table: Table) -> Sheet:
        """Texts and, where there are any, labels as columns ``text`` and ``label``."""
        labels = {} if table.labels is None else {"label": table.labels}
        names = table.label_names if labels else None
        return cls({"text": table.texts, **labels}, "label", names)


def write_sheet(sheet: Sheet, path: Path) -> None:
    """Write columns to a file. Cells stay as they are, whatever a spreadsheet would make of them.

    A CSV has no lists: there they are JSON. Parquet has no columns of several types: they become
    strings.

    Args:
        sheet: the columns.
        path: a name ending in .csv, .jsonl or .parquet; replaced if it exists, whole or not at all;
            its folder is made.

    Raises:
        UsageError: it has another ending, or is a folder.
        MachineError: it cannot be written.
    """
    check_copy(path)
    with machine_errors(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
    storage.write_bytes(path, _FORMATS[path.suffix](sheet))


def check_copy(path: Path) -> None:
    """Refuse a name that :func:`write_sheet` cannot write to.

    Raises:
        UsageError: its ending is none that can be written, or it is a folder.
    """
    if path.suffix not in _FORMATS:
        raise UsageError(
            "rows cannot be written in this format",
            seen=path.name,
            allowed=", ".join(f"FILE{suffix}" for suffix in _FORMATS),
            next_step="give the file a name with one of these endings",
        )
    if path.is_dir():
        raise UsageError("the output is a folder", seen=path, next_step="give a file's name")


def _csv(sheet: Sheet) -> bytes:
    file = io.StringIO(newline="")
    # Every string in quotes: the module leaves a lone carriage return bare, which would end a row.
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(sheet.columns)
    rows = zip(*sheet.columns.values(), strict=True)
    writer.writerows([_flat(cell) for cell in row] for row in rows)
    return file.getvalue().encode()


def _flat(cell: Any) -> Any:
    return _json(cell) if isinstance(cell, list | tuple | dict) else cell


def _json(value: Any) -> str:
    # What JSON lacks, such as a date, is written as Python writes it.
    return json.dumps(value, ensure_ascii=False, default=str)


def _jsonl(sheet: Sheet) -> bytes:
    rows = zip(*sheet.columns.values(), strict=True)
    lines = (_json(dict(zip(sheet.columns, row, strict=True))) for row in rows)
    return "".join(f"{line}\n" for line in lines).encode()


def _parquet(sheet: Sheet) -> bytes:
    rows = pa.table({name: _array(cells) for name, cells in sheet.columns.items()})
    if sheet.label_names is not None:
        datasets = require("datasets", "a Parquet file with label names")
        features = datasets.Features.from_arrow_schema(rows.schema)
        features[sheet.label] = datasets.ClassLabel(names=list(sheet.label_names))
        rows = rows.replace_schema_metadata(features.arrow_schema.metadata)
    file = io.BytesIO()
    pq.write_table(rows, file)
    return file.getvalue()


def _array(cells: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(list(cells))
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # numbers among words, as JSON may have them
        return pa.array([None if cell is None else str(_flat(cell)) for cell in cells])


_FORMATS: dict[str, Callable[[Sheet], bytes]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
"""By the ending of the file's name."""
