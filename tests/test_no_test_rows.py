"""No test split is read while fitting: to train, to choose, to calibrate or to report."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.toy_setups import SHORT
from tests.toys import toy_rows, write_jsonl
from tests.warm import run

WATCHED = """
import sys

record = sys.argv.pop(1)
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from tightfit.cli import main

try:
    main()
finally:
    with open(record, "w") as file:
        file.write("\\n".join(opened))
"""
"""The command, with every file that Python code opens on record."""


def files_of_training(folder: Path, *arguments: str) -> list[str]:
    """What a training opened, in a process of its own; it must end well."""
    record = folder / "opened"
    settings = [word for value in SHORT for word in ("--set", value)]
    command = [
        sys.executable,
        "-c",
        WATCHED,
        str(record),
        "train",
        "--json",
        "--max-steps",
        "4",
        *settings,
    ]
    done = run([*command, *arguments])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["proofs"]["round_trip"]["ok"]
    return record.read_text().split("\n")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.slow
def test_a_test_file_beside_the_training_file(bert: Path, tmp_path: Path) -> None:
    """It is a pipe that nobody fills: whoever opened it, in any language, would wait for ever."""
    data = write_jsonl(tmp_path / "train.jsonl", toy_rows(64))
    for name in ("test.jsonl", "test.csv", "test.parquet"):
        os.mkfifo(tmp_path / name)
    opened = files_of_training(
        tmp_path,
        *("--data", str(data), "--model", str(bert), "--out", str(tmp_path / "run")),
    )
    assert str(data) in opened
    assert not [name for name in opened if Path(name).name.startswith("test.")]


@pytest.mark.slow
def test_the_test_part_of_the_sample(bert: Path, tmp_path: Path) -> None:
    """``sample`` lies beside ``sample:test``, and is read alone."""
    opened = files_of_training(
        tmp_path,
        *("--data", "sample", "--model", str(bert), "--out", str(tmp_path / "run")),
    )
    parts = {Path(name).name for name in opened if "tightfit" in name and name.endswith(".jsonl")}
    assert parts == {"train.jsonl"}
