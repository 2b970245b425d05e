"""A run on a disk that cannot be written, as in a container: what is asked for is still given."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.toy_setups import LABELS, Notes
from tightfit import TrainResult, evaluate, predict, report
from tightfit.errors import MachineError


@pytest.fixture
def run(finished: TrainResult, tmp_path: Path) -> Path:
    """A run beside which nothing can be kept, whoever asks: a file stands in the way."""
    run = Path(shutil.copytree(finished.run, tmp_path / "run"))
    shutil.rmtree(run / "derived")
    (run / "derived").write_bytes(b"")
    return run


def test_scores_are_told_and_not_kept(run: Path, rows_file: Path) -> None:
    """It ended with exit code 9, after all the work."""
    notes = Notes()
    assert evaluate(run, rows_file, progress=notes).scores.n == 120
    assert "the scores are not kept for later: cannot make" in notes.warned[-1]


def test_thresholds_that_predict_would_not_find_are_told(run: Path, rows_file: Path) -> None:
    """Going on would have it answer as if none had been asked for."""
    with pytest.raises(MachineError) as caught:
        evaluate(run, rows_file, recall={LABELS[0]: 0.5}, progress=Notes())
    assert f"predict with what was found (thresholds=…): {LABELS[0]}=0." in str(caught.value)


def test_an_engine_is_made_for_the_time_being(run: Path, rows_file: Path, tmp_path: Path) -> None:
    """Its graph lies among temporary files until it is loaded."""
    notes = Notes()
    made = predict(run, rows_file, tmp_path / "a.csv", engine="onnx", progress=notes)
    assert made.engine == "onnx"
    assert "graph and figures are not kept for later: cannot make" in notes.warned[-1]


def test_a_page_is_to_go_elsewhere(run: Path, tmp_path: Path) -> None:
    """It is told before the mistakes are read again."""
    with pytest.raises(MachineError, match=r"another place for the page with out=FILE"):
        report(run, progress=Notes())
    assert report(run, out=tmp_path / "page.html", progress=Notes()).is_file()
