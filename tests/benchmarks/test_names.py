"""The benchmark of names: every question on a toy, and cells that are not computed again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks import names, sizes

from tests.toys import toy_rows


@pytest.fixture
def root(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Toy rows in place of a data set, and a toy in place of the embedded encoder."""
    classes = {"money": 0, "sport": 1}
    rows = [{"text": r["text"], "label_name": r["label"]} for r in toy_rows(80)]
    table = pa.Table.from_pylist([{**row, "label": classes[row["label_name"]]} for row in rows])
    (tmp_path / "sst2").mkdir()
    for name in ("train", "test"):
        pq.write_table(table, tmp_path / "sst2" / f"{name}.parquet")
    for module in (names, sizes):
        monkeypatch.setattr(module, "MINILM", SimpleNamespace(name=str(bert)))
    for name in ("HELD", "POOL", "SCORED"):
        monkeypatch.setattr(names, name, 20)
    return tmp_path


QUESTIONS = {
    "command": {"names", "names and texts"},
    "gate": {"never", "always", "counts", "log loss"},
    "pool": {"without", "with"},
    "start": {"start", "scale 0.5", "scale 1", "kept", "kept, rule of before", "answers averaged"},
}


@pytest.mark.parametrize("question", sorted(QUESTIONS))
def test_every_question_has_an_answer(question: str, root: Path) -> None:
    """In percent."""
    size = 20 if question == "command" else 4
    data = names.Data(root, root / "work", "sst2")
    found = names.QUESTIONS[question][0](data, size, 1)
    assert QUESTIONS[question] <= set(found)
    assert all(0 <= figure <= 100 for figure in found.values())


def test_what_is_known_is_not_asked_again(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table comes out all the same."""
    words = f"--root {root} --work {root}/work --cells {root}/cells.jsonl --questions gate".split()
    words += ["--sets", "sst2", "--draws", "1"]
    names.main(words)
    first = capsys.readouterr()
    names.main(words)
    again = capsys.readouterr()
    assert first.out == again.out
    assert "gate sst2 2 0" in first.err
    assert "gate sst2" not in again.err
