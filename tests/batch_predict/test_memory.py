"""Memory does not grow with the rows that are predicted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.exports import toy_run, wide_encoder
from tests.warm import run as run_warm

PROGRAM = """
import sys
from pathlib import Path

import tightfit
from tightfit.progress import Progress

run, data, out = sys.argv[1:]
print(tightfit.predict(run, data, out, probabilities=True, progress=Progress()).rows)
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""


def peak_of(run: Path, count: int, folder: Path) -> int:
    """The most kibibytes that a process of its own holds while it predicts so many short rows."""
    data, out = folder / f"{count}.csv", folder / f"{count}-out.csv"
    with data.open("w") as file:
        file.write("text\n")
        file.writelines(f"goal match {'team ' * (row % 7)}\n" for row in range(count))
    command = [sys.executable, "-c", PROGRAM, str(run), str(data), str(out)]
    said = run_warm(command).stdout.split()
    assert said[0] == str(count)
    with out.open() as file:
        assert sum(1 for _ in file) == count + 1
    return int(said[1])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak")
def test_many_times_the_rows_take_no_more_memory(tmp_path: Path) -> None:
    """20,000 rows are ten chunks, 100,000 five times as many; two are held at a time."""
    run = toy_run(wide_encoder(tmp_path / "toy"), tmp_path / "run")
    few, many = (peak_of(run, count, tmp_path) for count in (20_000, 100_000))
    assert many <= 1.1 * few, f"{few:,} KiB, then {many:,} KiB"
