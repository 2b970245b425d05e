"""Rows in one JSON object: a list of them under a key, or columns, as data frames write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from tightfit.data.compressed import PART_SIGN
from tightfit.data.rows import PartFault, Rows, columns_rows, records_rows
from tightfit.errors import DataError, did_you_mean

LOOKED_AT = 20
"""Values that tell what the others are."""


def document_rows(document: Mapping[str, Any], source: str, part: str | None) -> Rows:
    """The rows of a document.

    Args:
        document: ``{"data": [{…}, …]}``; ``{"text": […], …}``; pandas's forms ``columns``,
            ``index`` and ``split``; or a single row.
        source: where error messages say that the rows come from.
        part: the key under which the rows are; None finds it.

    Raises:
        DataError: several keys have rows, or the one that is named has none.
    """
    lists = {key: value for key, value in document.items() if _are_rows(value)}
    if part is not None:
        return _part(document, lists or _inner_lists(document), source, part)
    table = _columns(document)
    if table is not None:
        return columns_rows(table, source)
    if not document:
        raise DataError(f"{source} has no rows", seen="an empty object")
    if not lists and _share_a_key(document):
        return records_rows(list(document.values()), source)
    lists = lists or _inner_lists(document)
    if not lists:
        return records_rows([document], source)
    if len(lists) > 1:
        longest = max(lists, key=lambda key: len(lists[key]))
        raise PartFault(
            f"{source} has several lists of rows",
            seen=", ".join(f"{key!r} ({len(value):,})" for key, value in lists.items()),
            whole=source,
            likely=f"{source}{PART_SIGN}{longest}",
        )
    ((key, value),) = lists.items()
    told = () if len(value) == len(document) else (f"{source}: the rows are those of {key!r}",)
    return records_rows(_values(value), source, told)


def _part(document: Mapping[str, Any], lists: Mapping[str, Any], source: str, part: str) -> Rows:
    if part not in lists:
        raise DataError(
            f"{source} has no rows under {part!r}",
            seen=", ".join(map(repr, islice(document, LOOKED_AT))),
            next_step=None if part in document else did_you_mean(part, list(document)),
        )
    return records_rows(_values(lists[part]), source)


def _values(rows: Any) -> list[Mapping[str, Any]]:
    return list(rows.values()) if isinstance(rows, Mapping) else list(rows)


def _are_rows(value: object) -> bool:
    """Whether this is a list, or a dict by whatever name, of nothing but objects."""
    if isinstance(value, Mapping):
        value = list(value.values()) if len(value) > 1 else []
    return isinstance(value, list) and bool(value) and all(isinstance(x, dict) for x in value)


def _inner_lists(document: Mapping[str, Any]) -> dict[str, Any]:
    """Lists of rows inside of objects, by keys joined with dots."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            own = {inner: rows for inner, rows in value.items() if _are_rows(rows)}
            found |= {f"{key}.{inner}": rows for inner, rows in own.items()}
    return found


def _share_a_key(document: Mapping[str, Any]) -> bool:
    """Whether its values are rows by their names: objects that have a key in common."""
    values = list(document.values())
    alike = len(values) > 1 and all(isinstance(value, dict) for value in values)
    return alike and bool(set.intersection(*map(set, values)))


def _columns(document: Mapping[str, Any]) -> Mapping[str, Sequence[Any]] | None:
    """The columns of a document that consists of them, None of another."""
    split = document.get("columns"), document.get("data")
    if all(isinstance(x, list) for x in split) and _are_lists_of(split[1], len(split[0] or [])):
        names, rows = split
        return {str(name): [row[i] for row in rows or []] for i, name in enumerate(names or [])}
    values = list(document.values())
    if len(values) < 2:
        return None
    if all(isinstance(x, list) for x in values) and not all(map(_are_rows, values)):
        return document
    # pandas writes {"text": {"0": …}, "label": {"0": …}}; rows by their keys look alike, but hold
    # what is not numbered.
    if all(isinstance(x, dict) and x and all(map(str.isdecimal, x)) for x in values):
        keys = dict.fromkeys(key for x in values for key in x)
        return {name: [x.get(key) for key in keys] for name, x in document.items()}
    return None


def _are_lists_of(rows: object, length: int) -> bool:
    return isinstance(rows, list) and all(isinstance(x, list) and len(x) == length for x in rows)
