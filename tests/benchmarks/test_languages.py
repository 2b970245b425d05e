"""The benchmark of languages: what needs no training is right on toys, and kept."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks import languages

from tests.toys import toy_rows


def shown(page: Path) -> list[float]:
    """The figures in the row of sst2."""
    row = next(line for line in page.read_text("utf-8").splitlines() if line.startswith("| sst2"))
    return [float(cell.split()[0]) for cell in row.split("|")[2:-1] if cell.strip()]


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
    words += f" --seeds 4 --out {tmp_path}/table.md --systems words characters MiniLM-stack"
    languages.main(words.split())
    shares = shown(tmp_path / "table.md")
    assert len(shares) == 3
    assert min(shares) > 80
    monkeypatch.setattr(languages, "SYSTEMS", dict.fromkeys(languages.SYSTEMS))
    languages.main(words.split())


def test_differences_are_of_the_same_draws(tmp_path: Path) -> None:
    """From the better of the others in each draw; a draw that lacks one of them tells nothing."""
    for draw, right in enumerate((90, 94)):
        folder = tmp_path / f"sst2-700-{draw}"
        folder.mkdir()
        for name in (*languages.FROZEN, languages.OWN):
            own = right if name == languages.OWN else 80 + 5 * draw * (name == "e5")
            (folder / f"{name}.json").write_text(json.dumps({"right": own, "rows": 100}))
    page = languages.table(tmp_path, 700)
    assert "| sst2 | 80.0 (2) | 80.0 (2) | 80.0 (2) | 82.5 (2) |" in page
    assert "tightfit less the best without training of adapters: +9.5 points" in page
    assert "less tightfit-MiniLM" not in page
