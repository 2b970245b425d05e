"""Engines: those that agree, the fastest of them, and a choice that is kept and used again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.exports import LENGTH, toy_run, toy_texts, wide_encoder
from tests.toy_setups import TASK, Notes
from tests.toys import write_jsonl
from tightfit import Run, extras, predict
from tightfit.data.batch_order import length_sorted
from tightfit.data.batches import Batch
from tightfit.data.tokens import Tokens
from tightfit.encoder import FrozenClassifier
from tightfit.encoder.on_torch import all_logits
from tightfit.engines import ray_engine
from tightfit.engines.engine import EngineModel, TorchEngine, torch_engine
from tightfit.engines.parity import probes, spread
from tightfit.engines.selection import Choice, choose
from tightfit.errors import ArtefactError, DataError, MissingExtraError, ProofError
from tightfit.exporting import engine_choice
from tightfit.families import COMPUTED

ROWS = 200
VERA = ["adapters.method=vera", "adapters.targets=query"]


def rows_of(lengths: list[int]) -> Tokens:
    """Rows of these lengths, of which row i holds nothing but i."""
    ids = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
    return Tokens(ids, np.cumsum([0, *lengths]), 0, LENGTH, 0)


TOKENS = rows_of([4] * ROWS)


# --- PyTorch's own -----------------------------------------------------------------------------


@pytest.mark.parametrize("family", [*COMPUTED, "albert", "deberta-v2"])
@pytest.mark.parametrize(
    "settings",
    [[], ["adapters.method=none"], ["adapters.method=ia3"], ["adapters.dora=true"], VERA],
)
def test_the_fast_way_agrees_with_the_models_own(
    family: str, settings: list[str], tmp_path: Path
) -> None:
    """Adapters of each kind, merged or not: padded, unpadded, one token, the longest."""
    encoder = wide_encoder(tmp_path / "toy", family)
    run = Run.load(toy_run(encoder, tmp_path / "run", *settings))
    fast, own = torch_engine(run.model), TorchEngine(run.classifier.module)
    assert isinstance(run.model, FrozenClassifier) == (family in COMPUTED)
    for tokens in probes(vocabulary=25, pad_id=0, max_length=LENGTH).values():
        assert np.abs(all_logits(fast, tokens) - all_logits(own, tokens)).max() < 1e-4


def test_bf16_gives_the_same_labels_nearly_always(bert_run: Path) -> None:
    """Its lengths are multiples of eight, as far as the longest text allows."""
    predictor = Run.load(bert_run).predictor
    engine = torch_engine(predictor.model, torch.bfloat16)
    texts = toy_texts(200)
    model = EngineModel(predictor.model.tokens, None, engine)
    found = replace(predictor, model=model).predict(texts).ids
    assert np.mean(np.array(found) == predictor.predict(texts).ids) > 0.9
    assert engine.multiple == 8


@pytest.mark.parametrize("padded_tokens", [1, 10, 64, 10_000])
def test_batches_hold_as_many_rows_as_fit(padded_tokens: int) -> None:
    """Every row once, longest first, and no batch could have taken the next row as well."""
    tokens = rows_of([3, 9, 1, 9, 5, 5, 2, 40])
    batches = length_sorted(tokens, padded_tokens=padded_tokens)
    assert sorted(row for rows in batches for row in rows) == list(range(8))
    lengths = [tokens.lengths[rows].tolist() for rows in batches]
    for own, following in pairwise(lengths):
        assert own[0] * (len(own) + 1) > padded_tokens
        assert own[-1] >= following[0]
    assert all(own[0] * len(own) <= padded_tokens or len(own) == 1 for own in lengths)


# --- choosing ----------------------------------------------------------------------------------


@dataclass
class Toy:
    """Names each row's label by its token, with some labels flipped and all logits shifted."""

    seconds: float
    flipped: int = 0
    shift: float = 0.0
    multiple: int = 1
    padded_tokens: int = 2048
    now: float = 0.0

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """Three logits a row; a clock that is asked afterwards has moved on."""
        Toy.now += self.seconds
        rows = batch.ids_BL[:, 0].numpy()
        labels = (rows + (rows < self.flipped)) % 3
        return np.eye(3, dtype=np.float32)[labels] * 9 + np.float32(self.shift)


def measured(tokens: Tokens = TOKENS, asked: Any = "auto", **engines: Any) -> Choice:
    """The choice among toys; ``onnx_int8`` stands for ``onnx-int8``."""
    given: dict[Any, Any] = {
        name.replace("_", "-"): (engine if callable(engine) else lambda engine=engine: engine)
        for name, engine in {"torch": Toy(0.5), **engines}.items()
    }
    choice, engine = choose(given, tokens, TASK, asked=asked, clock=lambda: Toy.now)
    assert engine is given[choice.name]()
    return choice


@pytest.mark.parametrize(
    ("seconds", "best"), [((0.5, 1.0, 2.0), "torch"), ((2.0, 1.0, 0.5), "onnx-int8")]
)
def test_the_fastest_is_taken(seconds: tuple[float, ...], best: str) -> None:
    """By the injected clock; the others are named as slower, with their own figures."""
    toys = [Toy(each) for each in seconds]
    found = measured(torch=toys[0], onnx=toys[1], onnx_int8=toys[2])
    assert found.name == best
    assert {each.name: each.verdict for each in found.measured}[best] == "the fastest that agrees"
    speeds = [each.rows_per_second for each in found.measured]
    assert speeds == [pytest.approx(ROWS / each) for each in seconds]


def test_one_whose_logits_are_off_is_refused() -> None:
    """In fp32 they must be the same, however fast."""
    found = measured(onnx=Toy(0.1, shift=2e-4))
    assert found.name == "torch"
    assert found.of("onnx").verdict == "logits are off by 0.0002"
    assert found.of("onnx").rows_per_second is None
    assert measured(onnx=Toy(0.1, shift=5e-5)).name == "onnx"


def test_one_whose_labels_differ_is_refused() -> None:
    """Half precision and int8 may have other logits, and hardly any other label."""
    assert measured(onnx_int8=Toy(0.1, flipped=5)).of("onnx-int8").verdict == (
        "less than 98% of the labels agree"
    )
    costly = measured(onnx_int8=Toy(0.1, flipped=4))
    assert costly.of("onnx-int8").verdict == "accuracy is to be expected 2.00 points lower"
    assert costly.of("onnx-int8").agreement == 0.98
    assert measured(onnx_int8=Toy(0.1, shift=0.5)).name == "onnx-int8"


def test_whole_answers_are_compared() -> None:
    """Labels that differ from the encoder's are the same again with what a side head adds."""
    sure_NK = np.eye(3, dtype=np.float32)[np.arange(ROWS) % 3] * 20
    found = measured(replace(TOKENS, added_NK=sure_NK), onnx_int8=Toy(0.1, flipped=5))
    assert found.of("onnx-int8").agreement == 1.0


def test_a_few_rows_show_nothing_of_labels() -> None:
    """Of twenty rows one label is five points; logits in fp32 are another matter."""
    few = rows_of([4] * 20)
    found = measured(few, onnx_int8=Toy(0.1), onnx=Toy(0.2))
    assert found.name == "onnx"
    assert "20 rows are too few" in found.of("onnx-int8").verdict
    assert measured(few, asked="onnx-int8", onnx_int8=Toy(0.1)).name == "onnx-int8"


def missing() -> Toy:
    """As if a package were not there."""
    raise MissingExtraError("an ONNX graph needs x", seen="x is not installed", next_step="pip x")


def test_what_is_not_installed_is_told() -> None:
    """Not an error, unless it was asked for."""
    assert measured(onnx=missing).of("onnx").verdict == "x is not installed: pip x"
    with pytest.raises(MissingExtraError, match="x is not installed"):
        measured(asked="onnx", onnx=missing)


def test_the_one_asked_for_is_taken_if_it_agrees() -> None:
    """Slow as it may be."""
    assert measured(asked="onnx", onnx=Toy(9.0)).name == "onnx"
    with pytest.raises(ProofError, match="predictions of engine onnx differ") as caught:
        measured(asked="onnx", onnx=Toy(0.1, shift=1.0))
    assert "logits are off by 1" in str(caught.value)


def test_the_table_says_it_all() -> None:
    """Speed, agreement and reason of each."""
    lines = measured(onnx=Toy(0.25), onnx_int8=missing).table()
    assert lines[0].split() == "engine rows/s same labels on 200 of your rows".split()
    assert lines[1].split() == "torch 400.0 100.0% slower".split()
    assert lines[2].split() == "onnx 800.0 100.0% the fastest that agrees".split()
    assert lines[3].split() == "onnx-int8 x is not installed: pip x".split()


def test_a_sample_is_spread_over_the_rows() -> None:
    """All of few, or every so many of many, in their order."""
    assert spread(1000, 4) == [0, 250, 500, 750]
    assert spread(3, 4) == [0, 1, 2]


# --- with a run --------------------------------------------------------------------------------


@pytest.fixture
def bert_run(tmp_path: Path) -> Path:
    """A sealed run."""
    return toy_run(wide_encoder(tmp_path / "toy"), tmp_path / "run")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Texts to predict."""
    return write_jsonl(tmp_path / "rows.jsonl", [{"text": t or "the"} for t in toy_texts(150)])


Predict = Callable[..., tuple[list[dict[str, Any]], Notes, str]]


@pytest.fixture
def predicted(bert_run: Path, rows: Path, tmp_path: Path) -> Predict:
    """Predicts with an engine: the rows, what was said, what computed."""

    def run(engine: Any, **more: Any) -> tuple[list[dict[str, Any]], Notes, str]:
        out, progress = tmp_path / f"{engine}.jsonl", Notes()
        more = {"probabilities": True, "overwrite": True, "progress": progress, **more}
        found = predict(bert_run, rows, out, engine=engine, **more)
        return [json.loads(line) for line in out.read_text().splitlines()], progress, found.engine

    return run


def test_onnx_predicts_what_torch_predicts(predicted: Predict) -> None:
    """Labels, and probabilities to 1e-5; the graph is made once."""
    own, other = predicted("torch")[0], predicted("onnx")[0]
    assert [row["label"] for row in own] == [row["label"] for row in other]
    for name in list(own[0])[2:]:
        ours, theirs = ([row[name] for row in rows] for rows in (own, other))
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert predicted("onnx")[1].said == predicted("onnx")[1].said
    assert "as measured before (derived/engine-onnx.json)" in predicted("onnx")[1].said[0]


@pytest.mark.skipif(not extras.available("openvino"), reason="openvino is an extra")
def test_openvino_predicts_the_same_labels(predicted: Predict) -> None:
    """In whatever number format: nearly always, and as surely."""
    own, other = (predicted(engine)[0] for engine in ("torch", "openvino"))
    same = [ours["label"] == theirs["label"] for ours, theirs in zip(own, other, strict=True)]
    assert np.mean(same) > 0.95


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.skipif(not extras.available("ray"), reason="ray is an extra")
def test_a_cluster_writes_the_same_file(predicted: Predict) -> None:
    """The batches are those of one process, and so is every label and probability."""
    own, other = predicted("torch")[0], predicted("ray")[0]
    assert [row["label"] for row in own] == [row["label"] for row in other]
    for name in list(own[0])[2:]:
        ours, theirs = ([row[name] for row in rows] for rows in (own, other))
        np.testing.assert_allclose(ours, theirs, atol=2e-6)  # rounded to six digits


class Cluster:
    """Stands for Ray, in this process: what is asked for is worked out when it is fetched."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.waiting = self.most = 0

    def handle(self, name: str, worker: ray_engine.Worker) -> Any:
        """What Ray gives for an actor."""

        def begin(*given: Any) -> Callable[[], Any]:
            self.asked.append(name)
            self.waiting += 1
            self.most = max(self.most, self.waiting)
            return lambda: worker.logits(*given)

        return SimpleNamespace(logits=SimpleNamespace(remote=begin))

    def get(self, work: Callable[[], Any]) -> Any:
        """The result."""
        self.waiting -= 1
        return work()


def test_batches_are_spread_and_come_back_in_order(
    bert_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers take them in turn, and never more than twice their number wait."""
    model, ray = Run.load(bert_run).model, Cluster()
    monkeypatch.setattr(ray_engine, "require", lambda *_: ray)
    worker = ray_engine.Worker(model)
    engine = ray_engine.RayEngine(
        (ray.handle("a", worker), ray.handle("b", worker)), padded_tokens=60
    )
    tokens = rows_of([9, 3, 20, 48, 5, 7, 30, 2, 11] * 2)
    assert isinstance(model, FrozenClassifier)
    own = model.on_torch()
    own.padded_tokens = 60
    own_NK = all_logits(own, tokens)
    assert np.array_equal(all_logits(engine, tokens), own_NK)
    assert ray.asked[:4] == ["a", "b", "a", "b"]
    assert (ray.waiting, ray.most) == (0, 4)


@pytest.fixture
def slow_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every engine is faster than the one before."""
    monkeypatch.setattr(
        "tightfit.engines.selection._seconds",
        lambda engines, *_: {name: 1 / place for place, name in enumerate(engines, 1)},
    )


@pytest.mark.usefixtures("slow_torch")
def test_auto_keeps_its_choice(
    predicted: Predict, bert_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sealed part stays as it was; the next call measures nothing; another machine does."""
    monkeypatch.setattr("tightfit.engines.selection.AGREEMENT", 1.1)
    _, progress, used = predicted("auto")
    assert used == "onnx"
    assert len(progress.said) == 7
    Run.load(bert_run)
    _, again, used = predicted("auto")
    assert (used, len(again.said)) == ("onnx", 1)
    monkeypatch.setattr(engine_choice, "LIBRARIES", ("torch",))
    assert len(predicted("auto")[1].said) == 7


def test_a_verdict_of_few_rows_does_not_bind_many(predicted: Predict, rows: Path) -> None:
    """Measured anew; fewer rows take what was found on more."""
    lines = rows.read_text().splitlines(keepends=True)
    rows.write_text("".join(lines[:20]))
    predicted("onnx")
    rows.write_text("".join(lines))
    assert "measuring the engine onnx on 150 of the rows" in predicted("onnx")[1].said[0]
    rows.write_text("".join(lines[:20]))
    assert "as measured before" in predicted("onnx")[1].said[0]


@pytest.mark.usefixtures("slow_torch")
def test_a_damaged_graph_is_refused(predicted: Predict, bert_run: Path) -> None:
    """It would answer something."""
    predicted("onnx")
    graph = bert_run / "derived" / "onnx" / "model.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    with pytest.raises(ArtefactError, match=r"model\.onnx is damaged"):
        predicted("onnx")


@pytest.mark.parametrize("engine", ["onnx", "onnx-int8", "openvino", "ray"])
def test_a_missing_package_is_named(
    engine: str, predicted: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs it, and code 3."""
    monkeypatch.setattr(extras, "available", lambda _: False)
    with pytest.raises(MissingExtraError, match=r"pip install 'tightfit\[\w+\]'") as caught:
        predicted(engine)
    assert caught.value.exit_code == 3


def test_chunks_of_another_engine_are_not_mixed_in(
    predicted: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was left by a prediction with PyTorch is no part of one with ONNX Runtime."""
    jobs = []

    def stop(*_: Any, job: Any, **__: Any) -> None:
        jobs.append(job)
        raise KeyboardInterrupt

    monkeypatch.setattr("tightfit.verbs.predict.predict_stream", stop)
    for engine in ("torch", "onnx"):
        with pytest.raises(KeyboardInterrupt):
            predicted(engine)
    assert jobs[0] != jobs[1]


def test_no_rows_need_no_engine(predicted: Predict, rows: Path) -> None:
    """There is nothing to measure."""
    rows.write_text("")
    with pytest.raises(DataError, match="is empty"):
        predicted("auto")
