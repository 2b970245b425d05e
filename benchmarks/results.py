"""RESULTS.md: one section a benchmark, each written by its own command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

RESULTS = Path(__file__).parent / "RESULTS.md"

PREFACE = "# Results\n\nEach section was written by the command that stands in it.\n"


def write_section(title: str, body: str, path: Path = RESULTS) -> None:
    """Put a section into the file in place of the one of that title, or at its end."""
    text = path.read_text("utf-8") if path.is_file() else PREFACE
    head, *sections = text.split("\n## ")
    kept = {
        section.partition("\n")[0]: section.partition("\n")[2].strip("\n") for section in sections
    }
    kept[title] = body.strip("\n")
    parts = [f"## {name}\n\n{content}\n" for name, content in kept.items()]
    path.write_text("\n".join([head.strip() + "\n", *parts]), "utf-8")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first hold numbers."""
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))
