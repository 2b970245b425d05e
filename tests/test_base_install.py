"""What the base install can do: here every package is hidden that it would not bring.

``make release-check`` does the same with the wheel in an empty environment.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tightfit
from tests.toy_setups import TEXTS
from tightfit import TrainResult
from tightfit.model.classifier import predict_logits

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"

PROGRAM = """
import json, sys
from importlib.machinery import PathFinder
class OwnPackages:
    hidden = set(json.loads(sys.argv[1]))
    find_distributions = staticmethod(PathFinder.find_distributions)
    def find_spec(self, name, path=None, target=None):
        return None if name in self.hidden else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = OwnPackages()
from typer.testing import CliRunner
import tightfit
from tightfit import Run
from tightfit.cli import app
from tightfit.errors import MissingExtraError
def told(command):
    done = CliRunner().invoke(app, command, prog_name="tightfit")
    return {"code": done.exit_code, "out": done.stdout, "err": done.stderr}
answers = [told(command) for command in json.loads(sys.argv[2])]
def refused(name):
    try:
        getattr(tightfit, name)
    except MissingExtraError as error:
        return str(error)
run = Run.open(sys.argv[3])
answers.append([run.metrics.validation.accuracy.value, run.plan.total, list(run.labels)])
answers[-1].append({name: refused(name) for name in ("TightfitClassifier", "TightfitRegressor")})
print(json.dumps(answers))
"""

Base = tuple[dict[str, dict[str, Any]], Any]

NEEDS_TRAINING = {
    "train": ["train", "--data", "no-such-file"],
    "dry-run": ["train", "--dry-run", "--data", "no-such-file"],
    "evaluate": ["evaluate", "no-such-run", "--data", "no-such-file"],
    "export": ["export", "no-such-run", "--format", "peft", "--out", "x"],
    "import": ["import", "no-such-folder", "--base", "x"],
    "compare": ["compare", "--data", "no-such-file"],
    "report": ["report", "no-such-run"],
}


def commands(run: Path, folder: Path) -> dict[str, list[str]]:
    """One of each kind, by name."""
    data = ["--data", str(folder / "rows.csv"), "--keep", "n", "--probabilities"]
    texts = [part for text in TEXTS for part in ("--text", text)]
    predict = ["predict", str(run)]
    return {
        "help": ["--help"],
        "plan": ["plan", "--model", "roberta-base"],
        "doctor": ["doctor", "--json"],
        "runs": ["runs", str(run.parent), "--json"],
        "audit": ["audit", str(run)],
        "audit-peft": ["audit", str(run / "adapter"), "--json"],
        "text": [*predict, *texts, "--probabilities", "--json"],
        "csv": [*predict, *data, "--out", str(folder / "o.csv")],
        "jsonl": [*predict, *data, "--out", str(folder / "o.jsonl")],
        "parquet": [*predict, *data, "--out", str(folder / "o.parquet")],
        "engine": [*predict, *data, "--out", str(folder / "p.csv"), "--engine", "onnx"],
        "max-error": [*predict, *texts, "--max-error", "0.1"],
        "cascade": [*predict, *texts, "--cascade"],
        "check": ["check", "--data", "no-such-file"],
        **NEEDS_TRAINING,
    }


def hidden() -> list[str]:
    """Import names of whatever is installed here and would not be there."""
    base = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["dependencies"]
    kept = {"tightfit", *closure(base)}
    owners = packages_distributions()
    assert "torch" in owners, "the test hides what is there"
    return [name for name, of in owners.items() if kept.isdisjoint(map(canonicalize_name, of))]


def closure(requirements: list[str]) -> Iterator[str]:
    """Names of these distributions and of all that they require."""
    waiting, seen = list(requirements), set()
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name not in seen and (requirement.marker is None or requirement.marker.evaluate()):
            seen.add(name)
            yield name
            waiting += [text for text in requires(name) or [] if "extra ==" not in text]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows to predict, and place for answers."""
    folder = tmp_path_factory.mktemp("base")
    rows = [f'"{text}",{n}' for n, text in enumerate(TEXTS)]
    (folder / "rows.csv").write_text("\n".join(["text,n", *rows, ""]), "utf-8")
    return folder


@pytest.fixture(scope="module")
def base(finished: TrainResult, folder: Path) -> Base:
    """What each command answered, and what Python read of the run."""
    asked = commands(Path(finished.run), folder)
    arguments = [json.dumps(hidden()), json.dumps(list(asked.values())), str(finished.run)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, check=True, text=True
    )
    *answers, run = json.loads(done.stdout)
    return dict(zip(asked, answers, strict=True)), run


@pytest.mark.parametrize(
    "name", ["help", "plan", "doctor", "runs", "audit", "audit-peft", "text", "csv", "jsonl"]
)
def test_it_does(name: str, base: Base) -> None:
    """Each of these ends well."""
    assert base[0][name]["code"] == 0, base[0][name]["err"]


@pytest.mark.parametrize("name", NEEDS_TRAINING)
def test_it_names_what_trains(name: str, base: Base) -> None:
    """In one line with the command, before it looks at anything: none of the paths exists."""
    answer = base[0][name]
    assert answer["code"] == 3
    [line] = answer["err"].splitlines()
    assert line.endswith("needs more than the base install: pip install 'tightfit[train]'")


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("cascade", "train"),
        ("check", "checks"),
        ("engine", "train,onnx"),
        ("max-error", "train"),
        ("parquet", "parquet"),
    ],
)
def test_it_names_the_extra(name: str, extra: str, base: Base) -> None:
    """Of what is asked for besides."""
    answer = base[0][name]
    assert (answer["code"], f"pip install 'tightfit[{extra}]'" in answer["err"]) == (3, True)


def test_its_answers_are_those_of_torch(base: Base, finished: TrainResult, folder: Path) -> None:
    """To 1e-5, whatever they are written to."""
    run = tightfit.Run.load(finished.run)
    logits_NK = predict_logits(run.classifier, run.predictor.tokens(TEXTS), batch=2)
    due_NK = run.task.probabilities(logits_NK, run.temperature)
    lines = (folder / "o.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["n"] for row in rows] == list(range(len(TEXTS)))
    found_NK = [[row[name] for name in run.labels] for row in rows]
    np.testing.assert_allclose(found_NK, due_NK, atol=1e-5)
    told = json.loads(base[0]["text"]["out"])["predictions"]
    spoken_NK = [[each["probabilities"][name] for name in run.labels] for each in told]
    np.testing.assert_allclose(spoken_NK, due_NK, atol=1e-5)


def test_it_reads_runs(base: Base, finished: TrainResult) -> None:
    """Scores and plan, without what computes them."""
    accuracy, total, labels, _ = base[1]
    assert accuracy == pytest.approx(finished.accuracy)
    assert total == finished.total
    assert tuple(labels) == tightfit.Run.open(finished.run).labels


def test_its_estimators_name_what_trains(base: Base) -> None:
    """In Python as on the command line."""
    for name, told in base[1][-1].items():
        assert told.startswith(f"tightfit.{name} needs more than the base install"), told
        assert "pip install 'tightfit[train]'" in told


def test_several_labels_are_given_by_their_thresholds() -> None:
    """What chooses thresholds needs scipy, and what gives labels by them does not."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['scipy', 'sklearn', 'torch', 'pyarrow']))\n"
        "import numpy as np\n"
        "from tightfit.data.labels import LabelSet\n"
        "from tightfit.tasks import MultiLabel\n"
        "task = MultiLabel(LabelSet(('a', 'b'), ('a', 'b')))\n"
        "given = task.predictions(np.array([[0.3, 0.3]]), thresholds={0: 0.2})\n"
        "print(given.labels)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[['a']]\n", done.stderr
