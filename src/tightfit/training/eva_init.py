"""Where A starts: at the leading directions of what each layer reads (EVA, arXiv:2410.07170).

An adapter sees of its layer's input only what A lets through. A random A lets random directions
through; the leading principal components of the activations carry the most of what is there. B
starts at zero all the same, so that training starts at the frozen encoder's answers.

PEFT has a helper for this; it goes on until every component stands still, which a small data set
may never reach. Here a fixed number of rows is looked at, in batches, as in the paper.

Shapes: B rows, L tokens, T tokens that are no padding, I width in, R rank.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from tightfit.data.batches import collate
from tightfit.extras import lazy
from tightfit.model.adapters import AdapterPair, adapter_pairs, base_model
from tightfit.progress import Progress
from tightfit.training.setup import Setup

if TYPE_CHECKING:
    from sklearn import decomposition
else:  # which no other start waits for
    decomposition = lazy("sklearn.decomposition", "this start")

ROWS, BATCH = 192, 64
"""Rows that are looked at, and how many at a time."""

MOST_TOKENS = 1000
"""Of one batch: the SVD of more would take longer than it is worth."""

Inputs = Mapping[str, Sequence[torch.Tensor]]
"""What each adapted layer read in one forward pass, once for each time it was called."""


@torch.no_grad()
def start_at_eva(setup: Setup, progress: Progress) -> None:
    """Put the leading principal components of each layer's input into the rows of its A.

    Where there are fewer tokens than ranks, the ranks left over keep their random start. A pure
    function of the setup: nothing is drawn from torch's generators.
    """
    pairs = adapter_pairs(setup.classifier.module)
    setup.classifier.module.eval()
    chance = np.random.default_rng(setup.config.seed)
    rows_N = chance.permutation(len(setup.train.targets))[:ROWS]
    fitted: dict[str, decomposition.IncrementalPCA] = {}
    with (
        progress.track("directions of activations", len(rows_N)) as bar,
        _seen(setup, pairs) as seen,
    ):
        for start in range(0, len(rows_N), BATCH):
            rows = rows_N[start : start + BATCH].tolist()
            batch = collate(setup.train.tokens, rows).to(setup.classifier.device)
            seen.clear()
            setup.classifier.logits(batch)
            keep_T = np.flatnonzero(batch.mask_BL.flatten().cpu().numpy())
            chosen_T = chance.permutation(keep_T)[:MOST_TOKENS]
            _add(fitted, seen, chosen_T, {pair.name: len(pair.a_RI) for pair in pairs})
            bar.advance(len(rows))
    for pair in pairs:
        components_RI = torch.from_numpy(fitted[pair.name].components_)[: len(pair.a_RI)]
        pair.a_RI[: len(components_RI)] = components_RI.to(pair.a_RI)


def _add(
    fitted: dict[str, decomposition.IncrementalPCA],
    seen: Inputs,
    chosen_T: NDArray[np.int64],
    ranks: Mapping[str, int],
) -> None:
    """One batch more; layers that read the same input, as query and value do, share their PCA."""
    readers: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for name, inputs in seen.items():
        readers[tuple(map(id, inputs))].append(name)
    for names in readers.values():
        x_TI = torch.cat([x.flatten(0, -2)[chosen_T] for x in seen[names[0]]]).float().cpu().numpy()
        if names[0] not in fitted:
            rank = min(max(ranks[name] for name in names), *x_TI.shape)
            fitted.update(dict.fromkeys(names, decomposition.IncrementalPCA(n_components=rank)))
        fitted[names[0]].partial_fit(x_TI)


@contextmanager
def _seen(setup: Setup, pairs: Sequence[AdapterPair]) -> Iterator[dict[str, list[torch.Tensor]]]:
    """A record of what the adapted layers read, as long as this lasts."""
    seen: dict[str, list[torch.Tensor]] = {}
    model = base_model(setup.classifier.module)
    hooks = [
        model.get_submodule(pair.name).register_forward_pre_hook(
            lambda _, inputs, name=pair.name: seen.setdefault(name, []).append(inputs[0])
        )
        for pair in pairs
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
