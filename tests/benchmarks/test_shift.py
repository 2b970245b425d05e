"""The benchmark of shift: its rows, its disturbances, and a training at every scale."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks import shift

from tests.toys import toy_rows
from tightfit.training.blend import SCALES


def test_rows_name_one_agency_which_is_taken_out(tmp_path: Path) -> None:
    """As many of each class as both have."""
    texts = ["Oil up (Reuters)", "Win (AP)", "Loss AP", "AP and Reuters", "APPLE", "Reuters - Goal"]
    rows = [{"text": text, "label": i % 2} for i, text in enumerate(texts)]
    (tmp_path / "ag_news").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "ag_news" / "train.parquet")
    found = shift.rows_of(tmp_path)
    assert sorted(found["Reuters"]) == [("- Goal", 1), ("Oil up", 0)]
    assert sorted(found["AP"]) == [("Loss", 0), ("Win", 1)]


def test_a_tenth_of_a_text_is_disturbed() -> None:
    """The label stays, the same seed does the same, and words remain words."""
    rows = [("one two three four five six seven eight nine ten " * 100, 1)]
    for kind, split in (("characters", list), ("words", str.split)):
        (text, label), same = shift.disturbed(rows, kind, 0)[0], shift.disturbed(rows, kind, 0)[0]
        assert (text, label) == same
        assert label == 1
        before, after = (np.array(split(each)) for each in (rows[0][0], text))
        changed = (before[: len(after)] != after).mean()
        assert 0.06 < changed < 0.12  # of 1,000 or more, some replaced by themselves


def test_a_training_is_scored_at_every_scale(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the table has a line for each, and one for the choice."""
    monkeypatch.setattr(shift, "MINILM", SimpleNamespace(name=str(bert)))
    rows = [(row["text"], int(row["label"] == "sport")) for row in toy_rows(160)]
    found = shift.training(rows, {"same": rows[:20], "other": rows[20:40]}, 0)
    assert found["chosen"] in SCALES
    assert all(0 <= found[scale]["same"] <= 100 for scale in ("0", "0.25", "0.5", "0.75", "1"))
    page = shift.table([{"from": "AP", **found}]).splitlines()
    assert page[0] == "| kept | same | other |"
    assert [line.split()[1] for line in page[2:8]] == ["0", "0.25", "0.5", "0.75", "1", "auto"]
