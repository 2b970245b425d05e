"""How tables look: calm, readable at 80 columns, and without colour."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

BAR_WIDTH = 12


def new_table(title: str, *columns: str) -> Table:
    """An empty table; a heading that begins with ``>`` is of a column of numbers.

    Where the terminal is too narrow, words fold. Numbers do not: cut short, they would lie.
    """
    table = Table(box=box.SIMPLE_HEAD, title=Text(title), title_justify="left", pad_edge=False)
    # A title is folded at the width of its table.
    table.min_width = cell_len(title)
    for column in columns:
        if column.startswith(">"):
            table.add_column(column[1:], justify="right", no_wrap=True)
        else:
            table.add_column(column, overflow="fold")
    return table


def add_row(table: Table, *cells: str) -> None:
    """Add cells as they are: a label called ``[red]`` is no markup."""
    table.add_row(*map(Text, cells))


def bar(share: float, console: Console, width: int = BAR_WIDTH) -> str:
    """A share from 0 to 1 as a bar; anything above 0 shows."""
    full, empty = ("#", ".") if console.options.ascii_only else ("█", "░")
    filled = min(width, max(round(share * width), int(share > 0)))
    return full * filled + empty * (width - filled)


def tick(ok: bool, console: Console) -> str:
    """A mark for what holds and what does not."""
    if console.options.ascii_only:
        return "ok" if ok else "no"
    return "✓" if ok else "✗"


def size(count: float) -> str:
    """Bytes in GiB, or in MiB or KiB where they are few."""
    if count >= 2**30:
        return f"{count / 2**30:.1f} GiB"
    return f"{count / 2**20:.0f} MiB" if count >= 2**20 else f"{count / 2**10:.0f} KiB"


def shared_path(names: Sequence[str]) -> str:
    """The dotted path that all names begin with, final dot included; empty where there is none."""
    folders = [name.split(".")[:-1] for name in names]
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False))
    return "".join(f"{parts[0]}." for parts in shared)
