"""``check`` from a file to findings and a copy: columns, tokenizers, and what is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

import tightfit
from tests.planted import sample
from tests.toy_setups import Notes
from tests.toys import write_jsonl
from tightfit import CheckResult, extras
from tightfit.data.sources import Columns, read_table
from tightfit.data.table import Table
from tightfit.errors import DataError, MissingExtraError, ModelError, UsageError
from tightfit.progress import Progress

ROWS: list[dict[str, Any]] = [
    {"text": "goal match team", "label": "sport"},
    {"text": "goal match team", "label": "sport"},
    {"text": "stock &amp; market", "label": "money"},
    {"text": None, "label": "money"},
    {"text": "stock " * 20, "label": "money"},
]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A file with a fault of several kinds."""
    return write_jsonl(tmp_path / "rows.jsonl", ROWS)


def check(data: Any, **options: Any) -> CheckResult:
    """Without label errors, since these rows are few, and in silence."""
    return tightfit.check(data, **{"label_errors": False, "progress": Progress(), **options})


def test_a_file_is_checked(rows: Path, bert: Path) -> None:
    """Everything at once; a missing text is an empty one, not a fault of reading."""
    answer = check(rows, model=str(bert), max_length=12).to_json()
    counts = {kind: answer[kind] for kind in ("exact_duplicates", "empty", "markup", "truncated")}
    assert counts == dict.fromkeys(counts, 1)
    assert (answer["rows"], answer["labels"]) == (5, ["money", "sport"])
    # 20 words and the two marks around them.
    assert answer["examples"]["truncated"][0]["why"] == "22 tokens; 12 are read"
    assert "cleaned" not in answer


def test_the_limit_is_what_the_model_reads(rows: Path, bert: Path) -> None:
    """Special tokens included: 22 tokens fit into 22."""
    assert check(rows, model=str(bert), max_length=22).findings.count("truncated") == 0
    assert check(rows, model=str(bert), max_length=21).findings.count("truncated") == 1


def test_rows_against_a_test_without_labels(rows: Path, tmp_path: Path) -> None:
    """Only its texts are read."""
    test = write_jsonl(tmp_path / "test.jsonl", [{"text": "goal match team"}, {"text": ""}])
    findings = check(rows, against=test).findings
    assert findings.found["shared"].rows == (0, 1)


@pytest.mark.parametrize("columns", ["title,body", ("title", "body")])
def test_columns_are_chosen(tmp_path: Path, columns: Any) -> None:
    """Texts joined with a space, labels from another column, in both files."""
    path = tmp_path / "rows.csv"
    path.write_text("title,body,topic\na b,c d,1\na b,c d,2\n", "utf-8")
    found = check(path, against=path, text_column=columns, label_column="topic").findings
    assert (found.count("contradictory"), found.count("shared")) == (2, 2)
    assert found.found["shared"].examples[0].text == "a b c d"


def test_rows_without_labels(tmp_path: Path) -> None:
    """Checked for what does not need them; a label column that is asked for must be there."""
    path = write_jsonl(tmp_path / "rows.jsonl", [{"text": "a"}, {"text": "a"}])
    result = check(path, label_errors=True)
    assert result.findings.label_counts == {}
    assert result.findings.count("exact_duplicates") == 1
    with pytest.raises(DataError, match="has no column 'label'"):
        check(path, label_column="label")


def test_rows_in_memory() -> None:
    """A table as it is, with class names in their own order."""
    answer = check(sample(), against="sample:test").to_json()
    assert (answer["shared"], answer["labels"][:2]) == (120, ["World", "Sports"])


def test_a_cleaned_copy(rows: Path, tmp_path: Path) -> None:
    """Written, counted, and clean when it is read again."""
    out = tmp_path / "clean.csv"
    before = rows.read_bytes()
    answer = check(rows, fix="duplicates, empty,markup", out=out).to_json()["cleaned"]
    assert answer == {
        "out": str(out),
        "rows": 3,
        "removed": {"empty": 1, "duplicates": 1},
        "decoded": 1,
    }
    texts = read_table(out, Columns(), labelled=True).texts
    assert texts[:2] == ["goal match team", "stock & market"]
    assert rows.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"fix": ["markup"]}, "a cleaned copy needs a file to write"),
        ({"out": "clean.csv"}, "out=… writes the suspect labels, and label_errors=False"),
        ({"fix": "duplicate", "out": "clean.csv"}, "did you mean 'duplicates'"),
        ({"fix": "", "out": "clean.csv"}, "no such fix"),
        ({"fix": "markup", "out": "clean.txt"}, "cannot be written in this format"),
    ],
)
def test_requests_that_cannot_be_met(options: dict[str, Any], fault: str) -> None:
    """Refused before the rows are even looked for."""
    with pytest.raises(UsageError, match=fault):
        check("no such file.csv", **options)


@pytest.mark.parametrize("role", ["data", "against"])
def test_the_copy_never_replaces_what_was_read(rows: Path, role: str) -> None:
    """By whatever path it is named."""
    out = rows.parent / ".." / rows.parent.name / rows.name
    given = {"data": "sample", "against": "sample:test", role: str(rows)}
    with pytest.raises(UsageError, match="would replace an input"):
        check(given["data"], against=given["against"], fix="markup", out=out)
    assert rows.is_file()


def test_without_the_default_model(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is counted, and that is said; a model that was named must be there."""
    monkeypatch.setattr(extras, "available", lambda name: not name.startswith("gt_"))
    finding = check(rows).findings.found["truncated"]
    assert finding.skipped == "no tokenizer to count with"
    with pytest.raises(MissingExtraError, match="embedded"):
        check(rows, model="all-MiniLM-L6-v2")


@pytest.mark.parametrize("content", [None, "no json", '{"version": "1.0"}'])
def test_a_model_without_a_usable_tokenizer(
    rows: Path, tmp_path: Path, content: str | None
) -> None:
    """Missing, no JSON, or no tokenizer."""
    (tmp_path / "config.json").write_text("{}", "utf-8")
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content, "utf-8")
    with pytest.raises(ModelError, match=r"no usable tokenizer(.|\n)*tokenizer\.json"):
        check(rows, model=str(tmp_path))


def test_a_tokenizer_that_cuts_or_pads_counts_the_whole(tmp_path: Path, bert: Path) -> None:
    """What the file says of cutting and padding is about batches, not about the text."""
    shutil.copytree(bert, tmp_path, dirs_exist_ok=True)
    tokenizer = Tokenizer.from_file(str(bert / "tokenizer.json"))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=9)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    table = Table(["goal match team coach season", "goal"])
    finding = check(table, model=str(tmp_path), max_length=6).findings.found["truncated"]
    assert [(example.row, example.why) for example in finding.examples] == [
        (0, "7 tokens; 6 are read")
    ]


def test_checking_does_not_load_torch() -> None:
    """Neither it nor transformers are needed to count tokens."""
    program = (
        "import sys; import tightfit; from tightfit.progress import Progress;"
        "tightfit.check('sample', label_errors=False, progress=Progress()); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert not {"torch", "transformers"} & set(loaded.stdout.decode().split())


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([["on", "Off"], ["on"], ["off"], ["off"], []], None),
        (["on|Off", "on", "off", "off", ""], "data.task=multi --set data.label_separator='|'"),
        (["1.5", "2.5", "2.5", "1.0", "4"], "data.task=rating"),
    ],
)
def test_kinds_of_labels_are_seen_as_a_training_sees_them(
    labels: list[Any], told: str | None, tmp_path: Path
) -> None:
    """Where it would stop and name settings, they are taken and told."""
    texts = ["goal match", "team goal", "stock market", "bank", "the new"]
    rows = [{"text": x, "label": y} for x, y in zip(texts, labels, strict=True)]
    path, notes = write_jsonl(tmp_path / "rows.jsonl", rows), Notes()
    findings = check(path, progress=notes).findings
    assert (findings.rows, findings.unlabelled) == (5, 0)
    assert ([] if told is None else [told]) == [
        said.partition("checked with --set ")[2] for said in notes.said if "checked with" in said
    ]
    if told != "data.task=rating":
        assert findings.label_counts == {"Off": 1, "off": 2, "on": 2}
        (example,) = findings.found["label_spelling"].examples
        assert example.why == "labelled Off, mostly spelt off"
    else:
        assert findings.label_counts == {}


def test_texts_that_the_encoder_cannot_read_are_told(bert: Path) -> None:
    """Rows seem whole where every token stands for what the vocabulary lacks."""
    notes = Notes()
    tightfit.check(["漢字 漢字", "漢字"], model=str(bert), progress=notes)
    assert notes.warned[0].startswith(f"{bert} cannot read these texts: 100% of their tokens")
    read = Notes()
    tightfit.check(["goal match", "the team"], model=str(bert), progress=read)
    assert not read.warned
