"""Tokens of some rows as padded tensors.

Shapes: B rows of a batch, L tokens of its longest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tightfit.data.gpu import copied, gpu_padded_tokens
from tightfit.data.text_tokenizer import SEGMENTS
from tightfit.data.tokens import Tokens

BATCH_PADDED_TOKENS, FP32_PADDED_TOKENS = 2048, 1024
"""Padded tokens of one pass through an encoder on a CPU; the second for torch in fp32. See
:func:`most_padded_tokens`."""


@dataclass(frozen=True)
class Batch:
    """Rows padded to the longest of them."""

    ids_BL: torch.Tensor
    mask_BL: torch.Tensor
    """1 for a token, 0 for padding."""
    targets_B: torch.Tensor | None
    rows_B: torch.Tensor
    """Position of each row in the tokens that the batch was made from."""
    padded: bool = True
    """Whether any place may hold padding; asking the mask would make Python wait for a GPU."""
    segments_BL: torch.Tensor | None = None
    """Of :class:`Tokens`; 0 at padding."""

    @property
    def inputs(self) -> dict[str, torch.Tensor]:
        """What a model of ``transformers`` is given, by its names."""
        given = {"input_ids": self.ids_BL, "attention_mask": self.mask_BL}
        return given if self.segments_BL is None else {**given, SEGMENTS: self.segments_BL}

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device; nothing waits until a GPU has its copy."""
        targets = None if self.targets_B is None else copied(self.targets_B, device)
        ids, mask = copied(self.ids_BL, device), copied(self.mask_BL, device)
        segments = None if self.segments_BL is None else copied(self.segments_BL, device)
        return Batch(ids, mask, targets, self.rows_B, self.padded, segments)


def collate(tokens: Tokens, rows: Sequence[int], targets: NDArray[Any] | None = None) -> Batch:
    """Pad the given rows to the longest of them.

    Args:
        tokens: all rows.
        rows: positions of the batch's rows.
        targets: of *every* row of ``tokens``, or None.
    """
    length = tokens.padded(rows)
    ids_BL = torch.full((len(rows), length), tokens.pad_id, dtype=torch.long)
    mask_BL = torch.zeros((len(rows), length), dtype=torch.long)
    segments_BL = None if tokens.segments is None else torch.zeros_like(mask_BL)
    for i, row in enumerate(rows):
        span = slice(tokens.offsets[row], tokens.offsets[row + 1])
        ids = tokens.ids[span]
        ids_BL[i, : len(ids)] = torch.from_numpy(ids.astype(np.int64))
        mask_BL[i, : len(ids)] = 1
        if segments_BL is not None and tokens.segments is not None:
            segments_BL[i, : len(ids)] = torch.from_numpy(tokens.segments[span].astype(np.int64))
    targets_B = None if targets is None else torch.from_numpy(targets[list(rows)])
    padded = not bool(mask_BL.all())
    return Batch(ids_BL, mask_BL, targets_B, torch.tensor(list(rows)), padded, segments_BL)


def most_padded_tokens(device: torch.device, dtype: torch.dtype = torch.float32) -> int | None:
    """Padded tokens that one pass should have at most; None where more are better.

    More do not make a CPU's products faster, and leave its caches, in fp32 sooner
    (docs/experiments/one-step.md has the figures). On a GPU its free memory decides.
    """
    if device.type == "cuda":
        return gpu_padded_tokens(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    return FP32_PADDED_TOKENS if dtype == torch.float32 else BATCH_PADDED_TOKENS
