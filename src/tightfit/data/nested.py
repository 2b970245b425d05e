"""What is inside a cell: nothing, or objects and lists, by keys joined with dots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, TypeGuard

DEEPEST, MOST_PATHS = 6, 50
"""How deep, and at how many places, an error looks for what may have been meant."""


def reach(cell: Any, path: str) -> Any:
    """What is at a path such as ``annotations.0.label``; None where there is nothing.

    A key that itself holds dots is found, too.
    """
    key, rest = _step(cell, path)
    if key is None:
        return None
    return cell[key] if rest is None else reach(cell[key], rest)


def changed(cell: Any, path: str | None, change: Callable[[Any], Any]) -> Any:
    """The same cell with something else at a path, where anything is there; None is all of it."""
    if path is None:
        return change(cell)
    key, rest = _step(cell, path)
    if key is None:
        return cell
    new = changed(cell[key], rest, change)
    if isinstance(cell, Mapping):
        return {**cell, key: new}
    return [*cell[:key], new, *cell[key + 1 :]]


def _step(cell: Any, path: str) -> tuple[Any, str | None]:
    """The key or place in a cell at which a path goes on, None where there is none; and the rest of
    the path, None at its end."""
    if isinstance(cell, Mapping):
        if path in cell:
            return path, None
        ends = [i for i, sign in enumerate(path) if sign == "."]
        found = next((i for i in reversed(ends) if path[:i] in cell), None)
        return (None, None) if found is None else (path[:found], path[found + 1 :])
    head, _, rest = path.partition(".")
    if is_list(cell) and head.isdecimal() and int(head) < len(cell):
        return int(head), rest or None
    return None, None


def is_list(cell: object) -> TypeGuard[Sequence[Any]]:
    """Whether a cell holds several values in their order; arrays of NumPy are such."""
    return isinstance(cell, list | tuple) or getattr(cell, "ndim", 0) == 1


def is_missing(cell: object) -> bool:
    """Whether a cell says that nothing is there: None, or any library's sign for it."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):  # of pandas
        return True
    # Of numbers only NaN is not itself; math.isnan has no answer to integers beyond floats.
    return isinstance(cell, Real) and bool(cell != cell)


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
