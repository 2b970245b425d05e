"""The caller's random numbers, which no function of ours may disturb.

Training seeds every generator that there is, and loading a model draws from torch's. Without this a
cross-validation whose folds are drawn between two trainings would draw the same ones each time.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock

_TURN = RLock()
"""Generators, and torch's threads, are those of the process."""


@contextmanager
def keep_random_states() -> Iterator[None]:
    """Put back the states of ``random``, numpy and torch, on the CPU and on every GPU.

    Serves as a decorator too. No library is imported for it; one that is first imported meanwhile
    is left as an import leaves it. While a training in another thread has its turn, the generators
    are its own: nothing is put back then.
    """
    if not _TURN.acquire(blocking=False):
        yield
        return
    try:
        with _put_back():
            yield
    finally:
        _TURN.release()


@contextmanager
def take_turn() -> Iterator[None]:
    """The same for what seeds generators: of several threads one at a time."""
    with _TURN, _put_back():
        yield


@contextmanager
def _put_back() -> Iterator[None]:
    python = random.getstate()
    put_back_numpy, put_back_torch = _numpy_state(), _torch_state()
    try:
        yield
    finally:
        random.setstate(python)
        put_back_numpy()
        put_back_torch()


def _numpy_state() -> Callable[[], None]:
    """What puts back the state of numpy's own generator; seeded by the machine at first."""
    before = sys.modules["numpy"].random.get_state() if "numpy.random" in sys.modules else None

    def put_back() -> None:
        if before is not None:
            sys.modules["numpy"].random.set_state(before)
        elif "numpy.random" in sys.modules:
            sys.modules["numpy"].random.seed()

    return put_back


def _torch_state() -> Callable[[], None]:
    """What puts back the states of torch's generators; a fixed number seeds them at first."""
    torch = sys.modules.get("torch")
    before = None if torch is None else torch.get_rng_state()
    # To ask for the states of GPUs would set up each of them.
    used = torch is not None and torch.cuda.is_initialized()
    gpus = torch.cuda.get_rng_state_all() if torch is not None and used else None

    def put_back() -> None:
        torch = sys.modules.get("torch")
        if torch is None:
            return
        torch.set_rng_state(torch.Generator().get_state() if before is None else before)
        if gpus is not None:
            torch.cuda.set_rng_state_all(gpus)
        else:
            # As whoever seeds torch before a GPU is in use seeds the GPUs.
            torch.cuda.manual_seed_all(torch.initial_seed())

    return put_back
