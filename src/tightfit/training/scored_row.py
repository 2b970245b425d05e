"""What an evaluation puts on record of the weights as they stand.

Shapes: N rows, K labels.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from tightfit.tasks import need_one_class
from tightfit.training.setup import HistoryRow, Setup


def scored_row(
    setup: Setup, logits_NK: NDArray[np.float32], known: tuple[float, float] | None = None
) -> HistoryRow:
    """What a history row says of logits of :attr:`Setup.eval_subset`.

    Args:
        setup: its task scores them.
        logits_NK: of its rows; those out of fold are of every row.
        known: mean loss and score, where they are known.
    """
    task = setup.classifier.task
    subset = setup.eval_subset if setup.out_of_fold is None else setup.validation
    both = torch.from_numpy(logits_NK), torch.from_numpy(subset.targets)
    loss, score = known or (
        weighted_mean(task.row_losses(*both), subset.weights_N),
        task.metric_of(weighted_mean(task.row_scores(*both), subset.weights_N), subset.targets),
    )
    found = {"eval_loss": loss, f"eval_{task.metric}": score}
    if setup.config.train.metric == "macro_f1":
        classes = need_one_class(task, "train.metric=macro_f1")
        found["eval_macro_f1"] = classes.macro_f1(logits_NK, subset.targets, subset.weights_N)
    return found


def weighted_mean(values_N: torch.Tensor, weights_N: NDArray[np.float64] | None) -> float:
    """The mean of values of rows, by weights where they have some."""
    if weights_N is None:
        return float((values_N.double() if values_N.dtype == torch.bool else values_N).mean())
    return float(values_N.double() @ torch.from_numpy(weights_N) / weights_N.sum())
