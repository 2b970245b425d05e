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
    assert recorder.arguments == ("d",)
    read = {"text_column": "a,b", "label_column": "l", "settings": ["a=b"]}
    made = {"fix": "duplicates,markup", "out": Path("o.csv"), "overwrite": True}
    rest = {"against": "t", "model": "m", "max_length": 9, "label_errors": False}
    assert recorder.options == {**read, **made, **rest}


def test_findings_in_words(faulty: Path) -> None:
    """A table, examples, and what to type next; findings are no error."""
    result = check("--data", faulty)
    assert result.stderr == ""
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    # A long path may be broken over lines anywhere.
    assert f"{faulty}:8rows" in "".join(result.stdout.split())
    assert any(line.startswith("exact duplicates 1 12.5% text and label of an") for line in lines)
    assert any(line.startswith("shared - not looked for: no test rows") for line in lines)
    assert "line 7 (as in line 1)" in lines
    assert "line 8 (<b>)" in lines
    assert "so <b>bold</b> a [red] word" in lines
    assert "--fix duplicates,markup --out clean.parquet" in lines


def test_labels_in_words(faulty: Path) -> None:
    """Rows of each, the largest first."""
    lines = [" ".join(line.split()) for line in check("--data", faulty).stdout.splitlines()]
    assert "2 labels, the largest 1.0 times the smallest" in lines
    assert "0 4 ████████████" in lines


def test_many_labels_are_cut_to_the_ends(tmp_path: Path) -> None:
    """The ten largest and the ten smallest of thirty."""
    rows = [{"text": f"{i} {j}", "label": f"L{i:02}"} for i in range(30) for j in range(i + 1)]
    page = check("--data", write_jsonl(tmp_path / "rows.jsonl", rows)).stdout
    shown = [line.split()[0] for line in page.splitlines() if line.strip().startswith("L")]
    assert shown == [f"L{i:02}" for i in [*range(29, 19, -1), *range(9, -1, -1)]]


def test_clean_rows_in_words(tmp_path: Path) -> None:
    """No examples, and no fixes to suggest."""
    page = check("--data", write_jsonl(tmp_path / "rows.jsonl", CLEAN)).stdout
    assert "for example" not in page
    assert "--fix" not in page


def test_a_copy_in_words(faulty: Path, tmp_path: Path) -> None:
    """What was done, and where the rows are."""
    out = tmp_path / "clean.jsonl"
    page = check("--data", faulty, "--fix", "duplicates,markup", "--out", out).stdout
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
        {"row": 7, "place": "line 8", "text": "so <b>bold</b> a [red] word", "why": "<b>"}
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


def test_rows_without_a_label_are_counted(tmp_path: Path) -> None:
    """A look at faults is refused by none; a copy keeps what is left where it stood."""
    lines = ["text,label,more", *(f"{row['text']!r},,{i}" for i, row in enumerate(CLEAN[:1]))]
    lines += [f"words {i},{'ab'[i % 2]},{i}" for i in range(6)] + ["words 0,a,9"]
    rows, out = tmp_path / "rows.csv", tmp_path / "clean.csv"
    rows.write_text("\n".join(lines), "utf-8")
    told = check("--data", rows, "--fix", "duplicates", "--out", out).stdout
    assert "unlabelled" in told
    assert "line 9 (as in line 3)" in told
    assert [line.strip('"')[-1] for line in out.read_text("utf-8").splitlines()[1:]] == list(
        "012345"
    )
    found = json.loads(check("--data", rows, "--json").stdout)
    assert (found["rows"], found["unlabelled"]) == (7, 1)


def test_the_suggested_command_names_the_labels(tmp_path: Path) -> None:
    """Though check goes without them, too."""
    rows = tmp_path / "rows.csv"
    lines = [f"quite a few words that make a comment {i},{'ab'[i % 2]}" for i in range(20)]
    rows.write_text("\n".join(["Kommentar,Bewertung", *lines]), "utf-8")
    told = check("--data", rows, code=4).stderr
    assert "--text-column Kommentar --label-column Bewertung" in told


def test_the_help_names_every_fix() -> None:
    """The option's words are written by hand, so that help need not load the checks."""
    page = cli("check", "--help").stdout
    assert [fix for fix in FIXES if fix not in page] == []
