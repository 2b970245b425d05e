"""Toy classifiers, jobs and loops, made by the same functions as the real ones."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed

from tests.toys import toy_rows
from tightfit.batch_predict.input_rows import Records
from tightfit.batch_predict.shard import WHOLE
from tightfit.batch_predict.stream import Form, Written, predict_stream
from tightfit.budget.parameter_plan import Plan
from tightfit.config import Config, load_config
from tightfit.data.batches import collate
from tightfit.data.table import Table
from tightfit.engines.engine import through_transformers
from tightfit.engines.predictor import Predictor
from tightfit.model.adapters import adapter_pairs
from tightfit.model.classifier import Classifier, build
from tightfit.model.locate import locate
from tightfit.model.proofs import GradientWatch
from tightfit.progress import Bar, Progress
from tightfit.tasks import SingleLabel
from tightfit.tasks.dataset import read_dataset
from tightfit.training.callbacks import (
    Callback,
    CheckpointSaver,
    DivergenceWarning,
    EarlyStop,
    ProgressBar,
    TrainingState,
)
from tightfit.training.checkpoint import CheckpointStore
from tightfit.training.loop import Loop
from tightfit.training.prepare import plan_for, prepare
from tightfit.training.setup import Counters, Fitted, HistoryRow, Setup
from tightfit.training.signals import StopRequest
from tightfit.training.time_budget import TimeBudget

LABELS = ("money", "sport")
"""Of the toy rows, in the order of their ids."""

PLAIN = [
    *("adapters.rank=4", "adapters.alpha=8", "adapters.rslora=false"),
    *("adapters.targets=query,value", "head.kind=stock", "head.start=random", "optim.epochs=3"),
    "head.pooling=first",
    "head.side=off",
    "head.end=trained",
]
"""What the published recipe trains; a test that wants more says so."""

SHORT = [
    *("data.max_length=32", "train.precision=fp32", *PLAIN),
    *("optim.objective=cross-entropy", "train.folds=0"),
]
"""Toy encoders have few positions, tests compare digits, and toy rows are few."""

FEW = [
    *(
        "head.kind=linear",
        "head.pooling=mean",
        "head.start=probe",
        "optim.objective=auto",
        "train.folds=auto",
    ),
    *("contrastive.steps=6", "contrastive.lr=1e-3"),
]
"""Settings over :data:`SHORT` under which few rows are what they are to users."""

TASK = SingleLabel.from_names(LABELS)

TEXTS = ["goal match in the team", "stock", "bank profit with a new price on market", "striker of"]


class Notes(Progress):
    """Remembers what was said, and makes silent bars."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self.said: list[str] = []
        self.warned: list[str] = []
        self.tracked: list[str] = []

    def say(self, text: str) -> None:
        """Remember a sentence."""
        self.said.append(text)

    def warn(self, text: str) -> None:
        """Remember a warning."""
        self.warned.append(text)

    @contextmanager
    def track(self, what: str, total: int | None, done: int = 0) -> Iterator[Bar]:
        """Remember what takes time."""
        self.tracked.append(what)
        yield Bar()


class CountingBar(Bar):
    """Adds up what it is told."""

    def __init__(self) -> None:
        """Nothing is done yet."""
        self.count = 0
        self.notes: list[str] = []

    def advance(self, count: int = 1, note: str = "", total: int | None = None) -> None:
        """Add to the count."""
        self.count += count
        self.notes.append(note)


@dataclass
class Speaker(Progress):
    """Gives out one bar."""

    bar: Bar

    @contextmanager
    def track(self, what: str, total: int | None, done: int = 0) -> Iterator[Bar]:
        """The bar, whatever is tracked."""
        yield self.bar


def toy_settings(encoder: Path, *settings: str, recipe: str = "tight") -> Config:
    """A recipe's settings for a toy encoder, without dropouts of any kind unless given."""
    return load_config(recipe, [*SHORT, f"model.name={encoder}", *settings])


def toy_plan(encoder: Path, *settings: str, recipe: str = "tight", labels: int = 2) -> Plan:
    """What these settings would train."""
    config = toy_settings(encoder, *settings, recipe=recipe)
    return plan_for(config, locate(str(encoder)), labels)


def toy_classifier(
    encoder: Path, *settings: str, recipe: str = "tight", labels: Sequence[str] = LABELS
) -> Classifier:
    """A classifier that was built and never trained."""
    config = toy_settings(encoder, *settings, recipe=recipe)
    source = locate(str(encoder))
    torch.manual_seed(0)
    return build(
        source, plan_for(config, source, len(labels)), config, SingleLabel.from_names(labels)
    )


def toy_predictor(classifier: Classifier, max_length: int = 16, **more: Any) -> Predictor:
    """Answers of a classifier that lies in no folder."""
    return Predictor(through_transformers(classifier, None), classifier.task, max_length, **more)


FORM = ("label_format", "probabilities", "submission", "escape_formulas", "kept")


def predict_chunks(
    predictor: Any, chunks: Iterable[list[str] | Records], out: Path, **options: Any
) -> Written:
    """``predict_stream``, of bare texts too, the fields of its form among the options."""
    form = Form(**{name: options.pop(name) for name in FORM if name in options})
    records = (each if isinstance(each, Records) else Records(each) for each in chunks)
    usual: dict[str, Any] = {"total": None, "shard": WHOLE, "job": {}, "progress": Progress()}
    return predict_stream(predictor, records, out, form, **{**usual, **options})


def toy_table(count: int = 64) -> Table:
    """Toy rows in memory."""
    rows = toy_rows(count)
    return Table([row["text"] for row in rows], [row["label"] for row in rows], source="toys")


def toy_job(
    encoder: Path,
    *settings: str,
    recipe: str = "tight",
    rows: int = 64,
    progress: Progress | None = None,
) -> Setup:
    """A setup over toy rows, a quarter of them held out."""
    values = ["data.validation_rows=0.25", *settings]
    config = toy_settings(encoder, *values, recipe=recipe)
    dataset = read_dataset(config, toy_table(rows), None, None)
    source = locate(str(encoder))
    plan = plan_for(config, source, dataset.task.outputs)
    set_seed(config.seed)
    return prepare(config, dataset, source, plan, progress=progress or Progress())


def assert_lean_agrees(setup: Setup) -> None:
    """Logits and all gradients by the lean forward pass are those of the model's own.

    What trains is drawn at random, so that none of it is without effect.
    """
    assert setup.lean is not None
    trainable = setup.classifier.trainable()
    torch.manual_seed(1)
    setup.classifier.load_state({n: torch.randn_like(p) / 4 for n, p in trainable.items()})
    batch = collate(setup.train.tokens, [0, 1, 2])
    setup.classifier.module.eval()
    found = []
    for logits_BK in (setup.lean.logits(batch), setup.classifier.logits(batch)):
        gradients = torch.autograd.grad(logits_BK.square().sum(), list(trainable.values()))
        found.append((logits_BK.detach(), gradients))
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


def watch_of(setup: Setup, **more: Any) -> GradientWatch:
    """A watch over all that trains."""
    late = {f"{pair.name}.lora_A.weight" for pair in adapter_pairs(setup.classifier.module)}
    return GradientWatch(setup.classifier.trainable(), late=late, **more)


@contextmanager
def stopped_at_once() -> Iterator[StopRequest]:
    """As if Ctrl-C had come during the first step."""
    stop = StopRequest()
    stop.signal = signal.SIGINT
    yield stop


@dataclass
class OnRow(Callback):
    """Calls a function with each history row."""

    call: Callable[[HistoryRow], None]

    def on_evaluation(self, state: TrainingState) -> None:
        """Pass it on."""
        self.call(state.history[-1])


@dataclass
class ToyLoop:
    """A loop as ``train`` makes it, with checkpoints in a folder; its parts may be replaced."""

    loop: Loop
    store: CheckpointStore
    stop: StopRequest
    progress: Progress
    on_row: Callable[[HistoryRow], None]

    def fit(self, *, resume: bool = False) -> Fitted:
        """Train, from the newest checkpoint where that is asked for."""
        self.loop.callbacks = [
            OnRow(self.on_row),
            DivergenceWarning(self.progress),
            TimeBudget(self.progress),
            EarlyStop(self.progress),
            ProgressBar(self.progress),
            CheckpointSaver(self.store),
        ]
        return self.loop.fit(self.store.load() if resume else None)

    @property
    def setup(self) -> Setup:
        """What is trained."""
        return self.loop.state.setup

    @property
    def history(self) -> list[HistoryRow]:
        """The rows so far."""
        return self.loop.state.history

    @property
    def counters(self) -> Counters:
        """What was done so far."""
        return self.loop.state.counters


def toy_loop(
    setup: Setup,
    folder: Path,
    *,
    progress: Progress | None = None,
    watch: GradientWatch | None = None,
    on_row: Callable[[HistoryRow], None] = lambda row: None,
) -> ToyLoop:
    """The loop that runs a setup, with checkpoints in ``folder``."""
    progress, stop = progress or Progress(), StopRequest()
    watch = watch or watch_of(setup)
    loop = Loop(setup, watch, scratch=folder, progress=progress, stop=stop)
    return ToyLoop(loop, CheckpointStore(folder), stop, progress, on_row)
