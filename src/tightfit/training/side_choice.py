"""``head.side=auto``: whether a side head is worth its parameters, and how much it counts.

Before a plan is made, two linear classifiers answer training rows that they did not see: one of
what the frozen encoder makes of a text, one of its hashed characters. Where characters alone tell
more, the encoder reads the texts poorly, and a share of the cap goes to them. Where it reads them,
adapters learn what characters tell: all of the cap is theirs.

Once all else is trained, rows that neither learned from say how much the side head's outputs count
beside the classifier's.

A row's logits are those of the classifier plus a factor times those of the side head: a weighted
mean of two log-probabilities, at some temperature.

Shapes: N rows, K labels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tightfit.budget.parts import SidePlan
from tightfit.config import ASKED, Config, Decision
from tightfit.encoder import UnknownInside
from tightfit.errors import SettingsError
from tightfit.families import Pooling
from tightfit.metrics.calibration import fit_temperature
from tightfit.model.locate import Source
from tightfit.tasks import need_one_class
from tightfit.tasks.dataset import Dataset
from tightfit.tasks.linear_probe import leave_one_out
from tightfit.training.frozen_probe import FEW_ROWS, FrozenProbe, compared_words, gain_and_error
from tightfit.training.prepare import plan_for
from tightfit.training.side_solver import SideSolver

LEAST_BUCKETS, MOST_BUCKETS = 2**11, 2**15
"""Fewer lose four points and more; twice as many gained 0.3 at most."""

SIDE_SHARE = 0.5
"""Of what the cap leaves beside the head, where ranks are open: the most that a side head takes."""

SHARES = np.linspace(0.0, 0.95, 20)
"""Of the side head in the mean of both log-probabilities, that are tried."""


def decide_side(
    probe: FrozenProbe, source: Source, pooling: Pooling, seconds: float | None = None
) -> Decision[int] | None:
    """How many buckets a side head gets, 0 for none; None where there is nothing to decide.

    Args:
        probe: of the training's rows.
        source: the encoder.
        pooling: what the head reads of it.
        seconds: that deciding may take.

    Raises:
        SettingsError: one is asked for, and rows have not one class each.
        BudgetError: not even the head fits under the cap.
    """
    config, dataset = probe.config, probe.dataset
    unfit = _why_unfit(config, dataset)
    if config.head.side == "off" or (unfit and config.head.side == "auto"):
        return None
    if unfit:
        raise SettingsError(
            "a side head is offered for one label a text",
            seen=f"head.side={config.head.side} with {unfit}",
            next_step="leave out head.side",
        )
    if config.head.side != "auto":
        return Decision(config.head.side, ASKED)
    if len(dataset.train_texts) < FEW_ROWS:
        return Decision(0, f"{len(dataset.train_texts)} rows are too few to tell whether it helps")
    buckets = _affordable(config, source, dataset.task.outputs, pooling)
    if buckets < LEAST_BUCKETS:
        return Decision(0, f"the cap leaves it {buckets:,} buckets of {LEAST_BUCKETS:,} that help")
    try:
        if seconds is not None:
            probe = probe.within(source, seconds)
        return _probed(probe, source, pooling, buckets)
    except UnknownInside as error:
        return Decision(0, error.what)


def _why_unfit(config: Config, dataset: Dataset) -> str | None:
    if not dataset.task.one_class:
        return f"data.task={dataset.task.kind}"
    return "data.pair=true" if config.data.pair else None


def _affordable(config: Config, source: Source, labels: int, pooling: Pooling) -> int:
    """Buckets that the cap pays for: all that is left by ranks that are set, else a share."""
    bare = plan_for(config.with_values({"head.side": "off"}), source, labels, pooling=pooling)
    if bare.budget is None or bare.headroom is None:
        return MOST_BUCKETS
    open_ranks = config.adapters.rank is None and bool(bare.record.kinds)
    left = SIDE_SHARE * (bare.budget - bare.head) if open_ranks else bare.headroom
    return min(MOST_BUCKETS, max(0, int(left) // labels - 1))


def _probed(probe: FrozenProbe, source: Source, pooling: Pooling, buckets: int) -> Decision[int]:
    """Whether characters tell a linear classifier more than the frozen encoder does, and more yet
    beside it."""
    task, rows_N = need_one_class(probe.dataset.task, "a side head"), probe.rows_N
    targets_N = probe.dataset.train_targets[rows_N]
    features_NF = probe.features(source)[("first", "mean").index(pooling)]
    encoder_NK = leave_one_out(features_NF, np.eye(task.outputs)[targets_N])
    plan = SidePlan(buckets, task.outputs)
    side_NK = SideSolver(plan, probe.config.seed, probe.texts, targets_N).unseen()
    both_NK = encoder_NK + factor_of(encoder_NK, side_NK, targets_N) * side_NK
    both_N, side_N, encoder_N = (
        task.right(each_NK, targets_N) for each_NK in (both_NK, side_NK, encoder_NK)
    )
    gain, error = gain_and_error(both_N, encoder_N)
    figures = {
        "with hashed characters beside the encoder": both_N,
        "with them alone": side_N,
        "without": encoder_N,
    }
    due = gain > error and side_N.mean() > encoder_N.mean()
    return Decision(buckets if due else 0, compared_words(figures, probe.metric))


def weigh_side(
    logits_NK: NDArray[np.float32], side_NK: NDArray[np.float64], targets_N: NDArray[np.int64]
) -> Decision[float]:
    """How much a side head counts beside what was trained, by rows that neither learned from.

    The factor is the one number that is chosen on them, as a temperature is; 0 leaves it out.

    Args:
        logits_NK: of the classifier.
        side_NK: of the side head, for the same rows.
        targets_N: theirs.
    """
    factor = factor_of(logits_NK, side_NK, targets_N)
    mixed_NK = logits_NK + factor * side_NK
    right = [float((each.argmax(1) == targets_N).mean()) for each in (mixed_NK, logits_NK)]
    words = f"of {len(targets_N):,} rows that neither saw {right[0]:.1%} are right with it, "
    return Decision(factor, f"{words}{right[1]:.1%} without" + ": left out" * (not factor))


def factor_of(
    logits_NK: NDArray[np.float32] | NDArray[np.float64],
    side_NK: NDArray[np.float64],
    targets_N: NDArray[np.int64],
) -> float:
    """What the side head's logits are multiplied by, for the least log loss of the sum.

    Each sum is judged at the temperature that suits it: how sharp it is can be mended later.
    """
    own = fit_temperature(logits_NK, targets_N, least_rows=1).value

    def loss(factor: float) -> float:
        mixed_NK = logits_NK + factor * side_NK
        return fit_temperature(mixed_NK, targets_N, least_rows=1).log_loss_after

    return min((own * float(share / (1 - share)) for share in SHARES), key=loss)
