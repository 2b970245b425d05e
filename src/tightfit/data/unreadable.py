"""Words on files that hold no rows of text, or hold them in a form that is not read."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from tightfit.errors import DataError
from tightfit.storage.files import machine_errors

_DOCUMENTS = (".pdf", ".doc", ".docx", ".odt", ".rtf", ".pptx", ".ppt", ".pages", ".epub", ".md")
_PAGES = (".html", ".htm", ".xml", ".eml", ".msg", ".mbox")
_PICTURES = (
    *(".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".svg", ".heic"),
    *(".mp3", ".wav", ".flac", ".mp4", ".mov"),
)
_ARRAYS = (".npy", ".npz", ".pt", ".pth", ".safetensors", ".h5", ".hdf5", ".mat", ".tfrecord")
_TABLES = (
    *(".sqlite", ".sqlite3", ".db", ".sql", ".rds", ".rdata", ".sav", ".dta", ".sas7bdat"),
    *(".avro", ".orc", ".xlsb", ".numbers", ".gsheet", ".mdb", ".accdb"),
)
_SETTINGS = (".yaml", ".yml", ".toml", ".ini")

_ADVICE = {
    **dict.fromkeys(
        (*_DOCUMENTS, *_PAGES), "take the texts out of it first, one a row, into a CSV or JSON file"
    ),
    **dict.fromkeys(_PICTURES, "tightfit classifies text; pictures and sound are not read"),
    **dict.fromkeys(
        _ARRAYS, "load it in Python, and give its texts and labels: train(data=(texts, labels))"
    ),
    **dict.fromkeys(_TABLES, "export the table as CSV or Parquet, and give that"),
    **dict.fromkeys(_SETTINGS, "give the rows as CSV, JSON lines or Parquet"),
}

_SIGNS = {
    b"PK\x03\x04": "a .zip or a spreadsheet (.xlsx, .ods)",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet or document (.xls, .doc)",
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow (.arrow, .feather)",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x1f\x8b": "compressed (.gz)",
    b"SQLite": "a database",
    b"\x93NUMPY": "an array of NumPy",
    b"\x80\x04\x95": "a pickle",
}
"""What the first bytes of files say of them, where they cannot be text."""


HEAD_BYTES = 1024
"""Looked at of a file."""

PAGE = "a page of the web (.html)"

_OBJECTS = re.compile(rb'\[\s*\{\s*"')


SAVE = "write them to a file first"


def elsewhere(path: Path) -> str | None:
    """What to do about a name that means no file: an address, or standard input."""
    if re.match(r"[a-z0-9]+:/", str(path), re.IGNORECASE):
        return "files are read, not addresses: download it first, or name a Hub data set, hf:NAME"
    return SAVE if str(path) == "-" else None


def unreadable(path: Path, known: str) -> DataError:
    """The error for a file of an ending that is not read."""
    return DataError(
        "a file of a kind that cannot be read",
        seen=path,
        allowed=known,
        next_step=_ADVICE.get(path.suffix.lower()),
    )


def refuse_foreign(path: Path) -> None:
    """Look whether a file that should be text is something else.

    Raises:
        DataError: its first bytes are those of another kind of file.
    """
    with machine_errors(path, "read"), path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    kind = next((kind for sign, kind in _SIGNS.items() if head.startswith(sign)), None)
    kind = kind or _kind_of_text(path, head)
    if kind is not None:
        raise DataError(
            f"{path} is not what its ending says",
            seen=f"its first bytes are those of {kind}",
            next_step="fetch the file itself: a page came in its place"
            if kind == PAGE
            else "give it the ending of what it is",
        )


def _kind_of_text(path: Path, head: bytes) -> str | None:
    """A page, or JSON under an ending of other text."""
    begin = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if begin[:14].lower().startswith((b"<!doctype html", b"<html")):
        return PAGE
    json = begin.startswith(b'{"') or _OBJECTS.match(begin)
    return "JSON (.json, .jsonl)" if json and "json" not in path.suffix.lower() else None
