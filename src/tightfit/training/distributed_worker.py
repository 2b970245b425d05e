"""Training with several processes: what all of them but the first do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed
from torch import nn

from tightfit import storage
from tightfit.budget.parameter_plan import Plan
from tightfit.budget.vectors import VERA
from tightfit.config import Config, from_toml
from tightfit.errors import SettingsError
from tightfit.model.adapters import adapter_pairs
from tightfit.model.classifier import predict_logits
from tightfit.model.locate import Source, locate
from tightfit.model.proofs import GradientWatch, never_called
from tightfit.progress import Progress
from tightfit.training.checkpoint import CheckpointStore
from tightfit.training.loop import Loop
from tightfit.training.parallel import Peers
from tightfit.training.prepare import Dataset, make_setup
from tightfit.training.setup import Setup
from tightfit.training.signals import stop_on_signals


@dataclass(frozen=True)
class Told:
    """What the first process has decided for all of them."""

    run: Path
    plan: dict[str, Any]
    config: str
    """As TOML, with the choices that were made."""
    resume: bool


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


def follow(config: Config, dataset: Dataset, peers: Peers) -> Path:
    """Train along with the first process, and write nothing; returns its run folder.

    Raises:
        TightfitError: as the first process would.
    """
    told = peers.share(None)
    assert isinstance(told, Told)
    config = config.model_copy(update={"choices": from_toml(told.config).choices})
    source = locate(config.model.name)
    set_seed(config.seed)
    setup, _ = make_setup(config, dataset, source, Plan.from_json(told.plan), progress=Progress())
    # Other rows meet other dropouts.
    torch.manual_seed(config.seed + peers.rank)
    store = CheckpointStore(storage.RunFolder(told.run).checkpoints)
    with stop_on_signals() as stop:
        Loop(setup, store, watch_over(setup, source), stop=stop, peers=peers).fit(
            resume=told.resume
        )
    return told.run


def watch_over(setup: Setup, source: Source) -> GradientWatch:
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
    layers = source.shapes(classifier.task.outputs).layers
    key_biases = {f"{layer.name}.bias" for layer in layers if layer.roles == ("key",)}
    return GradientWatch(
        tensors,
        # VeRA's d stands behind b, which starts at zero, as A does behind B.
        late={f"{pair.name}.lora_A.weight" for pair in adapter_pairs(classifier.module)}
        | {name for name in tensors if name.endswith(f".{VERA[1]}")},
        exempt={n for n, p in tensors.items() if owners[id(p)] in unused or n in key_biases},
        expect_dead=setup.config.train.expect_dead,
    )
