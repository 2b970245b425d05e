"""Is one classifier better than another on the same rows, where a row may have several labels?

Shapes: N rows, K labels, C cells (rows of the same true and given labels), R resamples.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from tightfit.metrics.intervals import bootstraps
from tightfit.metrics.label_scores import cells_of, f1_means
from tightfit.metrics.paired import Paired, randomisation_p

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

    found = bootstraps(partial(_gains, true_CK, ours_CK, theirs_CK), counts_C, seed=seed)
    true_2K, one_2K, other_2K = (
        np.concatenate(pair)
        for pair in ((true_CK, true_CK), (ours_CK, theirs_CK), (theirs_CK, ours_CK))
    )
    observed_2 = np.array([each.value for each in found])
    swapped = partial(_gains, true_2K, one_2K, other_2K)
    p_values = randomisation_p(swapped, counts_C, observed_2, seed).tolist()
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


def _gains(
    true_CK: NDArray[np.bool_],
    ours_CK: NDArray[np.bool_],
    theirs_CK: NDArray[np.bool_],
    counts_RC: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Micro and macro F1 of ours minus those of theirs, (R, 2), for R tables of counts."""
    ours_R3, theirs_R3 = (f1_means(counts_RC, true_CK, x) for x in (ours_CK, theirs_CK))
    return (ours_R3 - theirs_R3)[:, :2]
