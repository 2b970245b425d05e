"""Lists as programs write them into a text file: ``['joy', 'anger']``, ``['joy' 'anger']``."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ITEM = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|-?\d+)"""
_LIST = re.compile(rf"\[\s*(?:{_ITEM}(?:(?:\s*,\s*|\s+){_ITEM})*\s*,?\s*)?\]")
"""Items in quotes, and integers, with commas or blanks between: Python's lists, JSON, NumPy."""

_BARE = re.compile(r"""\[\s*[^\s\[\]'"][^\[\]]*\]""")
"""Names without quotes, with commas between: a blank may be within a name."""


def are_bracketed(cells: Sequence[str]) -> bool:
    """Whether every cell is such a list, empty cells aside, and there is one."""
    filled = {cell for cell in cells if cell}
    return bool(filled) and all(_LIST.fullmatch(c) or _BARE.fullmatch(c) for c in filled)


def items(cell: str) -> list[str]:
    """What such a list holds, without its quotes; nothing in an empty cell."""
    if not _LIST.fullmatch(cell):
        return [name.strip() for name in cell[1:-1].split(",") if name.strip()]
    return [_unquoted(item) for item in re.findall(_ITEM, cell)]


def _unquoted(item: str) -> str:
    return re.sub(r"\\(.)", r"\1", item[1:-1]) if item[0] in "'\"" else item
