"""Training with several processes: what all of them but the first do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate.utils import set_seed

from tightfit.budget.parameter_plan import Plan
from tightfit.config import Config, Decisions
from tightfit.progress import Progress
from tightfit.tasks.dataset import Dataset
from tightfit.training.answers import OutOfFold
from tightfit.training.callbacks import CheckpointSaver, EarlyStop
from tightfit.training.checkpoint import CheckpointStore
from tightfit.training.encoder_choice import recorded_encoder
from tightfit.training.gradients import watch_over
from tightfit.training.loop import Loop
from tightfit.training.parallel import Peers
from tightfit.training.prepare import prepare
from tightfit.training.signals import stop_on_signals


@dataclass(frozen=True)
class Orders:
    """What the first process has decided for all of them."""

    checkpoints: Path
    plan: Plan
    decisions: Decisions
    out_of_fold: OutOfFold | None
    """The scores, where no process is to score rows held out."""


def train_along(config: Config, dataset: Dataset, peers: Peers) -> None:
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
