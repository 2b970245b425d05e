"""The benchmark of languages: what needs no training is right on toys, and kept."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks import languages

from tests.toys import toy_rows


def test_linear_models_tell_toys_apart(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column each, and a cell that is there is not computed again."""
    for name, seed in (("train", 0), ("test", 1)):
        rows = [{**row, "label": int(row["label"] == "sport")} for row in toy_rows(60, seed)]
        (tmp_path / "sst2").mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "sst2" / f"{name}.parquet")
    stack = languages._timed(partial(languages._stack, str(bert)))
    monkeypatch.setitem(languages.SYSTEMS, "MiniLM-stack", stack)
    words = f"--root {tmp_path} --work {tmp_path} --cells {tmp_path}/cells --rows 60 --sets sst2"
    words += f" --out {tmp_path}/table.md --systems words characters MiniLM-stack"
    languages.main(words.split())
    row = (tmp_path / "table.md").read_text("utf-8").splitlines()[-1]
    shares = [float(cell.split("%")[0]) for cell in row.split("|")[2:-1]]
    assert len(shares) == 3
    assert min(shares) > 80
    monkeypatch.setattr(languages, "SYSTEMS", dict.fromkeys(languages.SYSTEMS))
    languages.main(words.split())
