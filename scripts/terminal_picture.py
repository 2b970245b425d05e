"""Draw the terminal of README.md: real commands, run here and now, as one SVG.

python scripts/terminal_picture.py --out docs/terminal.svg
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

COMMANDS = (
    "tightfit plan --budget 200k",
    "tightfit train --data sample --model all-MiniLM-L6-v2 --budget 200k --out runs/first",
    "tightfit predict runs/first --text 'Stocks fell for a third day'",
)

WIDTH = 112


def answer(command: str, folder: Path) -> str:
    """What a command prints, colours included: words on standard error first, then its answer.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    words = [sys.executable, "-m", "tightfit", *shlex.split(command)[1:]]
    env = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH), "TTY_INTERACTIVE": "0"}
    found = subprocess.run(
        words, cwd=folder, env=env, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    return found.stderr + found.stdout


def without_gaps(said: str) -> Text:
    """It in colours; where a bar was and is gone, no more than one line stays empty."""
    lines = [Text.from_ansi(line) for line in said.strip().splitlines()]
    gaps = [not line.plain.strip() for line in lines]
    kept = (line for line, *both in zip(lines, gaps, [False, *gaps], strict=False) if not all(both))
    return Text("\n").join(kept)


def main() -> None:
    """Run the commands in an empty folder and write the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="the SVG to write")
    out = parser.parse_args().out.resolve()
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            console.print(Text(f"$ {command}", style="bold"))
            console.print(without_gaps(answer(command, Path(folder))))
            console.print()
    out.write_text(console.export_svg(title="tightfit"), "utf-8")


if __name__ == "__main__":
    main()
