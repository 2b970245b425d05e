"""Training with several processes: what all of them but the first do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate.utils import set_seed
from torch import nn

from tightfit.budget.parameter_plan import Plan
from tightfit.config import Config, Decisions
from tightfit.errors import SettingsError
from tightfit.model.classifier import predict_logits
from tightfit.model.proofs import GradientWatch, never_called
from tightfit.progress import Progress
from tightfit.tasks.dataset import Dataset
from tightfit.training.callbacks import CheckpointSaver, EarlyStop
from tightfit.training.checkpoint import CheckpointStore
from tightfit.training.encoder_choice import recorded_encoder
from tightfit.training.loop import Loop
from tightfit.training.parallel import Peers
from tightfit.training.prepare import prepare
from tightfit.training.setup import OutOfFold, Setup
from tightfit.training.signals import stop_on_signals


@dataclass(frozen=True)
class Orders:
    """What the first process has decided for all of them."""

    checkpoints: Path
    plan: Plan
    decisions: Decisions
    out_of_fold: OutOfFold | None
    """The scores, where no process is to score rows held out."""


def check_parallel(config: Config, peers: Peers) -> None:
    """Refuse what needs one process.

    Raises:
        SettingsError: the training is to fit into a wall clock, and several processes train.
    """
    if peers.size > 1 and config.train.minutes is not None:
        raise SettingsError(
            "--minutes times the steps of one process, and several are to train",
            seen=f"{peers.size} processes",
            next_step="give --max-steps, or start one process",
        )


def work(config: Config, dataset: Dataset, peers: Peers) -> None:
    """Train along with the first process, and write nothing.

    Raises:
        TightfitError: as the first process would.
    """
    orders: Orders = peers.share(None)
    source = recorded_encoder(config, orders.decisions)
    set_seed(config.seed)
    decided, silence = orders.decisions, Progress()
    setup = prepare(config, dataset, source, orders.plan, decided=decided, progress=silence)
    if orders.out_of_fold is not None:
        setup = replace(setup, out_of_fold=orders.out_of_fold, chooses=False)
    # Other rows meet other dropouts.
    torch.manual_seed(config.seed + peers.rank)
    # All end after the same step: whoever waits for another that has ended waits for ever.
    listeners = [EarlyStop(silence), CheckpointSaver(CheckpointStore(orders.checkpoints))]
    with stop_on_signals() as stop:
        watch = watch_over(setup)
        Loop(setup, watch, listeners, scratch=orders.checkpoints, stop=stop, peers=peers).fit()


def watch_over(setup: Setup) -> GradientWatch:
    """A watch over what trains, less what cannot have a gradient."""
    classifier = setup.classifier
    rows = range(min(2, len(setup.train.tokens)))
    sample = setup.train.tokens.select(rows)
    unused = never_called(classifier.module, lambda: predict_logits(classifier, sample, batch=2))
    owners = {
        # A dictionary of parameters is never called; the layer that holds it is.
        id(p): name.rpartition(".")[0] if isinstance(m, nn.ParameterDict) else name
        for name, m in classifier.module.named_modules()
        for p in m.parameters(recurse=False)
    }
    tensors = classifier.trainable()
    # A key's bias adds the same number to all scores of a query, and softmax does not see it.
    layers = setup.source.shapes(classifier.task.outputs).layers
    key_biases = {f"{layer.name}.bias" for layer in layers if layer.roles == ("key",)}
    # No step touches a head that is solved; that it is has a proof of its own.
    output = f"{classifier.plan.head_layers[-1].name}."
    solved = {n for n in tensors if setup.solves and n.startswith(output)}
    return GradientWatch(
        tensors,
        late={n for n in tensors for late in classifier.plan.record.late if n.endswith(f".{late}")},
        exempt={n for n, p in tensors.items() if owners[id(p)] in unused or n in key_biases}
        | solved,
        expect_dead=setup.config.train.expect_dead,
    )
