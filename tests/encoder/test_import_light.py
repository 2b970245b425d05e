"""A first answer waits for nothing that it does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.encoder.artefacts import moved
from tests.toy_setups import TEXTS
from tightfit.encoder import open_classifier
from tightfit.model.artefact import save_artefact

HEAVY = {"torch", "transformers", "peft", "pydantic", "scipy", "sklearn", "pandas", "pyarrow"}

PROGRAM = """
import sys
from pathlib import Path
from tightfit.encoder import open_classifier
classifier = open_classifier(*map(Path, sys.argv[1:3]))
print(classifier.logits(classifier.tokens(sys.argv[3:], 32)).tolist())
print(*sys.modules)
"""


def test_an_answer_loads_nothing_heavy(bert: Path, tmp_path: Path) -> None:
    """And is the same as here."""
    save_artefact(moved(bert), tmp_path)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(bert), *TEXTS]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    logits, loaded = done.stdout.splitlines()
    assert not HEAVY & set(loaded.split())
    classifier = open_classifier(tmp_path, bert)
    assert logits == str(classifier.logits(classifier.tokens(TEXTS, 32)).tolist())
