"""Spreadsheets made by hand, sound and hostile, since no library that writes them is needed."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from datetime import date
from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
OPEN = "urn:oasis:names:tc:opendocument:xmlns"

DAY_ZERO = date(1899, 12, 30)

Cells = Sequence[Sequence[Any]]


def xlsx(
    sheets: Mapping[str, Cells | bytes], merged: Sequence[str] = (), hidden: Sequence[str] = ()
) -> bytes:
    """A workbook.

    Args:
        sheets: rows by the name of their sheet, or the XML of one.
        merged: ranges such as ``B2:B4``, merged in every sheet.
        hidden: names of sheets that are not shown.
    """
    entries, relations, parts = [], [], {}
    for number, (name, rows) in enumerate(sheets.items(), start=1):
        state = ' state="hidden"' if name in hidden else ""
        entries.append(f'<sheet name="{name}" sheetId="{number}" r:id="r{number}"{state}/>')
        relations.append(
            f'<Relationship Id="r{number}" Type="{DOCUMENT}/worksheet" '
            f'Target="worksheets/sheet{number}.xml"/>'
        )
        xml = rows if isinstance(rows, bytes) else sheet_xml(rows, merged)
        parts[f"xl/worksheets/sheet{number}.xml"] = xml
    book = f'<workbook xmlns="{MAIN}" xmlns:r="{DOCUMENT}"><sheets>{"".join(entries)}</sheets>'
    relations.append(f'<Relationship Id="s" Type="{DOCUMENT}/styles" Target="styles.xml"/>')
    return packed(
        {
            "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"/>',
            "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="b" '
            f'Type="{DOCUMENT}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
            "xl/workbook.xml": f"{book}</workbook>",
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
            f"{''.join(relations)}</Relationships>",
            "xl/styles.xml": f'<styleSheet xmlns="{MAIN}"><cellXfs count="2"><xf numFmtId="0"/>'
            '<xf numFmtId="14"/></cellXfs></styleSheet>',
            **parts,
        }
    )


def sheet_xml(rows: Cells, merged: Sequence[str] = ()) -> bytes:
    """One sheet of a workbook."""
    lines = [
        f'<row r="{i}">{"".join(_cell(cell, f"{chr(64 + j)}{i}") for j, cell in enumerate(row, 1))}'
        "</row>"
        for i, row in enumerate(rows, start=1)
    ]
    ranges = "".join(f'<mergeCell ref="{each}"/>' for each in merged)
    ranges = f"<mergeCells>{ranges}</mergeCells>" if merged else ""
    body = f"<sheetData>{''.join(lines)}</sheetData>{ranges}"
    return f'<worksheet xmlns="{MAIN}">{body}</worksheet>'.encode()


def _cell(cell: Any, place: str) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return f'<c r="{place}" t="b"><v>{int(cell)}</v></c>'
    if isinstance(cell, int | float):
        return f'<c r="{place}"><v>{cell}</v></c>'
    if isinstance(cell, date):
        return f'<c r="{place}" s="1"><v>{(cell - DAY_ZERO).days}</v></c>'
    if cell.startswith("#"):
        return f'<c r="{place}" t="e"><v>{cell}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>'


def ods(rows: str) -> bytes:
    """A sheet of an OpenDocument spreadsheet, from the XML of its rows, see :func:`ods_row`."""
    names = " ".join(
        f'xmlns:{name}="{OPEN}:{name}:1.0"' for name in ("office", "table", "text", "manifest")
    )
    table = f'<table:table table:name="S">{rows}</table:table>'
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    return packed(
        {
            "mimetype": kind,
            "META-INF/manifest.xml": f"<manifest:manifest {names}/>",
            "content.xml": f"<office:document-content {names}><office:body><office:spreadsheet>"
            f"{table}</office:spreadsheet></office:body></office:document-content>",
        }
    )


def ods_row(*cells: str, rows: int = 1, columns: int = 1) -> str:
    """A row of strings, so many times; an empty string is an empty cell."""
    again = f' table:number-columns-repeated="{columns}"' if columns > 1 else ""
    inside = "".join(
        f'<table:table-cell office:value-type="string"{again}><text:p>{escape(cell)}</text:p>'
        "</table:table-cell>"
        if cell
        else f"<table:table-cell{again}/>"
        for cell in cells
    )
    times = f' table:number-rows-repeated="{rows}"' if rows > 1 else ""
    return f"<table:table-row{times}>{inside}</table:table-row>"


def packed(parts: Mapping[str, str | bytes]) -> bytes:
    """A .zip of these files."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()
