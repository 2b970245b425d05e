"""Rows without a text or a label: refused together, or left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tightfit.data.cell_labels import DROP, labelless
from tightfit.data.cell_text import DROP_TEXT, textless
from tightfit.data.rows import Chunk
from tightfit.data.table import MissingPart
from tightfit.errors import DataError


def without_missing(
    whole: Chunk,
    sizes: tuple[int, int],
    says: Mapping[MissingPart, str],
    mend_text: str,
    *,
    pair: bool,
) -> tuple[Chunk, Mapping[MissingPart, int], Sequence[int] | None]:
    """The rows that are not to be left out, how many others there are by what they lack, and, if
    there are any, the numbers of those that are kept.

    Where one kind alone is a fault, it is left to whoever reads the cells.

    Args:
        whole: every row.
        sizes: how many columns are of the text, which are the first, and how many of the label,
            which are the last.
        says: what a row without either is: ``refuse``, ``drop``, or anything else.
        mend_text: the option that mends a command with rows without a text.
        pair: a row needs two texts.

    Raises:
        DataError: both kinds are faults and there are both, or no row is left.
    """
    texts, labels = sizes
    without: dict[MissingPart, list[int]] = {
        "text": textless(whole.cells[:texts], pair=pair),
        "label": labelless(whole.cells[-labels:]) if labels else [],
    }
    if all(rows and says[part] == "refuse" for part, rows in without.items()):
        raise _both(whole, without, mend_text)
    dropped = {part: rows for part, rows in without.items() if rows and says[part] == "drop"}
    gone = {row for rows in dropped.values() for row in rows}
    kept = [row for row in range(len(whole.places)) if row not in gone]
    if not kept:
        raise whole.fault(f"no row has a {' and a '.join(dropped)}", sorted(gone))
    counts = {part: len(rows) for part, rows in dropped.items()}
    return (whole.select(kept), counts, kept) if gone else (whole, counts, None)


def _both(whole: Chunk, without: Mapping[MissingPart, list[int]], mend_text: str) -> DataError:
    places = "; ".join(f"{whole.say(rows)} without a {part}" for part, rows in without.items())
    how = "leave them out" if mend_text == DROP_TEXT else "go on without them"
    return DataError(
        f"{whole.origin.source}: rows without a text, and rows without a label",
        seen=f"{places}; {len(whole.places):,} rows read",
        next_step=f"fill or remove them, or {how}:",
        add=f"{mend_text} {DROP}",
    )
