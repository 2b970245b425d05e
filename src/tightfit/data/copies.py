"""Rows written to a file that :func:`tightfit.data.sources.read_table` reads back the same."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tightfit import storage
from tightfit.data.table import Table
from tightfit.errors import UsageError
from tightfit.extras import ARROW, lazy, require
from tightfit.storage.files import machine_errors

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa = lazy("pyarrow", ARROW)
    pq = lazy("pyarrow.parquet", ARROW)


def write_table(table: Table, path: Path) -> None:
    """Write texts and, where there are any, labels as columns ``text`` and ``label``.

    Labels are written as the table has them. Only Parquet also keeps names that the source gives
    to integer labels. Cells stay as they are, whatever a spreadsheet would make of them.

    Args:
        table: the rows.
        path: a name ending in .csv, .jsonl or .parquet; replaced if it exists, whole or not at all;
            its folder is made.

    Raises:
        UsageError: it has another ending, or is a folder.
        MachineError: it cannot be written.
    """
    check_copy(path)
    with machine_errors(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
    storage.write_bytes(path, _FORMATS[path.suffix](table))


def check_copy(path: Path) -> None:
    """Refuse a name that :func:`write_table` cannot write to.

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


def _columns(table: Table) -> dict[str, list[str] | list[int | str]]:
    labels = {} if table.labels is None else {"label": table.labels}
    return {"text": table.texts, **labels}


def _csv(table: Table) -> bytes:
    columns = _columns(table)
    file = io.StringIO(newline="")
    # Every string in quotes: the module leaves a lone carriage return bare, which would end a row.
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return file.getvalue().encode()


def _jsonl(table: Table) -> bytes:
    columns = _columns(table)
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _parquet(table: Table) -> bytes:
    rows = pa.table(_columns(table))
    if table.labels is not None and table.label_names is not None:
        datasets = require("datasets", "a Parquet file with label names")
        names = datasets.ClassLabel(names=list(table.label_names))
        features = datasets.Features({"text": datasets.Value("string"), "label": names})
        rows = rows.replace_schema_metadata(features.arrow_schema.metadata)
    file = io.BytesIO()
    pq.write_table(rows, file)
    return file.getvalue()


_FORMATS: dict[str, Callable[[Table], bytes]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
"""By the ending of the file's name."""
