"""Words on files that hold no rows of text, or hold them in a form that is not read."""

from __future__ import annotations

from pathlib import Path

from tightfit.errors import DataError

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
    with path.open("rb") as file:
        head = file.read(8)
    kind = next((kind for sign, kind in _SIGNS.items() if head.startswith(sign)), None)
    if kind is not None:
        raise DataError(
            f"{path} is not what its ending says",
            seen=f"its first bytes are those of {kind}",
            next_step="give it the ending of what it is",
        )
