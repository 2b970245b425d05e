"""Is one classifier better than another on the same rows, where a row may have several labels?

Shapes: N rows, K labels, C cells (rows of the same true and given labels), R resamples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tightfit.metrics.intervals import RESAMPLES, bootstraps, in_blocks
from tightfit.metrics.label_scores import cells_of, f1_means
from tightfit.metrics.paired import Paired

NAMES = ("micro_f1", "macro_f1")


def compare_label_sets(
    true_NK: NDArray[np.bool_],
    ours_NK: NDArray[np.bool_],
    theirs_NK: NDArray[np.bool_],
    *,
    seed: int = 0,
) -> tuple[Paired, ...]:
    """Compare the labels that two classifiers give, by micro and by macro F1.

    As :func:`tightfit.metrics.paired.compare_macro_f1`: the intervals are paired bootstraps, the
    p-values those of approximate randomisation (Yeh 2000, arXiv:cs/0008005).
    """
    (true_CK, ours_CK, theirs_CK), counts_C = cells_of(true_NK, ours_NK, theirs_NK)

    def gains(counts_RC: NDArray[np.int64]) -> NDArray[np.float64]:
        ours_R3, theirs_R3 = (f1_means(counts_RC, true_CK, x) for x in (ours_CK, theirs_CK))
        return (ours_R3 - theirs_R3)[:, :2]

    found = bootstraps(gains, counts_C, seed=seed)
    p_values = _randomisation_p(
        (true_CK, ours_CK, theirs_CK), counts_C, np.array([each.value for each in found]), seed
    )
    right_2N = [(given_NK == true_NK).all(axis=1) for given_NK in (ours_NK, theirs_NK)]
    return tuple(
        Paired(
            metric=name,
            rows=len(true_NK),
            difference=interval.value,
            low=interval.low,
            high=interval.high,
            p_value=p_value,
            test="approximate randomisation",
            only_ours=int((right_2N[0] & ~right_2N[1]).sum()),
            only_theirs=int((right_2N[1] & ~right_2N[0]).sum()),
            rows_needed=None,
        )
        for name, interval, p_value in zip(NAMES, found, p_values, strict=True)
    )


def _randomisation_p(
    cells: tuple[NDArray[np.bool_], ...],
    counts_C: NDArray[np.int64],
    observed_2: NDArray[np.float64],
    seed: int,
) -> list[float]:
    """The share of coin-toss swaps that differ as much; the observed data count as one of them."""
    true_CK, ours_CK, theirs_CK = cells
    random = np.random.default_rng(seed)
    both_CK = np.concatenate([true_CK, true_CK])
    one_CK = np.concatenate([ours_CK, theirs_CK])
    other_CK = np.concatenate([theirs_CK, ours_CK])

    def swap(resamples: int) -> NDArray[np.float64]:
        swapped_RC = random.binomial(counts_C, 0.5, size=(resamples, len(counts_C)))
        tables_RC = np.concatenate([counts_C - swapped_RC, swapped_RC], axis=1)
        one_R3, other_R3 = (
            f1_means(tables_RC, both_CK, given_CK) for given_CK in (one_CK, other_CK)
        )
        return (one_R3 - other_R3)[:, :2]

    gains_R2 = in_blocks(lambda part: swap(part.stop - part.start), RESAMPLES, 2 * len(counts_C))
    as_far_2 = (np.abs(gains_R2) >= np.abs(observed_2) - 1e-12).sum(axis=0)
    return ((1 + as_far_2) / (1 + RESAMPLES)).tolist()
