"""Does an exported classifier answer as the run does?

Shapes: N rows, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightfit.data.tokens import Tokens
from tightfit.encoder.on_torch import Engine, all_logits
from tightfit.errors import ProofError
from tightfit.metrics.calibration import Scale
from tightfit.tasks import Task

TOLERANCE = 1e-4
"""Largest difference of a logit between the run and an export in fp32."""

ACCURACY_LOSS = 0.003
"""Largest loss of accuracy of an export in int8, as a share of the rows."""


SAMPLE_ROWS = 512
"""Rows that tell engines apart by speed, and by labels as far as that many can."""


@dataclass(frozen=True)
class Parity:
    """How closely an export follows the run."""

    max_abs_difference: float
    """Of any logit."""
    agreement: float
    """Share of rows with the same answer."""
    rows: int


@dataclass(frozen=True)
class Loss:
    """What it costs to answer otherwise than the run."""

    accuracy_loss: float
    """Accuracy of the run, less that of the others, as a share of the rows; below 0 for a gain."""
    by: str
    """``labels``, or ``probabilities`` where the rows have none."""
    rows: int


def spread(count: int, most: int = SAMPLE_ROWS) -> list[int]:
    """Some of ``count`` places, evenly spread: files are often sorted by label."""
    places = np.linspace(0, count, min(most, count), endpoint=False, dtype=np.int64)
    return places.tolist()


def probes(
    *, vocabulary: int, pad_id: int, max_length: int, segments: bool = False
) -> dict[str, Tokens]:
    """Batches of random tokens in the four forms in which a graph can go wrong, by name.

    Args:
        vocabulary: number of token ids.
        pad_id: left out, since some encoders number positions by it.
        max_length: of the longest batch.
        segments: tokens belong to one text or the other, at random.
    """
    lengths = {
        "padded": [29, 17, 8, 3],
        "unpadded": [13, 13, 13],
        "length-1": [1],
        "maximum-length": [max_length, max(1, max_length // 2)],
    }
    random = np.random.default_rng(0)
    allowed = np.delete(np.arange(vocabulary), pad_id)
    batches = {}
    for name, own in lengths.items():
        own = [min(length, max_length) for length in own]
        ids = random.choice(allowed, sum(own)).astype(np.int32)
        offsets = np.cumsum([0, *own], dtype=np.int64)
        sides = random.integers(0, 2, sum(own), dtype=np.int8) if segments else None
        batches[name] = Tokens(ids, offsets, 0, max_length, pad_id, segments=sides)
    return batches


def compare(
    task: Task, run: Engine, export: Engine, batches: Mapping[str, Tokens]
) -> dict[str, Parity]:
    """Parity on each of some batches; each is computed as one, with its own padding."""
    return {
        name: parity_of(
            task,
            all_logits(run, tokens, batch=len(tokens)),
            all_logits(export, tokens, batch=len(tokens)),
        )
        for name, tokens in batches.items()
    }


def parity_of(task: Task, run_NK: NDArray[np.float32], export_NK: NDArray[np.float32]) -> Parity:
    """Parity of two sets of logits of the same rows; a logit that is no number is far off."""
    difference = np.abs(run_NK - export_NK).max()
    # Infinity has no place in JSON, and any such number is beyond every tolerance.
    worst = float(difference) if np.isfinite(difference) else float(np.finfo(np.float32).max)
    return Parity(worst, task.agreement(run_NK, export_NK), len(run_NK))


def joined(parities: Sequence[Parity]) -> Parity:
    """One figure over all rows."""
    rows = sum(parity.rows for parity in parities)
    agreeing = sum(parity.agreement * parity.rows for parity in parities)
    return Parity(max(p.max_abs_difference for p in parities), agreeing / rows, rows)


def refuse_difference(parities: Mapping[str, Parity]) -> None:
    """Check an export in fp32.

    Raises:
        ProofError: logits differ by more than :data:`TOLERANCE`, with the batches on which they do.
    """
    off = {name: p for name, p in parities.items() if p.max_abs_difference > TOLERANCE}
    if off:
        raise ProofError(
            "the export's predictions differ from the run's, so it was not kept",
            seen="; ".join(
                f"{n} rows: logits off by {p.max_abs_difference:.2g}" for n, p in off.items()
            ),
            allowed=f"differences up to {TOLERANCE:g}",
            next_step="choose another --format, and report this model family",
        )


def loss_of(
    task: Task,
    run_NK: NDArray[np.float32],
    export_NK: NDArray[np.float32],
    targets: NDArray[Any] | None = None,
    *,
    temperature: Scale = 1.0,
) -> Loss:
    """What accuracy an export loses on rows.

    Where their labels are not known, each row's truth is taken to be as likely as the run's
    probabilities say, at its temperature.
    """
    if targets is None:
        lost = task.expected_loss(run_NK, export_NK, temperature)
        return Loss(lost, "probabilities", len(run_NK))
    own_N, others_N = (task.row_scores(each_NK, targets) for each_NK in (run_NK, export_NK))
    lost = np.subtract(own_N, others_N, dtype=np.float64).mean()
    return Loss(float(lost), "labels", len(run_NK))
