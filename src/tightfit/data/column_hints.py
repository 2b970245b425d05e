"""Which columns people probably mean, by a look at some of their cells: the options that say so.

Nothing is ever read by such a guess; it only makes the hint of an error complete.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from tightfit.data.nested import is_list, is_missing
from tightfit.errors import DataError

TEXT_LENGTH = 12
"""Mean characters of a cell from which on a column may be one of texts."""

TEXT_OWN = 0.3
"""Different cells to a row from which on it may be: texts seldom repeat."""

LABEL_LENGTH = 40
"""Longest cell of a column of labels, in characters."""

LABEL_OWN = 0.5
"""Different cells to a row up to which a column may be one of labels; two are always allowed."""

PAIRS = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
    ("sentence_a", "sentence_b"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("question", "answer"),
    ("query", "document"),
    ("query", "passage"),
)
"""Names of two columns whose texts are judged together."""

AS_PAIR = "--set data.pair=true"
"""The option that has them read so."""

JOINED = "several texts a row are joined with a space:"
_OR_A_PAIR = (
    f"{JOINED[:-1]}; two that belong together, such as question and answer, are a pair with "
    f"{AS_PAIR}:"
)

_MARKS = {
    **dict.fromkeys(("1", "1.0", "true"), True),
    **dict.fromkeys(("0", "0.0", "false", ""), False),
}

_NUMBER = re.compile(r"[-+]?\d*[.,]?\d+(?:[eE][-+]?\d+)?%?")
_FRACTION = re.compile(r"[-+]?\d*[.,]\d*[1-9]\d*")
_DATE_OR_LINK = re.compile(r"(?:\d{1,4}[-/.:]\d{1,2}[-/.:]\d{1,4}\b.{0,20}|https?://\S+|\S+@\S+)")
_LABEL_NAME = re.compile(
    r"label|class|categor|sentiment|target|topic|intent|tag|stance|emotion|gold|rating|stars"
    r"|polarity|klasse|etikett|^y$",
    re.IGNORECASE,
)


def column_options(
    cells: Mapping[str, Sequence[Any]], *, text: bool = True, label: bool = True
) -> str | None:
    """The options that choose the columns, where only one choice makes sense.

    Args:
        cells: some cells of each column, by its name; some fifty rows are enough.
        text: whether the columns of the text are to be chosen. Two columns of texts are a pair.
        label: whether the column of the label is to be chosen.

    Returns:
        Such as ``--text-column v2 --label-column v1``, quoted for a shell; None where columns
        compete, or none will do.
    """
    if label and len(column_roles(cells)[1]) != 1:
        return None
    return likely_options(cells, text=text, label=label)


def likely_options(
    cells: Mapping[str, Sequence[Any]], *, text: bool = True, label: bool = True
) -> str | None:
    """The same where some columns may be the label: with the first of them."""
    texts, labels = column_roles(cells)
    if (text and len(texts) not in (1, 2)) or (label and not labels):
        return None
    options = ["--text-column", _joined(texts)] if text else []
    options += ["--label-column", labels[0]] if label else []
    return shlex.join(options) or None


def propose_pair(fault: DataError) -> None:
    """Have a proposed command of a training take texts that are usually judged together as a pair,
    or say that others may be one."""
    parts = shlex.split(fault.add or "")
    columns = [split_names(name) for flag, name in pairwise(parts) if flag == "--text-column"]
    if any(map(_pair_names, columns)):
        fault.add = f"{fault.add} {AS_PAIR}"
        fault.next_step = f"the two texts are a pair; without {AS_PAIR} they are one, with a space:"
    elif fault.next_step == JOINED:
        fault.next_step = _OR_A_PAIR


def about_joining(columns: Sequence[str]) -> list[str]:
    """What to say where two columns were named, and nothing of what becomes of them: to a
    classifier that reads them as one text, how they differ is next to nothing."""
    if len(columns) != 2:
        return []
    first, second = columns
    return [f"{first!r} and {second!r} are joined with a space; {AS_PAIR} compares the two"]


def column_roles(cells: Mapping[str, Sequence[Any]]) -> tuple[list[str], list[str]]:
    """The columns that may be texts, and those that may be labels.

    Args:
        cells: some cells of each column, by its name. Where several may be labels, those whose
            names say so are.
    """
    filled = {name: _filled(column) for name, column in cells.items()}
    pair = [name for name in cells if name.strip().lower() in _pair_names(cells)]
    lists = [name for name, column in cells.items() if any(map(is_list, column))]
    texts = pair or [n for n, column in filled.items() if n not in lists and _is_text(column)]
    labels = [n for n, own in filled.items() if n in lists or (n not in texts and _is_label(own))]
    return texts, [name for name in labels if _LABEL_NAME.search(name)] or labels


def _pair_names(names: Iterable[str]) -> tuple[str, ...]:
    """Usual names of two texts that are judged together, if both are there."""
    lower = {name.strip().lower() for name in names}
    return next((pair for pair in PAIRS if lower.issuperset(pair)), ())


def _filled(column: Sequence[Any]) -> list[str]:
    return [str(x).strip() for x in column if not is_missing(x) and str(x).strip()]


def _is_text(column: Sequence[str]) -> bool:
    if not column or fmean(map(_width, column)) < TEXT_LENGTH:
        return False
    odd = sum(bool(_NUMBER.fullmatch(x) or _DATE_OR_LINK.fullmatch(x)) for x in column)
    return len(set(column)) > TEXT_OWN * len(column) and odd < 0.5 * len(column)


def _width(text: str) -> int:
    """Characters; those of scripts that write a word with one or two count threefold."""
    return sum(3 if "\u2e80" <= character <= "\uffef" else 1 for character in text)


def _is_label(column: Sequence[str]) -> bool:
    if any(len(cell) > LABEL_LENGTH or _FRACTION.fullmatch(cell) for cell in column):
        return False
    return 2 <= len(set(column)) <= max(2, LABEL_OWN * len(column))


def _joined(names: Sequence[str]) -> str:
    """A list of names, in which one that holds a comma is quoted."""
    if len(names) == 1:
        return names[0]
    return ",".join(f'"{name}"' if "," in name else name for name in names)


def split_names(names: str) -> list[str]:
    """The names of a list joined by commas; a name that holds one may stand in double quotes."""
    parts = re.findall(r'\s*("[^"]*"|[^,]*)\s*(?:,|$)', names)
    return [part.strip().strip('"') for part in parts if part.strip()]


def one_hot_columns(cells: Mapping[str, Sequence[Any]]) -> tuple[tuple[str, ...], bool]:
    """Columns that look like one label each, and whether each row has exactly one of them.

    Args:
        cells: some cells of each column, by its name.
    """
    marks = {name: [mark(cell) for cell in column] for name, column in cells.items()}
    names = tuple(name for name, own in marks.items() if None not in own)
    if sum(any(marks[name]) for name in names) < 2:
        return (), False
    rows = zip(*(marks[name] for name in names), strict=True)
    return names, all(sum(map(bool, row)) == 1 for row in rows)


def mark(cell: object) -> bool | None:
    """Whether a cell of a column that stands for one label says yes; None where it says neither."""
    return _MARKS.get("" if is_missing(cell) else str(cell).strip().lower())
