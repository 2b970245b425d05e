"""A first answer waits for nothing that it does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import cli
from tests.encoder.artefacts import moved
from tests.toy_setups import TEXTS
from tightfit import TrainResult
from tightfit.data.text_tokenizer import TextTokenizer
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


UNUSED = HEAVY - {"pydantic"} | {"filelock", "huggingface_hub", "rich"}
"""What a run and its settings need no more than an encoder does; pydantic checks settings."""

FROM_PYTHON = "tightfit.Run.load(sys.argv[1]).predict('a goal')"
FROM_A_SHELL = """
from tightfit.cli import main
sys.argv[:] = ['tightfit', 'predict', sys.argv[1], '--text', 'a goal']
try: main()
except SystemExit as end: assert not end.code
from pydantic.plugin import _loader
assert _loader._plugins is None, "packages were searched for pydantic's plugins"
"""


@pytest.mark.parametrize("answer", [FROM_PYTHON, FROM_A_SHELL], ids=["python", "shell"])
def test_a_first_answer_of_a_run_loads_what_it_needs(finished: TrainResult, answer: str) -> None:
    """Of the command line, its own verb alone; of the readers of files, none."""
    program = f"import sys, tightfit\n{answer}\nprint(*sys.modules)"
    command = [sys.executable, "-c", program, str(finished.run)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not UNUSED & loaded
    verbs = {name for name in loaded if name.endswith("_command")}
    assert verbs == ({"tightfit.cli.predict_command"} if answer == FROM_A_SHELL else set())
    assert not {"tightfit.data.sources", "tightfit.data.facts", "tightfit.verbs"} & loaded


def test_a_first_answer_opens_one_tokenizer(
    finished: TrainResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's own, which also tells whether texts can be read; a second takes 30 ms, and 6 MB."""
    opened, of = set(), TextTokenizer.of

    def noted(folder: Path) -> TextTokenizer:
        opened.add(folder)
        return of(folder)

    monkeypatch.setattr(TextTokenizer, "of", noted)
    assert cli("predict", str(finished.run), "--text", "a goal").exit_code == 0
    assert opened <= {finished.run / "adapter"}
