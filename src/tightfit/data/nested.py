"""What is inside a cell: nothing, or objects and lists, by keys joined with dots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isnan
from numbers import Real
from typing import Any, TypeGuard

DEEPEST, MOST_PATHS = 6, 50
"""How deep, and at how many places, an error looks for what may have been meant."""


def reach(cell: object, path: str) -> Any:
    """What is at a path such as ``annotations.0.label``; None where there is nothing.

    A key that itself holds dots is found, too.
    """
    if isinstance(cell, Mapping):
        if path in cell:
            return cell[path]
        ends = [i for i, sign in enumerate(path) if sign == "."]
        found = next((i for i in reversed(ends) if path[:i] in cell), None)
        return None if found is None else reach(cell[path[:found]], path[found + 1 :])
    if is_list(cell):
        head, _, rest = path.partition(".")
        if not head.isdecimal() or int(head) >= len(cell):
            return None
        item = cell[int(head)]
        return reach(item, rest) if rest else item
    return None


def is_list(cell: object) -> TypeGuard[Sequence[Any]]:
    """Whether a cell holds several values in their order; arrays of NumPy are such."""
    return isinstance(cell, list | tuple) or getattr(cell, "ndim", 0) == 1


def is_missing(cell: object) -> bool:
    """Whether a cell says that nothing is there: None, or any library's sign for it."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):  # of pandas
        return True
    return isinstance(cell, Real) and isnan(cell)


def numbers_of(given: Any) -> Any:
    """What a tensor of torch holds, as Python has it, on whatever device; all else as it is.

    Recognised without importing torch.
    """
    return given.tolist() if hasattr(given, "detach") else given


def paths(cells: Iterable[object]) -> tuple[str, ...]:
    """The paths to all single values in these cells, as they come; the first ones of many."""
    cells = list(cells)
    if any(is_list(cell) and len(cell) > 1 and not any(map(_is_branch, cell)) for cell in cells):
        return ()  # several single values: those rows of the same column with one are no path to it
    found: dict[str, None] = {}
    for cell in cells:
        found |= dict.fromkeys(_paths(cell, DEEPEST))
        if len(found) > MOST_PATHS:
            break
    return tuple(found)[:MOST_PATHS]


def _is_branch(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _paths(cell: object, depth: int) -> Iterator[str]:
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(cell, Mapping):
        items = cell.items()
    elif isinstance(cell, Sequence) and not isinstance(cell, str | bytes):
        # What follows is alike; several single values are of a kind, no columns.
        items = enumerate(cell[:1]) if len(cell) == 1 or any(map(_is_branch, cell[:1])) else ()
    for key, value in items:
        if _is_branch(value):
            yield from (f"{key}.{rest}" for rest in _paths(value, depth - 1) if depth)
        elif value is not None:
            yield str(key)
