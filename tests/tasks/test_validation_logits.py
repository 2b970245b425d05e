"""What is kept of validation rows: a file that pandas reads, written and read without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from tightfit.tasks import SingleLabel
from tightfit.tasks.validation_logits import ValidationLogits, read_validation_logits
logits_NK = np.arange(27, dtype=np.float32).reshape(9, 3)
texts = (None, "grüß", "", None, *"abcd", "日本")
path, task = Path(sys.argv[1]), SingleLabel(("a", "b", "c"))
kept = ValidationLogits(task, logits_NK, np.arange(9) % 3, np.arange(9)[::-1], texts)
kept.write(path)
found = read_validation_logits(path, task)
assert (found.logits_NK == logits_NK).all() and (found.targets_N == kept.targets_N).all()
assert (found.rows_N == kept.rows_N).all() and (found.texts, found.inputs) == (texts, (None,) * 9)
assert "pandas" not in sys.modules
"""


def test_a_file_that_pandas_reads_without_pandas(tmp_path: Path) -> None:
    """Every column is what it was: numbers, lists of numbers, and texts, some of them None."""
    path = tmp_path / "validation.parquet"
    subprocess.run([sys.executable, "-c", PROGRAM, str(path)], check=True)
    frame = pd.read_parquet(path)
    assert frame["row"].tolist() == list(range(8, -1, -1))
    assert frame["label"].tolist() == [0, 1, 2] * 3
    assert np.array_equal(np.stack(frame["logits"].tolist()), np.arange(27).reshape(9, 3))
    texts = frame["text"].astype(object).where(frame["text"].notna(), None)
    assert texts.tolist() == [None, "grüß", "", None, *"abcd", "日本"]
    assert frame["input"].isna().all()
