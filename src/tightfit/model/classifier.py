"""A frozen encoder, its adapters and its head, under one plan.

Shapes: B rows, L tokens, K labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedTokenizerBase

from tightfit.budget.gates import check_count
from tightfit.budget.parameter_plan import Plan
from tightfit.config import Config
from tightfit.data.batch_order import length_sorted
from tightfit.data.batches import Batch, collate, most_padded_tokens
from tightfit.data.tokens import Tokens
from tightfit.encoder.threads import side_by_side
from tightfit.errors import BudgetError
from tightfit.model.adapters import adapter_dropouts, attach, base_model, trainable_tensors
from tightfit.model.encoders import load_encoder, load_tokenizer, recompute_layers
from tightfit.model.locate import Source
from tightfit.tasks import Task


@dataclass(frozen=True)
class Classifier:
    """A model that can train and predict; its trainable part is exactly the plan's."""

    module: nn.Module
    plan: Plan
    tokenizer: PreTrainedTokenizerBase
    task: Task

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

    def trainable(self) -> dict[str, nn.Parameter]:
        """The tensors that train, by the name under which they are saved."""
        return trainable_tensors(self.module, self.plan)

    def state(self) -> dict[str, torch.Tensor]:
        """A copy, on the CPU, of everything that trains."""
        return {name: p.detach().cpu().clone() for name, p in self.trainable().items()}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Put back what :meth:`state` gave; names must be the same."""
        trainable = self.trainable()
        assert trainable.keys() == state.keys(), "a state of another plan"
        with torch.no_grad():
            for name, parameter in trainable.items():
                parameter.copy_(state[name])

    def logits(self, batch: Batch) -> torch.Tensor:
        """One forward pass: ``logits_BK`` in fp32, whatever autocast is on."""
        return self.module(**batch.inputs).logits.float()

    def train_mode(self, *, frozen_dropout: bool) -> None:
        """Switch dropouts on: everywhere, or only in what trains (adapters and head)."""
        if frozen_dropout or self.plan.record.whole:
            self.module.train()
            return
        self.module.eval()
        model = base_model(self.module)
        for child in model.children():
            if child is not model.base_model:
                child.train()
        for dropout in adapter_dropouts(self.module):
            dropout.train()


def build(source: Source, plan: Plan, config: Config, task: Task) -> Classifier:
    """Load the encoder, attach what the plan says, and count: the second gate.

    The caller seeds torch first; new layers and adapters draw from its generator.

    Raises:
        BudgetError: what requires gradients is not exactly what the plan says.
        ModelError: the encoder cannot be loaded or is not fit.
    """
    tokenizer = load_tokenizer(source)
    model = load_encoder(source, plan, task)
    classifier = Classifier(attach(model, plan, config.adapters), plan, tokenizer, task)
    count_built(classifier)
    if config.train.checkpointing != "off":
        recompute_layers(model, reentrant=config.train.checkpointing == "reentrant")
    return classifier


def count_built(classifier: Classifier) -> int:
    """The second gate: what requires gradients, counted, is what was declared and planned.

    Raises:
        BudgetError: it is not.
    """
    required = {id(p) for p in classifier.module.parameters() if p.requires_grad}
    declared = classifier.trainable()
    if required != {id(p) for p in declared.values()}:
        raise BudgetError(
            "the built model trains other parameters than its adapters and head declare",
            seen=f"{len(required)} tensors require gradients, {len(declared)} are declared",
            next_step="report this model family as unsupported",
        )
    counted = {name: p.numel() for name, p in declared.items()}
    return check_count(classifier.plan, counted, "the built model")


def predict_logits(
    classifier: Classifier,
    tokens: Tokens,
    *,
    batch: int,
    forward: Callable[[Batch], torch.Tensor] | None = None,
    padded_tokens: int | None = None,
    at_once: bool = False,
) -> NDArray[np.float32]:
    """Logits of all rows, ``logits_NK``, in the order of the rows.

    Rows are batched with others of their length, which changes the padding and nothing else.

    Args:
        classifier: put into evaluation mode.
        tokens: the rows.
        batch: most rows of one forward pass.
        forward: another way to ``logits_BK`` than the classifier's own, in fp32.
        padded_tokens: most padded tokens of one; None takes what suits the classifier's own way.
        at_once: whether ``forward`` is called for several batches side by side.
    """
    classifier.module.eval()
    forward = forward or classifier.logits
    texts, tokens = tokens, tokens.flat
    logits_NK = np.empty((len(tokens), classifier.task.outputs), dtype=np.float32)
    order = length_sorted(tokens, batch, padded_tokens or most_padded_tokens(classifier.device))

    @torch.inference_mode()
    def compute(rows: list[int]) -> NDArray[np.float32]:
        logits_BK = forward(collate(tokens, rows).to(classifier.device))
        return logits_BK.cpu().numpy()

    parts = side_by_side(compute, order) if at_once else map(compute, order)
    for rows, part_BK in zip(order, parts, strict=True):
        logits_NK[rows] = part_BK
    return texts.by_text(logits_NK)
