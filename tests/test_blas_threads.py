"""One thread of BLAS for what is small, whoever else asks for it."""

from __future__ import annotations

import os
import subprocess
import sys

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


def test_the_last_of_several_threads_brings_back_what_was_before() -> None:
    """Whichever of them came first."""
    with threadpool_limits(limits=2, user_api="blas"):
        first, second = one_blas_thread(), one_blas_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert threads() == {1}
        second.__exit__(None, None, None)
        assert threads() == {2}


def test_scipy_is_held_too_though_it_came_later() -> None:
    """A process that answered a text may solve a head afterwards."""
    program = (
        "import numpy, threadpoolctl\n"
        "from tightfit.blas_threads import one_blas_thread\n"
        "with one_blas_thread(): pass\n"
        "import scipy.linalg\n"
        "with one_blas_thread():\n"
        "    found = [x['num_threads'] for x in threadpoolctl.threadpool_info()]\n"
        "assert len(found) > 1 and set(found) == {1}, found"
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
