"""What one training run is given, counts, and leaves.

Shapes: B rows of a batch, K labels.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr

from tightfit.budget.parameter_plan import Plan
from tightfit.config import Config, Decision, Decisions, Objective
from tightfit.data.batch_order import divided, length_sorted
from tightfit.data.batches import Batch, most_padded_tokens
from tightfit.data.facts import LengthHistogram, TokenFacts
from tightfit.data.splits import limit_rows
from tightfit.data.tokens import Tokens
from tightfit.model.classifier import Classifier, predict_logits
from tightfit.model.dropout import DropoutDraws
from tightfit.model.lean import LeanEncoder
from tightfit.model.locate import Source
from tightfit.model.prefix import PrefixStates
from tightfit.tasks.dataset import Dataset
from tightfit.tasks.labelled_rows import LabelledRows
from tightfit.training.answers import SIGNIFICANT, OutOfFold
from tightfit.training.objective import ContrastiveSteps
from tightfit.training.optim import Schedule
from tightfit.training.precision import Precision
from tightfit.training.side_solver import SideSolver

FEW_TO_TELL = 200
"""Validation rows below which a start is often ahead of a better classifier by chance."""

FAR_WORSE = 3.0
"""A validation loss of so many times that of a constant answer is no noise and no overconfidence:
classifiers that know their rows by heart, and are wrong on a quarter of others, stay below it."""

HistoryRow = dict[str, Any]
"""step, epoch, lr, train_loss, eval_loss, rows, tokens, seconds; and under ``train_`` and ``eval_``
with its metric behind it what the task goes by: accuracy, where a row has one label. Where
``train.metric`` is macro_f1, eval_macro_f1 too."""


@dataclass(frozen=True)
class Rows(LabelledRows):
    """Texts, or windows of some, as tokens, with the target of each."""

    tokens: Tokens
    states: PrefixStates | None = None
    """What the layers below the lowest adapter make of them, where that is kept."""
    named_N: NDArray[np.bool_] | None = None
    """Which of what trains are sentences with the name of a label, and no texts of anybody's."""

    def sample(self, most: int | None, seed: int) -> Self:
        """So many of them, in their order: the same ones each time. None takes all."""
        if most is None or most >= len(self.targets):
            return self
        some_N = np.random.default_rng(seed).permutation(len(self.targets))[:most]
        return self.select(sorted(some_N.tolist()))

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> Self:
        """The given ones, in the given order."""
        rows_M = np.asarray(rows, dtype=np.int64)
        return replace(
            super().select(rows_M),
            tokens=self.tokens.select(rows_M.tolist()),
            states=None,
            named_N=None if self.named_N is None else self.named_N[rows_M],
        )


@dataclass(frozen=True)
class Setup:
    """Everything that training needs to know, decided beforehand."""

    config: Config
    """What was asked for."""
    decisions: Decisions
    """What was decided."""
    dataset: Dataset
    source: Source
    classifier: Classifier
    train: Rows
    validation: Rows
    schedule: Schedule
    precision: Precision
    eval_subset: Rows
    """The validation rows that evaluations while training score: all, or always the same sample."""
    lean: LeanEncoder | None = None
    """The leaner forward pass, where the model has one."""
    probe_rows: int = 4_000
    """Most rows of the probe start: more sharpen it by little, and each costs a forward pass."""
    deadline: float = math.inf
    """Reading of :func:`time.monotonic` after which no further step is taken."""
    padding: float = 0.0
    """The share of padding in an epoch's forward passes."""
    most_rows: int | None = None
    """Most rows of one pass, once the device has run out of memory with more."""
    pool: Rows | None = None
    """Texts without a label; their targets say nothing."""
    out_of_fold: OutOfFold | None = None
    """The scores, where no rows are held out."""
    side: SideSolver | None = None
    """The side head, where there is one."""
    chooses: bool = True
    """Whether evaluations choose the weights that are kept; else they are the last ones."""

    @property
    def plan(self) -> Plan:
        """All that trains or is solved; the classifier's own plan has no side head.

        Raises:
            BudgetError: both together are over the cap.
        """
        return replace(self.classifier.plan, side=self.side.plan if self.side else None)

    @property
    def objective(self) -> Objective:
        """What the steps minimise."""
        decided = self.decisions.objective
        return "cross-entropy" if decided is None else decided.value

    @property
    def solves(self) -> bool:
        """Whether the head is solved once the steps are over, and takes no part in them."""
        return self.objective in ("contrastive", "probe")

    @property
    def as_good_as_start(self) -> bool:
        """Whether what trained is no worse than its start, on rows that it did not see.

        On few rows training was better on nearly every draw, whatever a few of them said: it takes
        more than chance to doubt it.
        """
        found = self.out_of_fold
        if found is None:
            return False
        sane = found.trained.scores[0] <= self.highest_loss([{"eval_loss": found.start.scores[0]}])
        return sane and found.trained.as_good_as(found.start)

    def highest_loss(self, history: Sequence[HistoryRow]) -> float:
        """Validation loss above which the weights of a step are not worth keeping.

        The start may be worse than a constant answer, as a random head or one that weighs rare
        labels is: whatever is no worse than the start by far is no divergence.
        """
        task, targets_N = self.classifier.task, self.eval_subset.targets
        constant = task.constant_loss(self.train.targets, targets_N)
        start = history[0]["eval_loss"] if history else 0.0
        return FAR_WORSE * max(constant, start)

    @property
    def contrastive(self) -> ContrastiveSteps:
        """The steps of the contrastive phase: in a cross-validation, too, those of all rows."""
        rows = self.decisions.class_rows
        assert rows is not None, "it was decided with the objective"
        return ContrastiveSteps.of(self.config.contrastive, rows.value)

    @property
    def lead(self) -> int:
        """Steps that a contrastive phase wants before cross-entropy; how many it gets under a limit
        :attr:`schedule` knows."""
        if self.objective != "contrastive-first":
            return 0
        return self.contrastive.schedule(self.train.targets).total

    def contrasts(self, step: int) -> bool:
        """Whether a step is one of the contrastive phase."""
        led = self.objective == "contrastive-first" and step <= self.schedule.lead
        return led or self.objective == "contrastive"

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        phase = self.config.contrastive if self.contrasts(step) else self.config.optim
        return phase.lr * self.schedule.scale(step - 1)

    @property
    def eval_every(self) -> int:
        """Optimiser steps between evaluations."""
        decided = self.decisions.eval_every
        return self.config.train.eval_every if decided is None else decided.value

    @property
    def keeps_prefix(self) -> bool:
        """Whether what lies below the lowest adapter is computed once and kept."""
        kept = self.decisions.prefix_cache
        return kept is not None and kept.value == "on"

    def with_decisions(self, **decided: Any) -> Setup:
        """The same with these decisions on record, too."""
        return replace(self, decisions=replace(self.decisions, **decided))

    @property
    def in_time(self) -> dict[str, Any] | None:
        """Steps that fit into a time and how their rate goes, for a checkpoint: both may change on
        the way."""
        decided = self.decisions.max_steps
        if decided is None:
            return None
        return {"max_steps": asdict(decided), "schedule": asdict(self.schedule)}

    def within(self, kept: Mapping[str, Any] | None) -> Setup:
        """The same with what :attr:`in_time` was."""
        if kept is None:
            return self
        setup = self.with_decisions(max_steps=Decision(**kept["max_steps"]))
        return replace(setup, schedule=Schedule(**kept["schedule"]))

    def subset_logits(self) -> NDArray[np.float32]:
        """What the classifier says of :attr:`eval_subset` as it stands."""
        return predict_logits(
            self.classifier,
            self.eval_subset.tokens,
            batch=self.config.train.eval_batch,
            forward=self.logits,
        )

    def scored_rows(self) -> list[int]:
        """Positions of the validation rows that the final scores are of, in their order: all, or
        always the same stratified sample."""
        targets_N, decided = self.validation.targets, self.decisions.scored_rows
        every = list(range(len(targets_N)))
        if decided is None:
            return every
        strata = self.dataset.task.strata(targets_N)
        return limit_rows(every, strata, decided.value, self.config.seed)

    def token_facts(self) -> TokenFacts:
        """How long the texts are."""
        train, unknown = self.train.tokens, self.classifier.tokenizer.unk_token_id
        return TokenFacts(
            max_length=train.max_length,
            mean=float(train.lengths.mean()),
            unknown=float((train.ids == (-1 if unknown is None else unknown)).mean()),
            truncated=train.truncated,
            validation_truncated=self.validation.tokens.truncated,
            padding_share=self.padding,
            lengths=LengthHistogram.of(train.lengths),
        )

    @property
    def padded_tokens(self) -> int | None:
        """Padded tokens that one pass through the encoder should have at most, if any."""
        return most_padded_tokens(self.classifier.device, self.precision.dtype)

    def parts(self, rows: Sequence[int]) -> list[list[int]]:
        """A batch of training rows in parts, each of which is one pass through the encoder.

        The lean forward pass takes no more at once than a CPU's caches hold, and rows of like
        length together: a step's gradient is a sum over its rows, however they are parted.
        """
        most = self.most_rows or len(rows)
        return [
            part[i : i + most] for part in self._suited(rows) for i in range(0, len(part), most)
        ]

    def _suited(self, rows: Sequence[int]) -> list[list[int]]:
        if self.lean is None:
            return [list(rows)]
        tokens, padded_tokens = self.train.tokens.select(rows), self.padded_tokens
        if self.lean.divides and padded_tokens is not None:
            parts = divided(tokens, padded_tokens, torch.get_num_threads())
        else:
            parts = length_sorted(tokens, padded_tokens=padded_tokens)
        return [[rows[i] for i in part] for part in parts]

    def pooled(
        self, batch: Batch, states: PrefixStates | None = None, seed: int | None = None
    ) -> torch.Tensor:
        """What the head reads, (B, 1, H) in fp32, by the lean forward pass.

        Args:
            batch: the rows.
            states: what the layers below the lowest adapter make of them, where it is stored.
            seed: of the encoder's dropouts; None is without.
        """
        assert self.lean is not None
        drawn = None if seed is None else DropoutDraws(seed)
        if states is None:
            x_BLH = self.lean.prefix(batch, drawn)
        else:
            x_BLH = states.of(batch).to(batch.ids_BL.device)
        return self.lean.pooled(x_BLH, batch, drawn)

    def logits(
        self, batch: Batch, states: PrefixStates | None = None, seed: int | None = None
    ) -> torch.Tensor:
        """One forward pass of training, ``logits_BK`` in fp32; what is given as in :meth:`pooled`.

        The model's own forward pass draws from torch's generator, as its mode says.
        """
        if self.lean is not None:
            return self.lean.head(self.pooled(batch, states, seed))
        with self.precision.autocast(self.classifier.device):
            return self.classifier.logits(batch)


@dataclass
class Counters:
    """What has been done so far; a checkpoint keeps it."""

    rows: int = 0
    tokens: int = 0
    train_seconds: float = 0.0
    """Time in steps, and in what was computed once for all of them."""
    prefix_seconds: float = 0.0
    """Time in computing once what lies below the lowest adapter."""
    seconds: float = 0.0
    """All of this and evaluations."""
    best_step: int = 0
    best_score: float = -sys.float_info.max
    """Of the best step, by ``train.metric``: the more, the better."""
    loss_sum: float = 0.0
    """Of the rows since the last history row, as are the next two."""
    score_sum: float = 0.0
    summed: int = 0

    def per_second(self, count: int) -> float:
        """Of what was counted in steps; 0 where there were none."""
        return count / self.train_seconds if self.train_seconds else 0.0

    def sums(self, device: torch.device) -> torch.Tensor:
        """Loss, scores and tokens, to be added to on a device: each number read there, one
        by one, would wait for it. In double precision, so that they are what Python's are."""
        numbers = [self.loss_sum, self.score_sum, self.tokens]
        return torch.tensor(numbers, dtype=torch.double, device=device)

    def take(self, sums: torch.Tensor) -> None:
        """Read what :meth:`sums` has become."""
        self.loss_sum, self.score_sum, tokens = sums.tolist()
        self.tokens = int(tokens)


@dataclass(frozen=True)
class Fitted:
    """What training leaves; the classifier itself holds the best weights."""

    history: list[HistoryRow]
    counters: Counters
    steps: int


def merit(row: HistoryRow, setup: Setup) -> float:
    """What an evaluation is worth by ``train.metric``: the more, the better.

    Where that is left at accuracy, the task's own metric counts.
    """
    metric = setup.config.train.metric
    if metric == "log_loss":
        return -float(row["eval_loss"])
    return float(row[f"eval_{setup.dataset.task.metric if metric == 'accuracy' else metric}"])


def no_worse(row: HistoryRow, start: HistoryRow, setup: Setup) -> bool:
    """Whether the weights of an evaluation are as good as a start that was fitted.

    Of fewer than :data:`FEW_TO_TELL` rows a start has more right by chance in one training of five
    that gained points on other rows. So there it must be ahead by more than chance explains: a
    one-sided test of two proportions at :data:`SIGNIFICANT`. A run that is trained further is
    known to be good, and keeps its place against any step that is behind it.
    """
    score, before = merit(row, setup), merit(start, setup)
    rows = len(setup.eval_subset.targets)
    counted = setup.config.train.metric == "accuracy" and setup.classifier.task.one_class
    if score >= before or rows >= FEW_TO_TELL or not counted or setup.config.head.start == "run":
        return score >= before
    both = (score + before) / 2
    error = math.sqrt(2 * both * (1 - both) / rows)
    return bool(ndtr((score - before) / error) >= SIGNIFICANT)
