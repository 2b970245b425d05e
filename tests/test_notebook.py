"""The notebooks run from top to bottom, offline, on the sample and a toy encoder."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests import warm

EXAMPLES = Path(__file__).parent.parent / "examples"

OFFLINE = 'MODEL, RECIPE, STEPS = "all-MiniLM-L6-v2", "tight", None'
"""What it trains where there is no network."""

LEARNS = ["head.start=random", "optim.lr=1e-2", "data.max_length=32"]
"""A toy that starts from a probe may do no better than that in so few steps."""


SHELL = """
import os, sys
import nbformat
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
notebook = nbformat.read(sys.argv[1], as_version=4)
os.chdir(sys.argv[2])
for cell in notebook.cells:
    if cell.cell_type == "code":
        shell.run_cell(cell.source).raise_error()
"""
"""What a kernel does with a notebook, without its messages."""


def output_text(cell: nbformat.NotebookNode) -> str:
    """What a cell printed and gave, as one text."""
    parts = []
    for output in cell.get("outputs", []):
        parts.append(output.get("text", ""))
        parts.append(output.get("data", {}).get("text/plain", ""))
    return "".join(parts)


def shown_by(notebook: nbformat.NotebookNode, folder: Path) -> str:
    """Run every cell in this folder; what they printed and gave."""
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=600, resources=resources).execute()
    return "\n".join(map(output_text, notebook.cells))


def told_by(notebook: nbformat.NotebookNode, folder: Path) -> str:
    """The same from a warm start; one notebook in a cold kernel tries kernels enough."""
    nbformat.write(notebook, path := folder / "given.ipynb")
    done = warm.run([sys.executable, "-c", SHELL, str(path), str(folder)])
    assert done.returncode == 0, done.stderr
    path.unlink()
    return done.stdout


def give(notebook: nbformat.NotebookNode, line: str, other: str) -> None:
    """Put another line in the place of the only one like it."""
    (cell,) = (cell for cell in notebook.cells if line in cell.source)
    cell.source = cell.source.replace(line, other)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_notebook_runs_on_the_sample(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every cell runs; the sum, the proofs and the submission come out as the text says."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook = nbformat.read(EXAMPLES / "ag_news.ipynb", as_version=4)
    give(notebook, OFFLINE, f'MODEL, RECIPE, STEPS = "{bert}", "tight", 60')
    give(notebook, "SETTINGS = []", f"SETTINGS = {LEARNS}")
    shown = shown_by(notebook, tmp_path)
    assert "largest uniform rank that fits: 11" in shown
    proofs = "'gradients': True, 'movement': True, 'no_regression': True, 'round_trip': True"
    assert proofs in " ".join(shown.split())
    assert "alive" in shown
    lines = (tmp_path / "submission.csv").read_text().splitlines()
    assert lines[0] == "ID,Label"
    assert len(lines) == 121


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_pipeline_of_scikit_learn_runs_on_the_sample(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a spreadsheet to what is loaded again; the parameters are within the budget."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook = nbformat.read(EXAMPLES / "scikit_learn.ipynb", as_version=4)
    give(notebook, 'MODEL = "all-MiniLM-L6-v2"', f'MODEL = "{bert}"')
    give(notebook, '{"train.max_steps": 30}', '{"train.max_steps": 3, "data.max_length": 32}')
    shown = told_by(notebook, tmp_path)
    assert "of at most 200,000 parameters trained" in shown
    assert "'no_regression': True" in shown
    assert "business from a probability of" in shown
    assert "the same answers, from" in shown
    assert {path.name for path in tmp_path.iterdir()} == {
        "desk.joblib",
        "news.csv",
        "news-test.csv",
    }


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    """Outputs belong to whoever runs it."""
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)
