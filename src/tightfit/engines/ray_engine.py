"""The engine ``ray``: batches are spread over the processes of a Ray cluster, in order.

Each process holds a copy of the model, which Ray brings to it; so no shared disk is needed, only
tightfit on every machine. The batches are those of one process, and so are the answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tightfit.data.batches import FP32_PADDED_TOKENS, Batch
from tightfit.encoder import LogitsOfTexts
from tightfit.engines.engine import torch_engine
from tightfit.extras import require

UNDER_WAY = 2
"""Batches that each process has or awaits: none waits for work, and memory stays flat."""


class Worker:
    """One process's copy of the model."""

    def __init__(self, model: LogitsOfTexts) -> None:
        # Ray gives each process one processor.
        torch.set_num_threads(1)
        self._engine = torch_engine(model)

    def logits(
        self,
        ids_BL: NDArray[np.int64],
        mask_BL: NDArray[np.int64],
        segments_BL: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """``logits_BK`` of one batch."""
        # What Ray hands over may not be written to, of which torch warns.
        ids, mask = (torch.from_numpy(each.copy()) for each in (ids_BL, mask_BL))
        segments = None if segments_BL is None else torch.from_numpy(segments_BL.copy())
        padded = not bool(mask.all())
        batch = Batch(ids, mask, None, torch.arange(len(ids)), padded, segments)
        return self._engine.logits(batch)


@dataclass(frozen=True)
class RayEngine:
    """PyTorch in fp32 in many processes."""

    workers: tuple[Any, ...]
    multiple: int = 1
    padded_tokens: int = FP32_PADDED_TOKENS

    @classmethod
    def open(cls, model: LogitsOfTexts) -> RayEngine:
        """One process for each processor of the cluster that ``RAY_ADDRESS`` names, else of here.

        Raises:
            MissingExtraError: Ray is not installed.
        """
        ray = require("ray", "the engine ray")
        if not ray.is_initialized():
            ray.init(logging_level="ERROR", log_to_driver=False, include_dashboard=False)
        shared = ray.put(model)
        count = max(1, int(ray.cluster_resources().get("CPU", 1)))
        remote = ray.remote(num_cpus=1)(Worker)
        return cls(tuple(remote.remote(shared) for _ in range(count)))

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """``logits_BK`` of one batch."""
        return next(self.spread([batch]))

    def spread(self, batches: Iterable[Batch]) -> Iterator[NDArray[np.float32]]:
        """``logits_BK`` of each batch, in order; the processes take them in turn."""
        ray = require("ray", "the engine ray")
        pending: deque[Any] = deque()
        for number, batch in enumerate(batches):
            worker = self.workers[number % len(self.workers)]
            given = [tensor.numpy() for tensor in batch.inputs.values()]
            pending.append(worker.logits.remote(*given))
            if len(pending) == UNDER_WAY * len(self.workers):
                yield ray.get(pending.popleft())
        while pending:
            yield ray.get(pending.popleft())
