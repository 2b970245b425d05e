"""Each verb: what it asks of its function, and its words or its object on standard output."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.command import Recorder, cli, like_result, replace
from tightfit import Evaluation, plan
from tightfit.cli.train_command import _duration
from tightfit.display import remarks
from tightfit.metrics.interval import Interval
from tightfit.metrics.paired import compare_accuracy, compare_macro_f1
from tightfit.metrics.scores import Scores, score
from tightfit.model.adapter_audit import AdapterState, Audit
from tightfit.verbs.evaluation import Calibrated, OverSeeds

PLAN_KEYS = "model num_labels budget total adapters head headroom layers head_layers".split()

TRAINED: dict[str, Any] = {
    "run": "runs/my first",
    "total": 741_124,
    "accuracy": 0.88125,
    "macro_f1": 0.8801,
    "best_step": 1_200,
    "steps": 3_730,
    "epochs": 1.0,
    "examples": 119_360,
    "seconds": 1_000.0,
    "examples_per_second": 119.36,
    "tokens_per_second": 6_000.0,
    "proofs": {"gates": {"ok": True}, "movement": {"ok": False, "expected": True}},
}


def answer(*arguments: str) -> Any:
    """The JSON object of a verb that ends well."""
    result = cli(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


def words(*arguments: str, code: int = 0) -> str:
    """What a verb says to people: its result on standard output, or else a fault on stderr."""
    result = cli(*arguments)
    silent, said = (result.stdout, result.stderr)[:: 1 if code else -1]
    assert (result.exit_code, silent) == (code, ""), result.stderr
    return str(said)


# --- plan --------------------------------------------------------------------------------------


def test_plan_object() -> None:
    """The published system to the last parameter, under the keys that others rely on."""
    plan = answer("plan", "--model", "roberta-base", "--recipe", "paper")
    assert list(plan)[: len(PLAN_KEYS)] == PLAN_KEYS
    assert (plan["total"], plan["adapters"], plan["head"]) == (741_124, 147_456, 593_668)
    assert (plan["budget"], plan["headroom"], len(plan["layers"])) == (1_000_000, 258_876, 24)
    assert {"name", "rank", "in", "out", "parameters"} <= plan["layers"][0].keys()
    assert list(plan["head_layers"][0]) == ["name", "parameters"]


def test_plan_table() -> None:
    """Like layers in one row with their sum, the head, the cap and what is left of it."""
    page = words("plan", "--model", "roberta-base", "--recipe", "paper")
    rows = [" ".join(line.split()[:-1]) for line in page.splitlines()]
    assert "12 x query 4 x (768 + 768) 73,728" in rows
    assert "head: classifier.dense 590,592" in rows
    assert "74.1% of the cap is spent" in page
    for number in ("741,124", "1,000,000", "258,876"):
        assert number in page
    assert max(map(len, page.splitlines())) <= 80


def test_plan_without_a_cap() -> None:
    """Said in words, instead of a bar."""
    page = words("plan", "--model", "roberta-base", "--recipe", "full")
    assert "No cap holds" in page
    assert "124,648,708" in page


def test_plan_over_the_cap() -> None:
    """Code 5, and the sum on stderr."""
    page = words("plan", "--model", "roberta-base", "--recipe", "paper", "--budget", "700k", code=5)
    assert "12 x query: 4 x (768 + 768) = 73,728" in page
    assert "cap: 700,000" in page


def test_plan_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is passed on; settings in their order."""
    recorder = Recorder(like_result({}))
    replace(monkeypatch, "plan", recorder)
    answer(*"plan --model m --labels 7 --recipe paper --set a.b=1 --set c=2".split())
    assert recorder.arguments == ("m",)
    assert recorder.options == {
        "labels": 7,
        "budget": None,
        "recipe": "paper",
        "settings": ["a.b=1", "c=2"],
    }


# --- train -------------------------------------------------------------------------------------


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A training that has just ended."""
    recorder = Recorder(like_result(TRAINED, run=Path(TRAINED["run"])))
    replace(monkeypatch, "train", recorder)
    return recorder


def test_train_arguments(trainer: Recorder) -> None:
    """Every option of the contract arrives under its name."""
    line = "train --data d --validation v --model m --recipe paper --budget 1M --out o --seed 7"
    rows = "--limit 9 --text-column t,u --label-column l"
    answer(*line.split(), *rows.split(), *"--max-steps 8 --overwrite --set a.b=c".split())
    assert trainer.options.pop("started") < time.monotonic()
    assert trainer.arguments == ("d",)
    assert trainer.options == {
        **{"validation": "v", "model": ["m"], "recipe": "paper", "budget": 1_000_000},
        **{"out": Path("o"), "seed": 7, "max_steps": 8, "limit": 9, "resume": False},
        **{"overwrite": True, "settings": ["a.b=c"], "text_column": "t,u", "label_column": "l"},
        **{"minutes": None, "from_run": None, "label_names": None, "unlabelled": None},
    }


def test_train_from_a_run(trainer: Recorder) -> None:
    """Its settings are taken, so that no recipe is named."""
    answer(*"train --data d --from r --out o".split())
    assert trainer.options["from_run"] == Path("r")
    assert "recipe" not in trainer.options


def test_train_minutes(trainer: Recorder) -> None:
    """The time of the whole command, whose clock began before anything slow was imported."""
    answer(*"train --data d --minutes 4.5".split())
    assert trainer.options["minutes"] == 4.5
    assert "minutes" in words(*"train --data d --minutes 0".split(), code=2)


def test_train_object(trainer: Recorder) -> None:
    """As its function gives it."""
    assert answer("train", "--data", "sample") == TRAINED
    assert "recipe" not in trainer.options


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--resume"], "--resume needs to know which run"),
        (["--resume", "--overwrite", "--out", "r"], "give one of the two"),
        (["--resume", "--dry-run", "--out", "r"], "forecasts a whole training"),
    ],
)
def test_train_contradictions(options: list[str], fault: str) -> None:
    """Refused before anything is done."""
    assert fault in words("train", "--data", "sample", *options, code=2)


@pytest.fixture
def forecaster(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A forecast."""
    forecast = like_result(
        {"steps": 36},
        **{"plan": plan(), "rows": 1800, "validation_rows": 200, "truncated": 3, "folds": None},
        **{"steps": 36, "minutes": 150.0, "memory_bytes": 2**31, "notes": ("fp32 on a CPU",)},
    )
    recorder = Recorder(forecast)
    replace(monkeypatch, "dry_run", recorder)
    return recorder


def test_dry_run_object(forecaster: Recorder) -> None:
    """The forecast instead of a training; the run folder is of no concern."""
    found = answer("train", "--data", "d", "--dry-run", "--out", "r", "--overwrite")
    assert found == {"steps": 36}
    assert not {"out", "resume", "overwrite"} & forecaster.options.keys()


@pytest.mark.usefixtures("forecaster")
def test_dry_run_words() -> None:
    """The plan, the rows, and what it would take."""
    page = words("train", "--data", "d", "--dry-run")
    assert "996,868" in page
    assert "1,800 rows to train on, 200 to validate on; 3 texts would be cut" in page
    assert "36 steps, about 2.5 hours, 2.0 GiB of memory" in page


@pytest.mark.parametrize(
    ("minutes", "said"), [(0.005, "0.3 seconds"), (1.4, "84 seconds"), (90.0, "90 minutes")]
)
def test_durations(minutes: float, said: str) -> None:
    """In the unit that fits."""
    assert _duration(minutes) == said


# --- evaluate ----------------------------------------------------------------------------------


def scores_of(names: list[str], rows: int = 40) -> Scores:
    """Scores of a classifier that is often right, always the same."""
    chance = np.random.default_rng(0)
    labels_B = chance.integers(len(names), size=rows)
    logits_BK = chance.normal(size=(rows, len(names))) + 2 * np.eye(len(names))[labels_B]
    probabilities_BK = np.exp(logits_BK) / np.exp(logits_BK).sum(1, keepdims=True)
    return score(labels_B, probabilities_BK, names)


CALIBRATED = Calibrated(1.25, 0.081, 0.042, 0.02, 0.5, 0.4, "too few rows")


@pytest.fixture
def evaluator(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """An evaluation on two labels."""
    scores = scores_of(["money", "[red]"])
    recorder = Recorder(Evaluation(scores, CALIBRATED))
    replace(monkeypatch, "evaluate", recorder)
    return recorder


def test_evaluate_object(evaluator: Recorder) -> None:
    """The keys that others rely on are among those of the scores."""
    found = answer("evaluate", "r", "--data", "d", "--against", "s", "--text-column", "t")
    assert {"n", "accuracy", "macro_f1", "log_loss", "ece", "confusion", "labels"} <= found.keys()
    assert list(found["accuracy"]) == ["value", "low", "high"]
    assert evaluator.arguments == (Path("r"), "d")
    assert evaluator.options["against"] == Path("s")
    assert evaluator.options["text_column"] == "t"


def test_evaluate_words(evaluator: Recorder) -> None:
    """Scores with intervals, each label, and the confusion matrix."""
    page = words("evaluate", "r", "--data", "d.csv")
    scores: Scores = evaluator.result.scores
    a = scores.accuracy
    assert "r on d.csv: 40 rows" in page
    rows = [" ".join(line.split()) for line in page.splitlines()]
    assert f"accuracy {a.value:.1%} {a.low:.1%} to {a.high:.1%}" in rows
    assert f"[red] {scores.confusion[1][0]} {scores.confusion[1][1]}" in rows
    assert "before calibration 8.1%" in rows
    assert "temperature 1.25" in rows
    assert "temperature scaling did not halve the calibration error: too few rows" in rows
    assert max(map(len, page.splitlines())) <= 80


def test_evaluate_ends_with_the_weakest_label(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the words of train; labels that are never found are named with what may help."""
    given_NK = np.eye(4)[[0] * 5 + [1] * 6 + [0]]
    scores = score([0] * 5 + [1] * 5 + [2, 3], given_NK, ["[b]", "money", "rare", "odd"])
    replace(monkeypatch, "evaluate", Recorder(Evaluation(scores, CALIBRATED)))
    *_, weakest, lost = words("evaluate", "r", "--data", "d").splitlines()
    assert weakest == "weakest label: rare, F1 0.0%, 0.0% of its 1 row found"
    assert lost.startswith("no row of rare or odd was found: more of its rows, more minutes, or --")
    perfect = Evaluation(score([0, 1], np.eye(2), ["a", "b"]), CALIBRATED)
    replace(monkeypatch, "evaluate", Recorder(perfect))
    assert "weakest" not in words("evaluate", "r", "--data", "d")


def test_a_constant_answer_that_is_as_good_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing else is said of labels that are never found."""
    even = Evaluation(score([0, 1], np.eye(2)[[0, 0]], ["a", "b"]), CALIBRATED)
    replace(monkeypatch, "evaluate", Recorder(even))
    *_, constant, weakest = words("evaluate", "r", "--data", "d").splitlines()
    blind = "always 'a' is right in 50.0% of these 2 rows"
    assert constant == f"not shown to be better than a constant answer: {blind}"
    assert weakest == "weakest label: b, F1 0.0%, 0.0% of its 1 row found"


def test_labels_that_are_never_found_need_no_weights_where_none_is_rare() -> None:
    """Only more of their rows, or of the training."""
    three = score([0, 1, 2] * 9, np.eye(3)[[0, 1, 1] * 9], ["a", "b", "c"])
    assert remarks(three)[-1].endswith("more of its rows, or more minutes, may help in training")


def test_evaluate_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs that were named reach its function; the mean has an interval of its own."""
    mean = Interval(0.9, 0.85, 0.95)
    scores = {"accuracy": mean, "log_loss": Interval(0.4, 0.3, 0.5), "ece": mean}
    seeds = OverSeeds(("r", "s", "t"), scores)
    recorder = Recorder(Evaluation(scores_of(["money", "sport"]), CALIBRATED, seeds=seeds))
    replace(monkeypatch, "evaluate", recorder)
    page = words("evaluate", "r", "--data", "d", "--also", "s", "--also", "t")
    rows = [" ".join(line.split()) for line in page.splitlines()]
    assert recorder.options["also"] == [Path("s"), Path("t")]
    assert "mean of 3 runs on the same rows" in page
    assert {"accuracy 90.0% 85.0% to 95.0%", "log loss 0.400 0.300 to 0.500"} <= set(rows)


def test_evaluate_against(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison in one sentence."""
    scores = scores_of(["money", "sport"])
    lists = [[0, 1, 1, 0], [0, 1, 1, 0], [1, 1, 1, 1]]
    paired, macro_f1 = compare_accuracy(*lists), compare_macro_f1(*lists)
    replace(monkeypatch, "evaluate", Recorder(Evaluation(scores, CALIBRATED, paired, macro_f1)))
    page = words("evaluate", "r", "--data", "d", "--against", "s")
    assert f"r against s: {paired.sentence}" in page
    assert f"r against s, macro F1: {macro_f1.sentence}" in page


def test_evaluate_many_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty columns do not fit: the worst confusions are listed, the largest first."""
    scores = scores_of([f"a long label name {i}" for i in range(20)], rows=2000)
    replace(monkeypatch, "evaluate", Recorder(Evaluation(scores, CALIBRATED)))
    page = words("evaluate", "r", "--data", "d")
    worst = max(c for t, row in enumerate(scores.confusion) for p, c in enumerate(row) if t != p)
    listed = page.partition("most frequent confusions")[2].split("\n")
    counts = [int(line.split()[-1]) for line in listed if line.strip()[-1:].isdigit()]
    assert len(counts) == 10
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == worst
    assert max(map(len, page.splitlines())) <= 80


# --- audit -------------------------------------------------------------------------------------

ALIVE = AdapterState("bert.layer.0.query", 4, 1.25, 0.5, dead=False)
DEAD = AdapterState("bert.layer.1.query", 4, 1.25, 0.0, dead=True)
BROKEN = AdapterState("bert.layer.2.query", 4, None, None, dead=True)


def test_audit_of_the_living(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code 0, the verdict last, names without what they share."""
    audit = Audit(9, (ALIVE,), True, ("money", "[x]"), "alive: all 1 adapters changed their layer")
    replace(monkeypatch, "audit", Recorder(audit))
    page = words("audit", "r")
    assert "labels: money, [x]" in page
    assert ["query", "4", "1.25", "0.5"] in [line.split() for line in page.splitlines()]
    assert page.endswith("alive: all 1 adapters changed their layer\n")
    assert answer("audit", "r") == audit.to_json()


def test_audit_of_the_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code 7, in both forms; table or object come all the same, and the verdict once."""
    audit = Audit(9, (ALIVE, DEAD, BROKEN), False, None, "dead: 2 of 3")
    replace(monkeypatch, "audit", Recorder(audit))
    told = cli("audit", "r")
    assert told.exit_code == 7
    page = told.output
    lines = [line.split() for line in page.splitlines()]
    assert ["DEAD", "1.query", "4", "1.25", "0"] in lines
    assert ["DEAD", "2.query", "4", *["not", "finite"] * 2] in lines
    assert page.count("dead: 2 of 3") == 1
    assert "the head is not among them" in page
    result = cli("audit", "r", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (7, audit.to_json())


def test_audit_without_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    """No table for nothing."""
    audit = Audit(1540, (), True, ("a", "b"), "no adapters: a head-only classifier")
    replace(monkeypatch, "audit", Recorder(audit))
    page = words("audit", "r")
    assert "1,540 trained numbers" in page
    assert "rank" not in page


# --- doctor ------------------------------------------------------------------------------------


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A machine without PEFT, NumPy, compiler, tracker and network."""
    what: Any = SimpleNamespace
    devices = what(cpu="EPYC", cores=2, torch_threads=2, cpu_features=(), gpus=(), memory=None)
    devices.free_disk = 2**31
    report = like_result(
        {"verdict": "not ready"},
        **{"versions": {"torch": "2.13.0", "peft": None, "numpy": None}, "devices": devices},
        compiler=None,
        extras={"wandb": what(ok=False, detail="pip install 'tightfit[wandb]'")},
        reachable={"hub": what(ok=False, detail="ConnectError")},
        verdict="not ready: pip install numpy",
    )
    replace(monkeypatch, "doctor", recorder := Recorder(report))
    return recorder


def test_doctor_words(patient: Recorder) -> None:
    """What is fine, what is not needed, what keeps it from being ready; the verdict last."""
    lines = [" ".join(line.split()) for line in words("doctor").splitlines()]
    assert {"✓ torch 2.13.0", "- peft missing", "✗ numpy missing"} <= set(lines)
    assert "✗ models: hub ConnectError" in lines
    assert "- extra wandb pip install 'tightfit[wandb]'" in lines
    assert "✓ memory unknown" in lines
    assert lines[-1] == "not ready: pip install numpy"
    # Where one model is at hand nothing is amiss that the other is not.
    patient.result.reachable["embedded"] = SimpleNamespace(ok=True, detail="here")
    assert "- models: hub ConnectError" in " ".join(words("doctor").split())


@pytest.mark.usefixtures("patient")
def test_doctor_object() -> None:
    """As the doctor gives it; a machine that is not ready is no error."""
    assert answer("doctor") == {"verdict": "not ready"}
