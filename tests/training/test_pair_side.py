"""A side head of pairs: when it is due, how it is solved and weighed, and what a run answers."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tightfit
from tests.exports import by_itself
from tests.toy_setups import SHORT, Notes, toy_settings, toy_table
from tests.toys import MONEY, SPORT, write_jsonl
from tightfit import Run
from tightfit.budget.parts import SidePlan
from tightfit.data.text_pair import TextPair
from tightfit.data.text_tokenizer import TextTokenizer
from tightfit.errors import SettingsError
from tightfit.exporting.exported import ComparedRows
from tightfit.exporting.exporter import export
from tightfit.exporting.format_names import FACTS_FILE
from tightfit.model.locate import locate
from tightfit.model.pair_reader import PairReader
from tightfit.model.side_head import SIDE_FILE
from tightfit.storage import read_json
from tightfit.tasks import Rating, SingleLabel
from tightfit.tasks.dataset import read_dataset
from tightfit.tasks.labelled_texts import LabelledTexts
from tightfit.tasks.linear_probe import RidgeProblem
from tightfit.training.frozen_probe import FrozenProbe
from tightfit.training.side_choice import decide_side, kept_beside, weigh_side
from tightfit.training.side_solver import SideSolver

WORDS = [*SPORT, *MONEY]
WIDTH = 3 * 32


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Pairs that say the same or not, with a rating of how much."""
    chance = np.random.default_rng(seed)
    found = []
    for row in range(count):
        first, other = (" ".join(chance.choice(WORDS, 3)) for _ in range(2))
        same = row % 2 == 0
        pair = {"premise": first, "hypothesis": first if same else other}
        label, rating = ("same", 4.5) if same else ("other", 1.5)
        found.append({**pair, "label": label, "rating": rating + chance.normal() / 4})
    return found


def pairs_of(given: list[dict[str, Any]]) -> list[str]:
    """Their texts."""
    return [TextPair(row["premise"], row["hypothesis"]) for row in given]


def probe_of(encoder: Path, *settings: str, count: int = 128) -> FrozenProbe:
    """A probe over these pairs."""
    config = toy_settings(encoder, "head.side=auto", "train.folds=0", "data.pair=true", *settings)
    single = config.with_values({"data.pair": False})
    dataset = read_dataset(single, toy_table(count), None, None)
    given = rows(len(dataset.train))
    targets_N = np.array([row["label"] == "same" for row in given]).astype(np.int64)
    read = replace(dataset, train=LabelledTexts(targets_N, pairs_of(given)))
    return FrozenProbe(config, read, Notes())


def test_it_is_due_where_texts_apart_tell_more(encoder: Path) -> None:
    """Than the frozen encoder does of both at once."""
    found = decide_side(probe_of(encoder), locate(str(encoder)), "mean")
    assert found is not None
    assert found.value == WIDTH
    assert "encoder and both texts apart" in found.reason


def test_many_pairs_a_class_need_none(encoder: Path) -> None:
    """Adapters learn to compare, and every export carries all of them."""
    found = decide_side(probe_of(encoder, count=160), locate(str(encoder)), "mean")
    assert found is not None
    assert found.value == 0
    assert found.reason.startswith("72 pairs a class, on average, are enough")


def test_a_label_without_rows_makes_the_others_no_fewer(encoder: Path) -> None:
    """Classes that have rows are counted, as they are where the loss is chosen."""
    probe = probe_of(encoder, count=160)
    third = replace(probe.dataset, task=SingleLabel.from_names(["same", "other", "unheard of"]))
    found = decide_side(FrozenProbe(probe.config, third, Notes()), locate(str(encoder)), "mean")
    assert found is not None
    assert found.reason.startswith("72 pairs a class, on average, are enough")


def test_a_whole_model_that_trains_has_none(encoder: Path) -> None:
    """The run keeps no frozen encoder that could read texts apart."""
    whole = ("adapters.method=full", "budget.cap=none")
    found = decide_side(probe_of(encoder, *whole), locate(str(encoder)), "mean")
    assert found is not None
    assert found.value == 0
    assert "no frozen encoder is kept" in found.reason


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            ["adapters.rank=auto", "budget.cap=330", "head.kind=linear"],
            f"numbers of {WIDTH} that help",
        ),
        (["adapters.rank=1", "budget.cap=1000000"], "encoder and both texts apart"),
    ],
)
def test_its_size_is_the_encoders(encoder: Path, settings: list[str], words: str) -> None:
    """So there is room for it under the cap or not, and none may be asked for."""
    found = decide_side(probe_of(encoder, *settings), locate(str(encoder)), "mean")
    assert found is not None
    assert words in found.reason
    with pytest.raises(SettingsError, match="the encoder says how many numbers it reads"):
        decide_side(probe_of(encoder, "head.side=64"), locate(str(encoder)), "mean")


def beside_cosine(apart_NF: np.ndarray) -> np.ndarray:
    """Features of one deviation, and the cosine as another whose variance is that of a block."""
    cosine_N1 = apart_NF[:, 32:64].sum(axis=1, keepdims=True)
    cosine_N1 *= 32**0.5 / cosine_N1.std()
    return np.concatenate([apart_NF / apart_NF.std(axis=0), cosine_N1], axis=1)


def test_of_ratings_it_is_a_ridge(encoder: Path) -> None:
    """Proven; and each row's answer without it is that of a fit on all others, to which the cosine
    of both texts is one more feature."""
    given, tokenizer = rows(60), TextTokenizer.of(encoder)
    reader = PairReader.of(locate(str(encoder)), partial(tokenizer.tokens, max_length=32))
    ratings_N = np.array([row["rating"] for row in given])
    task = Rating(float(ratings_N.mean()), float(ratings_N.std()))
    plan = SidePlan(WIDTH, 1, "pairs")
    solver = SideSolver(plan, task, LabelledTexts(ratings_N, pairs_of(given)), seed=0, pairs=reader)
    assert solver.is_solved(solver.head.times(0.3, kept=0.7), 0.3).ok
    wanted_N1 = task.wanted(ratings_N)
    theirs_NF = beside_cosine(reader.features(pairs_of(given)).astype(np.float64))
    theirs = RidgeProblem.of(theirs_NF, wanted_N1, scaled=True)
    np.testing.assert_allclose(solver.unseen(), theirs.unseen_NK, atol=1e-4)
    factor = weigh_side(task, np.zeros((60, 1), np.float32), solver.unseen(), ratings_N)
    assert factor.value > 0.5
    assert kept_beside(task, factor.value) == 1 - factor.value


def test_of_classes_all_that_differs_counts_alike(encoder: Path) -> None:
    """The cosine of both texts is one sum of features among others."""
    given, tokenizer = rows(60), TextTokenizer.of(encoder)
    reader = PairReader.of(locate(str(encoder)), partial(tokenizer.tokens, max_length=32))
    targets_N = np.arange(60) % 2
    task, plan = SingleLabel.from_names(["same", "other"]), SidePlan(WIDTH, 2, "pairs")
    solver = SideSolver(plan, task, LabelledTexts(targets_N, pairs_of(given)), seed=0, pairs=reader)
    apart_NF = reader.features(pairs_of(given)).astype(np.float64)
    np.testing.assert_allclose(solver.features, apart_NF / apart_NF.std(axis=0))
    assert solver.is_solved(solver.head, 1.0).ok


@pytest.fixture(scope="module", params=["label", "rating"])
def run(request: pytest.FixtureRequest, encoder: Path, tmp_path_factory: Any) -> Run:
    """One with a side head, of classes or of ratings; not to be changed."""
    task = {"label": "single", "rating": "rating"}[request.param]
    data = [
        {key: row[key] for key in ("premise", "hypothesis", request.param)} for row in rows(160)
    ]
    out = tmp_path_factory.mktemp("pairs") / "run"
    settings = ["data.pair=true", f"data.task={task}", "data.validation_rows=0.25"]
    tightfit.train(
        {name: [row[name] for row in data] for name in data[0]},
        text_column=["premise", "hypothesis"],
        label_column=request.param,
        model=str(encoder),
        out=out,
        max_steps=4,
        settings=[*SHORT, *settings, "head.side=auto"],
        progress=Notes(),
    )
    return Run.load(out)


def test_a_run_adds_it_to_what_the_classifier_gives(run: Run) -> None:
    """Of ratings a weighted mean; it counts in the plan, and is proven."""
    assert run.side is not None
    assert run.plan.side == SidePlan(WIDTH, run.task.outputs, "pairs")
    assert run.proofs["side_solved"]["ok"]
    given, factor = pairs_of(rows(20, seed=1)), run.decisions.side_factor
    assert factor is not None
    bare = replace(run.predictor, side=None).logits(given)
    wanted = run.side.kept * bare + run.side.logits(given)
    np.testing.assert_allclose(run.predictor.logits(given), wanted, atol=1e-5)
    assert run.side.kept == kept_beside(run.task, factor.value)


def test_a_run_goes_to_another_process_with_it(run: Run) -> None:
    """As ``multiprocessing`` hands it over."""
    pairs = pairs_of(rows(4, seed=3))
    again = pickle.loads(pickle.dumps(run))
    assert np.array_equal(again.predictor.logits(pairs), run.predictor.logits(pairs))


def test_it_makes_the_answers_better(run: Run) -> None:
    """Of pairs that nothing was trained on."""
    more = rows(80, seed=2)
    key = "label" if run.task.one_class else "rating"
    targets = [row[key] for row in more]
    targets_N = np.array([run.task.names.index(x) for x in targets] if key == "label" else targets)
    with_it, bare = (
        run.task.row_scores(each.logits(pairs_of(more)), targets_N).mean()
        for each in (run.predictor, replace(run.predictor, side=None))
    )
    assert with_it > bare + 0.1


@pytest.mark.parametrize("form", ["merged", "peft"])
def test_an_export_says_what_it_leaves_out(form: Any, run: Run, tmp_path: Path) -> None:
    """And what that costs, by the rows it was compared on; no file of it is left over."""
    more = pairs_of(rows(30, seed=3))
    found = export(run, form, tmp_path, ComparedRows(more, None, "toys"))
    card = (tmp_path / "README.md").read_text("utf-8")
    score = "accuracy" if run.task.one_class else "R2"
    assert found.without_side is not None
    cost = f"at a cost of {100 * found.without_side.accuracy_loss:.2f} points of {score}"
    assert f"tightfit and ONNX exports do so; this folder answers without it, {cost}" in card
    assert "Those of the run with its side head, which this folder leaves out" in card
    assert "model-index" not in card
    assert ("it gives no intervals" in card) == isinstance(run.task, Rating)
    assert read_json(tmp_path / FACTS_FILE).get("reach") is None
    assert not (tmp_path / SIDE_FILE).exists()


def test_a_graph_answers_as_the_run_does(run: Run, tmp_path: Path) -> None:
    """By the program beside it, classes or ratings in their own unit; nothing is left out."""
    more = pairs_of(rows(30, seed=3))
    found = export(run, "onnx", tmp_path, ComparedRows(more, None, "toys"))
    assert found.without_side is None
    assert "model-index" in (tmp_path / "README.md").read_text("utf-8")
    told, wanted = by_itself(tmp_path, more), run.predict(more)
    if isinstance(run.task, Rating):
        values_N = np.array([float(line[0]) for line in told])
        assert np.abs(values_N - run.task.values(run.predictor.logits(more))).max() < 1e-3
    else:
        assert [line[0] for line in told] == wanted.labels


def test_an_engine_answers_as_the_run_does(run: Run, tmp_path: Path) -> None:
    """A graph of the classifier alone, to which the frozen encoder adds what it reads."""
    more = write_jsonl(tmp_path / "more.jsonl", rows(30, seed=3))
    answers = []
    for engine in ("torch", "onnx"):
        out = tmp_path / f"{engine}.jsonl"
        tightfit.predict(run.path, more, out, engine=engine, progress=Notes())
        answers.append([json.loads(line) for line in out.read_text("utf-8").splitlines()])
    key = "confidence" if run.task.one_class else "value"
    ours, theirs = ([row[key] for row in told] for told in answers)
    np.testing.assert_allclose(theirs, ours, atol=1e-4)
    assert not (run.folder.derived / "onnx" / "predict.py").exists()
