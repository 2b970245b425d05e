"""The benchmark of sizes: the rows that it draws, and what its tables say of cells."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks import names, sizes
from scipy.stats import t

LABELS = 30


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 1,500 rows, whose last label has two."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "trec6").mkdir()
    rows = [{"text": f"text {i}", "label": min(i // 51, LABELS - 1)} for i in range(1_480)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "trec6" / "train.parquet")
    pq.write_table(pa.Table.from_pylist(rows[:40]), folder / "trec6" / "test.parquet")
    return folder


def drawn(root: Path, work: Path, size: int, draw: int = 1) -> list[dict[str, Any]]:
    """Rows to train on."""
    cell = sizes.write_rows(root, work, "trec6", size, draw)
    return [json.loads(line) for line in cell.train.read_text().splitlines()]


def test_a_small_size_is_rows_a_class(root: Path, tmp_path: Path) -> None:
    """Or all that a class has."""
    counts = Counter(row["label"] for row in drawn(root, tmp_path, 4))
    assert set(counts.values()) <= {1, 2, 3, 4}
    assert len(counts) == LABELS
    assert counts[0] == 4


def test_a_large_size_is_rows_in_all_with_one_of_each_label(root: Path, tmp_path: Path) -> None:
    """The same ones for the same draw, others for another."""
    rows = drawn(root, tmp_path, 600)
    assert (len(rows), len({row["label"] for row in rows})) == (600, LABELS)
    assert drawn(root, tmp_path / "again", 600) == rows
    assert drawn(root, tmp_path, 600, draw=2) != rows


def cell(right: int, load: float | None = 0.1, **more: Any) -> dict[str, Any]:
    """A made-up one."""
    known = {} if load is None else {"load": load}
    return {"right": right, "rows": 100, "seconds": 10.0, "parameters": 1000, **known, **more}


def test_tables_show_seconds_of_quiet_cells_alone() -> None:
    """And the paired difference with its interval over draws."""
    ours = {("trec6", 8, i, sizes.OWN): cell(80 + i, 0.1 if i else 9.0) for i in range(3)}
    theirs = {("trec6", 8, i, sizes.PEER): cell(70, None, seconds=40.0) for i in range(3)}
    page = sizes.tables({**ours, **theirs})
    assert "| trec6 | 70.0 (3), 1,000 | 81.0 (3), 10 s, 1,000 |" in page
    assert "less SetFit 1.2: +11.0 points (95%: +8.5 to +13.5); trec6 +11.0" in page


def test_one_draw_of_a_set_is_as_uncertain_as_those_of_the_others() -> None:
    """So that a set that takes hours still counts in the mean, and in its interval."""
    told = sizes.interval("a", "b", {"many": [1.0, 2.0, 3.0], "once": [6.0]})
    reach = t.ppf(0.975, 2) * ((1 / 3 + 1) / 4) ** 0.5
    low, high = f"{4 - reach:+.1f}", f"{4 + reach:+.1f}"
    words = f"(95%: {low} to {high}, with one draw of once at the spread of the others)"
    assert told == f"- a less b: +4.0 points {words}; many +2.0, once +6.0"
    assert "95%" not in sizes.interval("a", "b", {"once": [6.0]})


def test_setfit_is_not_asked_for_many_rows(tmp_path: Path) -> None:
    """It would take hours."""
    args = Namespace(setfit_python=Path("python"))
    assert sizes.SIDES[sizes.PEER](sizes.Cell("trec6", 1_000, 0, tmp_path), args) is None


def test_tables_of_names_have_means_over_draws_and_sets() -> None:
    """A column a figure."""
    cells = {("gate", name, 2, draw): {"never": 50.0 + draw} for name in "ab" for draw in (0, 2)}
    (page,) = names.tables(cells)
    assert page.splitlines()[2:] == [
        "| set | size | draws | never |",
        "| --- | ---: | ---: | ---: |",
        "| a | 2 | 2 | 51.0 |",
        "| b | 2 | 2 | 51.0 |",
        "| mean | 2 | 2 | 51.0 |",
    ]
