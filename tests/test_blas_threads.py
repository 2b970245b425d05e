"""One thread of BLAS for what is small."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_info, threadpool_limits

from tightfit.blas_threads import one_blas_thread


def threads() -> set[int]:
    """Of every BLAS that is loaded, numpy's and scipy's."""
    assert np.dot(scipy.linalg.inv(np.eye(2)), np.ones(2)).sum() == 2.0
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


def test_one_thread_meanwhile_and_as_before_afterwards() -> None:
    """An error changes nothing about that."""
    with threadpool_limits(limits=2, user_api="blas"):
        before = threads()
        try:
            with one_blas_thread():
                assert threads() == {1}
                raise ValueError
        except ValueError:
            assert threads() == before
