"""The page on kinds of files: each of its commands ends as it says, with the words that it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.command import cli, like_result, replace
from tightfit.cli import train_command
from tightfit.progress import RichProgress
from tightfit.tasks.dataset import read_dataset, tell_about
from tightfit.training.request import TrainOptions, TrainRequest

CASES = Path(__file__).parent / "cases"
PAGE = Path(__file__).parents[2] / "docs" / "guides" / "files.md"
ROW = re.compile(r"^\| (.+?) \| `(.+?)` \| (\d+) \| (.+) \|$", re.MULTILINE)
ROWS = [match.groups() for match in ROW.finditer(PAGE.read_text("utf-8"))]


def only_read(data: Any, **options: Any) -> Any:
    """A training that ends once its rows are read."""
    progress = RichProgress()
    named: Any = {k: v for k, v in options.items() if k in TrainOptions.__annotations__}
    request = TrainRequest.of(data, **named)
    request.check(progress)
    dataset = read_dataset(request.config, data, None, None)
    tell_about(dataset, progress)
    progress.say(f"{dataset.facts.rows} rows")
    return like_result({})


@pytest.mark.parametrize(("command", "code", "words"), [row[1:] for row in ROWS])
def test_the_page_is_true(
    command: str, code: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the folder of the cases; the text is compared without line ends."""
    monkeypatch.chdir(CASES)
    monkeypatch.setattr(train_command, "_closing_words", lambda *_: [])
    replace(monkeypatch, "train", only_read)
    result = cli(*shlex.split(command))
    assert result.exit_code == int(code), result.stderr
    for part in words.replace("\\|", "|").split("; "):
        assert part in result.output


def test_no_row_of_the_page_was_overlooked() -> None:
    """And every text file among the cases is on it."""
    page = PAGE.read_text("utf-8")
    texts = [path for path in CASES.rglob("*") if path.suffix in (".csv", ".tsv", ".txt")]
    files = [path.relative_to(CASES).as_posix() for path in texts]
    assert not [file for file in files if file not in page and not file.startswith("11/")]
    assert len(ROWS) == sum(line.count(" | `") for line in page.splitlines())
