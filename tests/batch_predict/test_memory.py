"""Memory does not grow with the rows that are predicted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.exports import toy_run, wide_encoder
from tests.warm import run as run_warm

FEW, MANY = 10_000, 50_000
"""Rows: five chunks, of which two are held at a time, and five times as many."""

A_ROW = 512
"""Bytes: about what a row takes that is kept, its text and its answer."""

PROGRAM = """
import sys
import tightfit
from tests.peak import peak_bytes
from tightfit.progress import Progress
run, *files = sys.argv[1:]
for data in files:
    out = data.replace(".csv", "-out.csv")
    print(tightfit.predict(run, data, out, probabilities=True, progress=Progress()).rows)
    print(peak_bytes())
"""


def short_rows(path: Path, count: int) -> Path:
    """So many of them, in a CSV."""
    with path.open("w") as file:
        file.write("text\n")
        file.writelines(f"goal match {'team ' * (row % 7)}\n" for row in range(count))
    return path


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak")
def test_many_times_the_rows_take_no_more_memory(tmp_path: Path) -> None:
    """The most that a process holds, after few rows and after many more."""
    run = toy_run(wide_encoder(tmp_path / "toy"), tmp_path / "run")
    files = [short_rows(tmp_path / f"{count}.csv", count) for count in (FEW, MANY)]
    done = run_warm([sys.executable, "-c", PROGRAM, str(run), *map(str, files)])
    assert done.returncode == 0, done.stderr
    few, before, many, after = map(int, done.stdout.split())
    assert (few, many) == (FEW, MANY)
    with (tmp_path / f"{MANY}-out.csv").open() as file:
        assert sum(1 for _ in file) == MANY + 1
    assert after - before < A_ROW * (MANY - FEW), f"{before:,} bytes, then {after:,}"
