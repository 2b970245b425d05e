"""What keeps a fitted estimator besides pickle: skops and MLflow, where they are installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.toy_estimators import TEXTS
from tightfit import TightfitClassifier
from tightfit.errors import ArtefactError, MissingExtraError, UsageError
from tightfit.estimator import keeping

EXAMPLE = pd.DataFrame({"text": TEXTS[:3]})


def test_skops_needs_one_trusted_type(fitted: TightfitClassifier) -> None:
    """The estimator itself; everything in it is plain."""
    skops: Any = pytest.importorskip("skops.io", reason="skops is not installed")
    kept = skops.dumps(fitted)
    trusted = ["tightfit.estimator.TightfitClassifier"]
    assert skops.get_untrusted_types(data=kept) == trusted
    again = skops.loads(kept, trusted=trusted)
    assert np.array_equal(again.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


def test_a_damaged_file_is_told_as_such(fitted: TightfitClassifier, tmp_path: Path) -> None:
    """Wherever the byte is, in the run or in what is around it."""
    path = fitted.save(tmp_path / "kept")
    whole = path.read_bytes()
    # The third is the first byte behind the pickle's header, whose length of a frame may be less.
    for place in (len(whole) // 2, len(whole) - 2, 11):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(ArtefactError, match="no estimator can be read from this file"):
            TightfitClassifier.load(path)


def test_what_mlflow_opens_answers_in_frames(fitted: TightfitClassifier, tmp_path: Path) -> None:
    """Without MLflow: the label, and the probability of each class."""
    path = fitted.save(tmp_path / keeping.MLFLOW_FILE)
    found = keeping._load_pyfunc(str(path)).predict(EXAMPLE)
    assert list(found.columns) == ["label", "probability_no", "probability_yes"]
    assert found["label"].tolist() == fitted.predict(TEXTS[:3]).tolist()
    assert np.array_equal(found.iloc[:, 1:], fitted.predict_proba(TEXTS[:3]))


def test_mlflow_saves_and_loads(fitted: TightfitClassifier, tmp_path: Path) -> None:
    """With the signature and the example."""
    pyfunc: Any = pytest.importorskip("mlflow.pyfunc", reason="mlflow is no part of the checks")
    folder = fitted.save_mlflow(tmp_path / "model", EXAMPLE)
    loaded = pyfunc.load_model(str(folder))
    assert loaded.metadata.signature.inputs.input_names() == ["text"]
    assert loaded.predict(EXAMPLE)["label"].tolist() == fitted.predict(TEXTS[:3]).tolist()
    with pytest.raises(UsageError, match="something at this path"):
        fitted.save_mlflow(folder, EXAMPLE)


def test_mlflow_is_an_extra(
    fitted: TightfitClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named where it is missing."""
    monkeypatch.setattr("tightfit.extras.available", lambda package: package != "mlflow")
    with pytest.raises(MissingExtraError, match=r"tightfit\[mlflow\]"):
        fitted.save_mlflow(tmp_path / "model", EXAMPLE)


FORKED = """
import os, sys
from tightfit.estimator.keeping import TemporaryFolder
made = TemporaryFolder()
worker = os.fork()
if not worker:
    sys.exit()  # as workers of servers end, with all that is due at the end of a program
os.waitpid(worker, 0)
print(made.path.is_dir(), made.path)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_worker_leaves_the_run_of_an_estimator() -> None:
    """It goes with the process that made it."""
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, check=True)
    there, path = done.stdout.decode().split()
    assert there == "True"
    assert not Path(path).exists()
