"""Some texts and labels, and files of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tightfit.data.sources import (
    CHUNK_ROWS,
    Columns,
    DataLike,
    iter_records,
    open_rows,
)
from tightfit.progress import Progress

TEXTS = [
    *("never arrived, no refund", "wrong size; poor stitching", "an hour | a day", "up ^ down"),
    *("fast: kind", "a ~ b ¦ c", "Жаль, очень жаль", "画面が割れた", 'say "hi"', "plain"),
]
LABELS = ["neg", "neg", "pos", "pos", "neg", "pos", "neg", "neg", "pos", "pos"]


def delimited(delimiter: str, end: str = "\n") -> str:
    """A table of them, each text in quotes."""
    rows = [
        '"{}"{}{}'.format(t.replace('"', '""'), delimiter, x)
        for t, x in zip(TEXTS, LABELS, strict=True)
    ]
    return "".join(row + end for row in (f"text{delimiter}label", *rows))


def put(path: Path, content: str | bytes) -> Path:
    """A file with this very content."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


class Told(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        """Keep it."""
        self.lines.append(text)


def iter_texts(
    data: DataLike, columns: Columns, chunk_rows: int = CHUNK_ROWS
) -> Iterator[list[str]]:
    """Stream the texts alone, as predicting a file does with whatever is beside them."""
    rows, columns = open_rows(data, columns)
    return (texts for texts, _ in iter_records(rows, columns, (), chunk_rows))
