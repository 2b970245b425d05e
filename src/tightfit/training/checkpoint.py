"""Checkpoints: safetensors and JSON of our own, whole or absent, never a pickle.

One folder holds everything that training needs to go on: what trains, the optimiser's moments,
the best weights so far, random states, and the counters. It appears under its name when complete
and on the disk, and carries the digests of its files: a damaged one is never resumed from.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tightfit import storage
from tightfit.errors import ArtefactError, MachineError

TENSORS = "tensors.safetensors"
STATE = "state.json"
DIGESTS = "digests.json"


@dataclass(frozen=True)
class Checkpoint:
    """A moment of training.

    ``tensors`` are named ``group/name``; ``state`` is plain JSON.
    """

    tensors: dict[str, torch.Tensor]
    state: dict[str, Any]

    def group(self, prefix: str) -> dict[str, torch.Tensor]:
        """The tensors of one group, without its prefix."""
        start = f"{prefix}/"
        return {n.removeprefix(start): t for n, t in self.tensors.items() if n.startswith(start)}


class CheckpointStore:
    """Keeps the newest checkpoint of a run in a folder."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder``, which need not exist yet."""
        self.folder = folder

    def save(self, step: int, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove the older ones.

        Raises:
            MachineError: the disk is full or refuses.
        """
        final = self.folder / f"step-{step:08d}"
        partial = final.with_suffix(".partial")
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            save_file({n: t.contiguous() for n, t in checkpoint.tensors.items()}, partial / TENSORS)
            (partial / STATE).write_text(json.dumps(checkpoint.state), "utf-8")
            storage.write_digests(partial / DIGESTS, [partial / TENSORS, partial / STATE])
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise MachineError(
                "a checkpoint could not be written",
                seen=f"{final}: {error}",
                next_step="free some space, then go on with --resume",
            ) from error
        for older in self._complete():
            if older != final:
                shutil.rmtree(older)

    def load(self) -> Checkpoint | None:
        """The newest checkpoint, or None where training has not written one.

        Raises:
            ArtefactError: it is damaged.
        """
        complete = self._complete()
        if not complete:
            return None
        try:
            storage.check_digests(complete[-1] / DIGESTS, complete[-1])
            tensors = load_file(complete[-1] / TENSORS)
            state = json.loads((complete[-1] / STATE).read_text("utf-8"))
        except (OSError, ValueError, SafetensorError) as error:
            raise ArtefactError(
                "the checkpoint is damaged",
                seen=f"{complete[-1]}: {error}",
                next_step="start again with --overwrite",
            ) from error
        return Checkpoint(tensors, state)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to go on from."""
        return not self._complete()

    def clear(self) -> None:
        """Remove all checkpoints."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _complete(self) -> list[Path]:
        return sorted(p for p in self.folder.glob("step-*") if p.suffix != ".partial")


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimiser's moments as flat tensors, ``position/name``."""
    state: Mapping[int, Mapping[str, torch.Tensor]] = optimizer.state_dict()["state"]
    return {
        f"{position}/{name}": torch.as_tensor(value)
        for position, values in state.items()
        for name, value in values.items()
    }


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put back what :func:`pack_optimizer` gave."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        position, name = key.split("/")
        state.setdefault(int(position), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def random_states() -> dict[str, torch.Tensor]:
    """The states of torch's generators, on the CPU and on each GPU."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda{i}": s for i, s in enumerate(torch.cuda.get_rng_state_all())}
    return states


def restore_random_states(states: Mapping[str, torch.Tensor]) -> None:
    """Put back what :func:`random_states` gave; a GPU that was not there then keeps its own."""
    torch.set_rng_state(states["cpu"])
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            if f"cuda{i}" in states:
                torch.cuda.set_rng_state(states[f"cuda{i}"], i)
