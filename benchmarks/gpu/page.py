"""The page: what every part gave, as one Markdown file and one JSON, written anew after each."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.gpu.parts import PARTS

State = Literal["running", "done", "failed", "out of time", "left out"]

JSON_NAME, PAGE_NAME = "gpu.json", "gpu.md"


@dataclass
class Outcome:
    """What became of one part."""

    state: State
    seconds: float = 0.0
    limit: float = 0.0
    """Seconds that it had."""
    reason: str = ""
    """Why it failed: an exit code, or a signal."""
    result: dict[str, Any] = field(default_factory=dict)
    """The last that it told; a part that is cut off keeps what it had."""
    tail: list[str] = field(default_factory=list)
    """The last lines of its output, where it did not end well."""


@dataclass
class Record:
    """Everything that is known so far."""

    device: str
    began: str
    """Date and time, UTC."""
    command: str
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Record | None:
        """The record of an earlier call, or None where there is none that can be read."""
        try:
            saved = json.loads((folder / JSON_NAME).read_text("utf-8"))
            outcomes = {name: Outcome(**each) for name, each in saved.pop("outcomes").items()}
            return cls(**saved, outcomes=outcomes)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, folder: Path) -> None:
        """Both files, each whole or as it was.

        Raises:
            OSError: the disk is full, and the like; what was there stays.
        """
        write_whole(folder / JSON_NAME, json.dumps(asdict(self), indent=2))
        write_whole(folder / PAGE_NAME, self.page())

    def page(self) -> str:
        """The Markdown page."""
        head = [
            f"# tightfit on {self.title}",
            f"Written by the command `{self.command}`, begun {self.began} UTC.",
            self._table(),
        ]
        known = [part for part in PARTS if part.name in self.outcomes]
        sections = [_section(part.title, self.outcomes[part.name]) for part in known]
        return "\n\n".join([*head, *sections]) + "\n"

    @property
    def title(self) -> str:
        """The GPU where one was used."""
        machine = self.outcomes.get("machine")
        name = machine.result.get("gpu") if machine else None
        if self.device == "cpu":
            return "a CPU (no GPU was used)"
        return str(name or "a GPU")

    def _table(self) -> str:
        rows = ["| part | outcome | seconds | limit |", "| --- | --- | ---: | ---: |"]
        for part in PARTS:
            found = self.outcomes.get(part.name)
            if found is None:
                rows.append(f"| {part.title} | not begun | | |")
                continue
            said = f"{found.state}{f': {found.reason}' if found.reason else ''}"
            rows.append(f"| {part.title} | {said} | {found.seconds:.0f} | {found.limit:.0f} |")
        return "\n".join(rows)


def _section(title: str, found: Outcome) -> str:
    parts = [f"## {title}"]
    if found.state == "left out":
        parts.append(f"Left out: {found.reason}.")
    elif found.state != "done":
        kept = "what it had told until then stands below" if found.result else "it told nothing"
        why = f" ({found.reason})" if found.reason else ""
        parts.append(f"**{found.state}**{why} after {found.seconds:.0f} s; {kept}.")
    if found.result.get("markdown"):
        parts.append(str(found.result["markdown"]).strip())
    if found.tail:
        # Indented, so that nothing in it can end the block.
        parts.append("Its last words:\n\n" + "\n".join(f"    {line}" for line in found.tail))
    return "\n\n".join(parts)


def write_whole(path: Path, text: str) -> None:
    """Write under another name, then rename: a reader finds the old text or the new one.

    Raises:
        OSError: the disk is full, and the like; nothing half-written is left.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
