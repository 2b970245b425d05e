"""Thousands of hostile files: each is read or refused, and none breaks, hangs or fills memory."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.fuzz import KINDS, MEMORY, PACK, SECONDS, TEXTS, outcome

COUNT = int(os.environ.get("TIGHTFIT_HOSTILE", "2000"))
"""Files to try; ``make test-faults`` tries 10,000."""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_hostile_files(capsys: pytest.CaptureFixture[str]) -> None:
    """A process that dies or hangs fails the test too; the count is printed."""
    command = [sys.executable, "-m", "tests.faults.fuzz", "0", str(COUNT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    with capsys.disabled():
        sys.stdout.write(f"\n{COUNT:,} hostile files: {found}\n")
    assert found["broken"] == []
    assert found["read"] + found["refused"] == COUNT
    # Were nearly all refused at the door, the readers behind it would not have been tried.
    assert min(found["read"], found["refused"]) > COUNT / 10
    assert found["slowest"] < SECONDS
    assert found["peak_bytes"] < MEMORY


@pytest.mark.parametrize("name", KINDS)
def test_the_files_are_sound_before(name: str, tmp_path: Path) -> None:
    """Otherwise every change to them would be refused for a reason of our own."""
    rows = [{"text": text, "label": i % 3} for i, text in enumerate(TEXTS)]
    content = PACK.get(Path(name).suffix, bytes)(KINDS[name](rows))
    assert outcome(tmp_path / name, content, random.Random(0)) == "read"
