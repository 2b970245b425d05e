"""A disk that is full while something is written: told as such, with nothing left half-written.

The limit on a file's size that the operating system enforces stands for the full disk: it stops
whatever writes, in Python or not, in the middle of a file.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from tests.exports import toy_run, wide_encoder
from tests.toys import toy_rows, write_jsonl
from tests.warm import Around, run
from tightfit import storage
from tightfit.errors import MachineError
from tightfit.storage.files import machine_errors

pytest.importorskip("resource", reason="only Unix limits the size of files")

LIMIT = 4_000
"""Bytes: less than any model has, and more than a table of settings."""

COMMANDS = {
    "peft": "export {run} --format peft --out {out}",
    "merged": "export {run} --format merged --out {out}",
    "onnx": "export {run} --format onnx --out {out}",
    "import": "import {run}/adapter --base {encoder} --out {out}",
    "csv": "predict {run} --data {rows} --out {out}/p.csv",
    "parquet": "predict {run} --data {rows} --out {out}/p.parquet",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An encoder, a run on it, and rows."""
    home = tmp_path_factory.mktemp("full")
    encoder = wide_encoder(home / "encoder")
    run = toy_run(encoder, home / "run")
    return {"encoder": encoder, "run": run, "rows": write_jsonl(home / "r.jsonl", toy_rows(2000))}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_tells_and_leaves_nothing(
    name: str, home: dict[str, Path], tmp_path: Path
) -> None:
    """Exit code 9, the operating system's words, no traceback, and no output under its name."""
    out = tmp_path / "out"
    words = COMMANDS[name].format(**home, out=out).split()
    program = [sys.executable, "-m", "tightfit", *words]
    # What counts lines would fall over the limit itself, at the end.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    found = run(program, Around(env, file_limit=LIMIT))
    assert found.returncode == 9, found.stderr
    assert "File too large" in found.stderr
    assert "Traceback" not in found.stderr
    assert not (out / "p.csv").exists()
    assert not (out / "p.parquet").exists()
    assert out.exists() == (name in ("csv", "parquet"))
    assert storage.open_run(home["run"])


@pytest.mark.parametrize(
    ("told", "number"),
    [
        ("Error while serializing: I/O error: No space left on device (os error 28)", 28),
        ("Error while deserializing header: header too large", None),
    ],
)
def test_what_safetensors_says_of_the_machine(told: str, number: int | None) -> None:
    """A refusal of the machine becomes one; a damaged file stays what it is."""
    wanted = SafetensorError if number is None else MachineError
    with pytest.raises(wanted) as caught, machine_errors(Path("x"), "write"):
        raise SafetensorError(told)
    if number is not None:
        assert "No space left on device" in str(caught.value)
        assert "free some space" in str(caught.value)
