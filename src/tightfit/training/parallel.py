"""Several processes that train one classifier together, as ``torchrun`` starts them.

Each takes its share of the rows of every batch; gradients are added up over all of them, and
since each row already weighs as one of the whole step, the sum is what one process would have had.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import nn

from tightfit.config import Config
from tightfit.errors import ArtefactError, MachineError, SettingsError
from tightfit.training.checkpoint import random_states, restore_random_states
from tightfit.training.setup import Counters

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others; one that dies on this machine is noticed at once."""

BACKENDS = "cpu:gloo,cuda:nccl"

ADDED = ("loss_sum", "score_sum", "summed", "rows", "tokens")
"""The counters that add up over processes."""

T = TypeVar("T")


class Peers:
    """The processes of one training; by itself, one process that is alone."""

    rank = 0
    """Which one this is; 0 decides, writes and speaks."""
    size = 1
    """How many there are."""

    def rows_of(self, rows: Sequence[int]) -> list[int]:
        """This process's share of a batch: each row goes to exactly one."""
        return list(rows[self.rank :: self.size])

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the sum of all gradients."""

    def add_counts(self, counters: Counters, before: Counters) -> None:
        """Give every process what all of them have counted since ``before``."""

    def gather(self, own_MK: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """What the processes have for their shares of ``count`` rows, as one, in each of them."""
        return own_MK

    def agree(self, number: int | None) -> int | None:
        """The greatest of the numbers that the processes give; None counts as 0."""
        return number

    def share(self, value: T | None) -> T:
        """What process 0 gives, in every process; the others give nothing."""
        given = self.share_optional(value)
        assert given is not None, "process 0 has something to share"
        return given

    def share_optional(self, value: T | None) -> T | None:
        """The same, where process 0 may have nothing to give either."""
        return value

    def share_weights(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the weights of process 0."""

    def random_states(self) -> dict[str, torch.Tensor]:
        """The random states of all processes."""
        return random_states()

    def restore_random_states(self, states: Mapping[str, torch.Tensor]) -> None:
        """Put this process's own back.

        Raises:
            ArtefactError: they are those of another number of processes.
        """
        if any(name.startswith("peer") for name in states):
            raise _other_number(self.size)
        restore_random_states(states)


class Group(Peers):
    """Two processes or more, through ``torch.distributed``."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """In one message; a process without a row of this step adds zeros."""
        tensors = list(parameters)
        flat = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in tensors]
        )
        with _peers_alive():
            dist.all_reduce(flat)
        for p, gradient in zip(tensors, flat.split([p.numel() for p in tensors]), strict=True):
            p.grad = gradient.view_as(p).clone()

    def add_counts(self, counters: Counters, before: Counters) -> None:
        """Counts below 2^53 are exact in the doubles that they travel as."""
        own = [getattr(counters, name) - getattr(before, name) for name in ADDED]
        for name, total in zip(ADDED, self._sum(own), strict=True):
            start = getattr(before, name)
            setattr(counters, name, start + type(start)(total))

    def gather(self, own_MK: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """Put back where :meth:`rows_of` took it from."""
        parts: list[Any] = [None] * self.size
        with _peers_alive():
            dist.all_gather_object(parts, own_MK)
        whole_NK = np.empty((count, *own_MK.shape[1:]), dtype=own_MK.dtype)
        for rank, part in enumerate(parts):
            whole_NK[rank :: self.size] = part
        return whole_NK

    def agree(self, number: int | None) -> int | None:
        """So that all of them stop after the same step."""
        value = torch.tensor(number or 0)
        with _peers_alive():
            dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return int(value) or None

    def share_optional(self, value: T | None) -> T | None:
        """Pickled, but only between the processes of this one setup."""
        box: list[Any] = [value]
        with _peers_alive():
            dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def share_weights(self, parameters: Iterable[nn.Parameter]) -> None:
        """Tensor by tensor."""
        for p in parameters:
            with _peers_alive():
                dist.broadcast(p.data, src=0)

    def random_states(self) -> dict[str, torch.Tensor]:
        """Named ``peer0.cpu`` and so on."""
        found: list[Any] = [None] * self.size
        with _peers_alive():
            dist.all_gather_object(found, random_states())
        return {f"peer{i}.{n}": t for i, states in enumerate(found) for n, t in states.items()}

    def restore_random_states(self, states: Mapping[str, torch.Tensor]) -> None:
        """Of as many processes as there are now, or of none."""
        if {name.partition(".")[0] for name in states} != {f"peer{i}" for i in range(self.size)}:
            raise _other_number(self.size)
        start = f"peer{self.rank}."
        restore_random_states(
            {n.removeprefix(start): t for n, t in states.items() if n.startswith(start)}
        )

    def _sum(self, numbers: Sequence[float]) -> list[float]:
        values = torch.tensor(numbers, dtype=torch.float64)
        with _peers_alive():
            dist.all_reduce(values)
        return values.tolist()


def check_parallel(config: Config, peers: Peers) -> None:
    """Refuse what needs one process.

    Raises:
        SettingsError: the training is to fit into a wall clock, and several processes train.
    """
    if peers.size > 1 and config.train.minutes is not None:
        raise SettingsError(
            "--minutes times the steps of one process, and several are to train",
            seen=f"{peers.size} processes",
            next_step="give --max-steps, or start one process",
        )


def join_peers() -> Peers:
    """The processes that ``torchrun`` has started, or this one alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Peers()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not dist.is_initialized():
        with _peers_alive():
            backend = BACKENDS if torch.cuda.is_available() else "gloo"
            dist.init_process_group(backend, timeout=PATIENCE)
        atexit.register(_leave)
    return Group()


def _leave() -> None:
    """End what still waits for the others: a thread that lives on would abort this process."""
    if dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def _peers_alive() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise MachineError(
            "another process of this training does not answer any more",
            seen=str(error).splitlines()[0],
            next_step="look into its own messages; then go on with --resume, from the last "
            "checkpoint, with as many processes",
        ) from error


def _other_number(size: int) -> ArtefactError:
    return ArtefactError(
        "the checkpoint belongs to a training with another number of processes",
        seen=f"{size} now",
        next_step="resume it with as many as it began with",
    )
