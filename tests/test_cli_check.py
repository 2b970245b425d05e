"""``tightfit check``: its options, its tables, its object, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command import Recorder, cli, like_result, replace
from tests.planted import sample
from tests.toys import write_jsonl
from tightfit.data.checks.cleaning import FIXES
from tightfit.progress import RichProgress

CLEAN = [{"text": text, "label": str(i % 2)} for i, text in enumerate(sample().texts[:6])]


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """Six clean rows, a repeat, and a row with markup."""
    more = {"text": "so <b>bold</b> a [red] word", "label": "1"}
    return write_jsonl(tmp_path / "rows.jsonl", [*CLEAN, CLEAN[0], more])


def check(*arguments: object, code: int = 0) -> Any:
    """The result of a check without label errors."""
    result = cli("check", "--no-label-errors", *map(str, arguments))
    assert result.exit_code == code, result.stderr
    return result


def test_every_option_arrives_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """As its function calls it."""
    recorder = Recorder(like_result({"rows": 1}))
    replace(monkeypatch, "check", recorder)
    line = "check --data d --against t --text-column a,b --label-column l --json --set a=b"
    line += " --model m --max-length 9 --fix duplicates,markup --out o.csv --overwrite"
    line += " --no-label-errors"
    result = cli(*line.split())
    assert json.loads(result.stdout) == {"rows": 1}
    assert isinstance(recorder.options.pop("progress"), RichProgress)
    assert recorder.arguments == ("d",)
    read = {"text_column": "a,b", "label_column": "l", "settings": ["a=b"]}
    made = {"fix": "duplicates,markup", "out": Path("o.csv"), "overwrite": True}
    rest = {"against": "t", "model": "m", "max_length": 9, "label_errors": False}
    assert recorder.options == {**read, **made, **rest}


def test_findings_in_words(faulty: Path) -> None:
    """A table, examples, and what to type next; findings are no error."""
    result = check("--data", faulty)
    assert result.stdout == ""
    lines = [" ".join(line.split()) for line in result.stderr.splitlines()]
    # A long path may be broken over lines anywhere.
    assert f"{faulty}:8rows" in "".join(result.stderr.split())
    assert any(line.startswith("exact duplicates 1 12.5% text and label of an") for line in lines)
    assert any(line.startswith("shared - not looked for: no test rows") for line in lines)
    assert "row 6 (as in row 0)" in lines
    assert "row 7 (<b>)" in lines
    assert "so <b>bold</b> a [red] word" in lines
    assert "--fix duplicates,markup --out clean.parquet" in lines


def test_labels_in_words(faulty: Path) -> None:
    """Rows of each, the largest first."""
    lines = [" ".join(line.split()) for line in check("--data", faulty).stderr.splitlines()]
    assert "2 labels, the largest 1.0 times the smallest" in lines
    assert "0 4 ████████████" in lines


def test_many_labels_are_cut_to_the_ends(tmp_path: Path) -> None:
    """The ten largest and the ten smallest of thirty."""
    rows = [{"text": f"{i} {j}", "label": f"L{i:02}"} for i in range(30) for j in range(i + 1)]
    page = check("--data", write_jsonl(tmp_path / "rows.jsonl", rows)).stderr
    shown = [line.split()[0] for line in page.splitlines() if line.strip().startswith("L")]
    assert shown == [f"L{i:02}" for i in [*range(29, 19, -1), *range(9, -1, -1)]]


def test_clean_rows_in_words(tmp_path: Path) -> None:
    """No examples, and no fixes to suggest."""
    page = check("--data", write_jsonl(tmp_path / "rows.jsonl", CLEAN)).stderr
    assert "for example" not in page
    assert "--fix" not in page


def test_a_copy_in_words(faulty: Path, tmp_path: Path) -> None:
    """What was done, and where the rows are."""
    out = tmp_path / "clean.jsonl"
    page = check("--data", faulty, "--fix", "duplicates,markup", "--out", out).stderr
    lines = page.splitlines()
    assert "duplicates: removed 1" in lines
    assert "markup: decoded 1" in lines
    assert "7 rows are in" in page
    assert "so bold a [red] word" in out.read_text("utf-8")


def test_the_object(faulty: Path) -> None:
    """One line on standard output, no words there."""
    result = check("--data", faulty, "--json")
    assert result.stdout.count("\n") == 1
    answer = json.loads(result.stdout)
    assert (answer["rows"], answer["exact_duplicates"], answer["markup"]) == (8, 1, 1)
    assert answer["examples"]["markup"] == [
        {"row": 7, "text": "so <b>bold</b> a [red] word", "why": "<b>"}
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--data", "missing.csv"], 4, "no such file"),
        (["--data", "sample", "--fix", "markup"], 2, "--out FILE"),
        (["--data", "sample", "--fix", "tags", "--out", "o.csv"], 2, "no such fix"),
        (["--data", "sample", "--max-length", "0"], 2, "--max-length"),
        (["--data", "sample", "--model", "./nowhere"], 6, "no model folder"),
    ],
)
def test_faults(arguments: list[str], code: int, words: str) -> None:
    """The exit code of the contract, words on stderr, nothing on standard output."""
    result = check(*arguments, code=code)
    assert result.stdout == ""
    assert words in result.stderr


def test_the_help_names_every_fix() -> None:
    """The option's words are written by hand, so that help need not load the checks."""
    page = cli("check", "--help").stdout
    assert [fix for fix in FIXES if fix not in page] == []
