"""Texts that are answered on standard output: lines as they come, or one object in the end."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from tightfit.cli.front import Front
from tightfit.data.encodings import guess, marked
from tightfit.data.text_pair import JOINT, TextPair
from tightfit.errors import DataError, UsageError

if TYPE_CHECKING:
    from rich.text import Text

    from tightfit import Run
    from tightfit.engines.leave_one_out import Word
    from tightfit.tasks import Predictions

LabelFormat = Literal["value", "id", "name"]

DIGITS = 6
"""Decimals of a probability."""

EXPLAINED_AT_ONCE = 16
"""Texts that are explained together."""

LINES_AT_ONCE = 1024
"""Lines of standard input that are answered together, so that memory stays flat."""

LISTED = 5
"""Words with their numbers, under the coloured text."""

ONE_LINE = str.maketrans("\t\n\r", "   ")
"""What in the name of a label would end a cell or a line, and shift all answers that follow."""

_ICONV = {
    "mac_roman": "macintosh",
    "utf-16-le": "utf-16le",
    "utf-16-be": "utf-16be",
}
"""Encodings that iconv calls otherwise."""

LOOKED_AT = 20
"""Lines that tell whether they are a table's."""

FOR, AGAINST = "green", "red"
"""Colours of words that speak for the answer, and against it."""

STRONG, WEAK = 0.5, 0.15
"""Shares of the strongest word's effect from which on a word is bold, and coloured at all."""


@dataclass(frozen=True)
class Style:
    """How texts are answered on standard output."""

    as_json: bool
    label_format: LabelFormat | None
    probabilities: bool
    explain: bool

    @property
    def at_once(self) -> int:
        """Texts that are answered together; each word left out is one more to read."""
        return EXPLAINED_AT_ONCE if self.explain else LINES_AT_ONCE


def answer_texts(front: Front, run: Run, texts: Iterable[str], style: Style) -> None:
    """Lines as they come, or one object in the end.

    Raises:
        UsageError: probabilities are asked of ratings.
    """
    from tightfit.model.unread_texts import unlike_training
    from tightfit.tasks import need_labels

    if style.probabilities:
        need_labels(run.task, "the probability of each label (--probabilities)")
    objects: list[dict[str, Any]] = []
    truncated = empty = 0
    for number, chunk in enumerate(_chunks(texts, style.at_once)):
        if number == 0 and (unread := unlike_training(run.artefact, run.folder.data, chunk)):
            front.show(f"warning: {unread}")
        if number == 0 and is_table(chunk, run.config.data.text_column):
            front.show(
                "warning: these lines look like a table with a header, and each is answered as one "
                f"text; to read a column: tightfit predict {run.path} --data FILE --out ANSWERS.csv"
            )
        found, reasons = run.explain(chunk) if style.explain else (run.predict(chunk), None)
        truncated += found.truncated
        empty += sum(not each.strip() for each in chunk)
        if style.as_json:
            told = list(_objects(found, len(objects), style))
            for answer, words in zip(told, reasons or (), strict=False):
                answer["words"] = [word.to_json() for word in words]
            objects += told
        elif reasons is None:
            front.lines(_lines(found, style))
        else:
            for line, each, words in zip(_lines(found, style), chunk, reasons, strict=True):
                front.lines([line])
                front.tell_people(*explained(each, words))
    if style.as_json:
        front.answer({"predictions": objects})
    tell_answered(front, truncated, empty)


def _objects(found: Predictions, start: int, style: Style) -> Iterator[dict[str, Any]]:
    spelt = [str(label) for label in found.task.spelt(style.label_format)]
    answers = found.rows(style.label_format, probabilities=False)
    shares = found.probabilities.round(DIGITS).tolist()
    for number, (answer, row) in enumerate(zip(answers, shares, strict=True), start):
        named = {"probabilities": dict(zip(spelt, row, strict=False))}
        yield {"id": number, **answer, **(named if style.probabilities else {})}


def _lines(found: Predictions, style: Style) -> Iterator[str]:
    spelt = found.task.spelt(style.label_format)
    told = zip(found.lines(style.label_format), found.probabilities.tolist(), strict=True)
    for cells, row in told:
        if style.probabilities:
            pairs = zip(spelt, row, strict=False)
            cells += [f"{name}={value:.{DIGITS}f}" for name, value in pairs]
        yield "\t".join(cell.translate(ONE_LINE) for cell in cells)


def _chunks(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    waiting = iter(texts)
    while chunk := list(islice(waiting, size)):
        yield chunk


def checked(text: str) -> str:
    """A text of the command line, which may be bytes that are no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            "a text is not UTF-8",
            seen=ascii(text),
            next_step="give it as UTF-8, or in a file: --data FILE --out ANSWERS",
        ) from error
    return text


def lines_of(stream: BinaryIO) -> Iterator[str]:
    """Every line is one text, empty ones too, so that answers and lines stay side by side."""
    number, first = 0, b""
    for number, line in enumerate(stream, start=1):
        first = first or line
        try:
            # Some programs begin their output with a byte-order mark.
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                "standard input is not UTF-8",
                seen=f"line {number}, byte {error.start + 1}",
                next_step=_converting(line if number == 1 else first + line),
            ) from error
        yield text.rstrip("\r\n")
    if number == 0:
        raise DataError(
            "standard input is empty", next_step="pipe texts into it, or give --text or --data"
        )


def _converting(seen: bytes) -> str:
    """How to make UTF-8 of what was read. ``iconv`` takes what it is given for the terminal's
    encoding, which is UTF-8 nearly everywhere, so it must be told another.

    Args:
        seen: from the first byte on: of UTF-16 a later line says nothing of the order of bytes,
            since a break of two bytes is parted.
    """
    ended = seen + b"\0" * (b"\0" in seen)
    found = marked(ended) or guess(seen)
    if found is None:
        return "convert it: iconv -f ENCODING -t UTF-8, with the encoding that it has"
    known = _ICONV.get(found, found).replace("_", "-").upper()
    return f"it looks like {found}; convert it: iconv -f {known} -t UTF-8"


def is_table(texts: Sequence[str], columns: Sequence[str]) -> bool:
    """Whether lines look like a table: as many cells in each, those of the first one names."""
    lines = texts[:LOOKED_AT]
    if isinstance(lines[0], TextPair) or len(lines) < 2:
        return False
    if lines[0].strip().lower() in [name.lower() for name in columns]:
        return True
    return any(_has_header(lines, sign) for sign in ",;\t")


def _has_header(lines: Sequence[str], delimiter: str) -> bool:
    try:
        rows = list(csv.reader(lines, delimiter=delimiter))
    except csv.Error:  # a cell of many thousand characters is none of a header's rows
        return False
    names = rows[0]
    alike = 1 < len(names) == len(set(names)) and all(len(row) == len(names) for row in rows)
    return alike and all(re.fullmatch(r"\w[\w.-]*( \w+)?", name) for name in names)


def pairs_of(lines: Iterable[str]) -> Iterator[TextPair]:
    """Lines as pairs.

    Raises:
        DataError: a line has no tab, or several.
    """
    for number, line in enumerate(lines, start=1):
        first, *others = line.split(JOINT)
        if len(others) != 1:
            raise DataError(
                "a line of standard input is not a pair of texts",
                seen=f"line {number} with {len(others)} tabs",
                allowed="two texts with a tab between",
                next_step="write each pair in one line, or give --data with both columns",
            )
        yield TextPair(first, others[0])


def explained(text: str, words: Sequence[Word]) -> list[Text]:
    """The text with its words coloured, and the strongest with their numbers."""
    from rich.cells import cell_len
    from rich.text import Text

    from tightfit.engines.leave_one_out import strongest

    listed = strongest(words, LISTED)
    shown = Text(f"  {text}")
    most = max((abs(word.effect) for word in words), default=0.0)
    for word in words:
        share = abs(word.effect) / most if most else 0.0
        if share >= WEAK:
            colour = FOR if word.effect > 0 else AGAINST
            style = f"bold {colour}" if share >= STRONG else colour
            shown.stylize(style, 2 + word.start, 2 + word.start + len(word.text))
    width = max((cell_len(word.text) for word in listed), default=0)
    lines = [shown]
    for word in listed:
        blanks = " " * (width - cell_len(word.text))
        told = f"{word.effect:+.2f}  ({word.without:.2%} without it)"
        colour = FOR if word.effect > 0 else AGAINST
        lines.append(Text.assemble("    ", (word.text, colour), f"{blanks}  {told}"))
    return lines


def tell_answered(front: Front, truncated: int, empty: int) -> None:
    """Say how many texts were cut, and how many were answered without a word to go by."""
    if truncated:
        texts = "1 text was" if truncated == 1 else f"{truncated:,} texts were"
        front.show(f"note: {texts} longer than is read, and cut")
    if empty:
        texts = "1 text has" if empty == 1 else f"{empty:,} texts have"
        front.show(f"note: {texts} no words, and a label that says nothing")
