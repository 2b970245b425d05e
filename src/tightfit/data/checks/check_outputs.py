"""What a check writes: its suspects as a sheet, and a cleaned copy with all columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tightfit.data.checks.cleaning import Cleaned
from tightfit.data.checks.findings import Suspected
from tightfit.data.checks.markup import decode_markup
from tightfit.data.copies import Sheet
from tightfit.data.nested import changed
from tightfit.data.sources import CHUNK_ROWS, Columns, DataLike, open_rows
from tightfit.data.table import Table


def suspects_sheet(table: Table, suspects: Sequence[Suspected]) -> Sheet:
    """One row a suspect label, the most suspect first.

    ``row`` counts the rows of the source from 0, without a header: as in a frame read from it.
    ``place`` is what people are told, such as ``line 152`` of a text file.
    """
    numbers = table.numbers
    return Sheet(
        {
            "row": [each.row if numbers is None else numbers[each.row] for each in suspects],
            "place": [table.place(each.row) for each in suspects],
            "given_label": [each.given for each in suspects],
            "suggested_label": [each.suggested for each in suspects],
            "confidence": [round(each.confidence, 4) for each in suspects],
            "text": [table.texts[each.row] for each in suspects],
        }
    )


def cleaned_sheet(data: DataLike, columns: Columns, clean: Cleaned) -> Sheet:
    """The rows that are left, with every column of the source under its own name.

    Labels of a text file are written as they were read, integers as integers.

    Args:
        data: the source that ``clean`` was made from.
        columns: which of its columns hold text and label.
        clean: which rows are left, and whether their markup was decoded.
    """
    if isinstance(data, Table):
        return Sheet.of(clean.table)
    rows, columns = open_rows(data, columns)
    labelled = clean.table.targets is not None
    texts, label = rows.choose(columns.text, columns.label if labelled else None)
    columns_of_copy = rows.all_columns()
    whole = rows.whole(columns_of_copy, CHUNK_ROWS)
    kept = clean.rows if clean.table.numbers is None else clean.table.numbers
    cells: dict[str, list[Any]] = {
        name: [column[row] for row in kept]
        for name, column in zip(columns_of_copy, whole.cells, strict=True)
    }
    for name, path in map(rows.split, texts) if clean.decoded is not None else ():
        cells[name] = [changed(cell, path, _decoded) for cell in cells[name]]
    if len(label) != 1 or label[0] not in cells:  # marks of their own, or inside of other cells
        return Sheet(cells)
    names, own = rows.class_names(label[0]), cells[label[0]]
    if rows.untyped:
        if clean.table.labels is not None and names is None:
            own[:] = clean.table.labels
        return Sheet(cells)
    return Sheet(cells, label[0], names if all(isinstance(cell, int) for cell in own) else None)


def _decoded(cell: Any) -> Any:
    return decode_markup(cell) if isinstance(cell, str) else cell
