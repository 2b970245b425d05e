"""Supervised contrastive loss (Khosla et al. 2020, arXiv:2004.11362, with the sum outside).

Shapes: B rows of a batch, F width of the features.
"""

from __future__ import annotations

import torch
from torch.nn.functional import normalize


def contrastive_loss(
    features_BF: torch.Tensor,
    targets_B: torch.Tensor,
    temperature: float,
    weights_B: torch.Tensor | None = None,
) -> torch.Tensor:
    """The mean over rows of how badly each tells the others of its class from the rest.

    Each row is an anchor: a softmax over its cosines with all other rows, divided by the
    temperature, should give all weight to those of its class. A row that is alone in its class is
    no anchor; zero where no row has another of its class.

    Args:
        features_BF: brought to length 1 here.
        targets_B: class ids.
        temperature: above 0.
        weights_B: how much each anchor counts in the mean; None is as much as every other.
    """
    unit_BF = normalize(features_BF, dim=1)
    same_BB, self_BB = _pairs(targets_B)
    scores_BB = (unit_BF @ unit_BF.T / temperature).masked_fill(self_BB, -torch.inf)
    logs_BB = scores_BB.log_softmax(1).masked_fill(~same_BB, 0.0)
    counts_B = same_BB.sum(1)
    anchors_B = -logs_BB.sum(1) / counts_B.clamp(min=1)
    paired_B = (counts_B > 0).to(anchors_B.dtype)
    if weights_B is not None:
        paired_B = paired_B * weights_B
    # Where there is no anchor at all, every term of the sum is zero.
    return (anchors_B * paired_B).sum() / paired_B.sum().clamp(min=torch.finfo().tiny)


def nearest_are_right(features_BF: torch.Tensor, targets_B: torch.Tensor) -> torch.Tensor:
    """Rows whose nearest other row is of their class, counted."""
    unit_BF = normalize(features_BF.detach(), dim=1)
    same_BB, self_BB = _pairs(targets_B)
    nearest_B = (unit_BF @ unit_BF.T).masked_fill(self_BB, -torch.inf).argmax(1, keepdim=True)
    return same_BB.gather(1, nearest_B).sum()


def _pairs(targets_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Whether two rows are different ones of a class, and whether they are one and the same."""
    self_BB = torch.eye(len(targets_B), dtype=torch.bool, device=targets_B.device)
    return (targets_B[:, None] == targets_B[None, :]) & ~self_BB, self_BB
