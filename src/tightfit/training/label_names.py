"""Label names as rows: what a class is called says what its texts are about, if it says anything.

Below some rows a class a sentence with its name is a training row of the class like any other
(anchored SetFit gains 12 points so at two rows a class). A name that says little does harm. So a
gate asks the rows: names are used where the nearest name tells their classes better than chance
does, and at least as well as the other rows do.

Shapes: N rows, K labels, F width of the features.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from tightfit.config import ASKED, Config, Decision, NamesUse
from tightfit.tasks.dataset import FEW_ROWS, Dataset
from tightfit.tasks.solved_head import right_out_of_fold
from tightfit.training.probe import frozen_features
from tightfit.training.setup import Setup

TEMPLATE = "The topic is about {}"
"""The sentence of anchored SetFit."""

SIGNIFICANT = 0.05
"""Largest p-value of the one-sided binomial test against chance."""


def name_texts(config: Config, dataset: Dataset) -> list[str]:
    """A sentence for each label, in their order; none where names are no use or not wanted."""
    names, described = dataset.task.names, config.data.label_descriptions
    if not dataset.task.one_class:
        return []
    each = len(dataset.train_targets) / max(1, len(set(dataset.train_targets.tolist())))
    wanted = config.data.label_names != "off" and config.optim.objective != "cross-entropy"
    if not wanted or each > FEW_ROWS:
        return []
    texts = [described.get(name) or _sentence(name) for name in names]
    return [text for text in texts if text is not None] if all(texts) else []


def _sentence(name: str) -> str | None:
    """Of a name that has a word in it, not only a number or a letter."""
    words = " ".join(re.split(r"[\W_]+", name)).strip()
    return TEMPLATE.format(words) if re.search(r"[^\W\d_]{2}", words) else None


def with_names(setup: Setup, names: int) -> Setup:
    """The setup with the sentences, its last training rows, or without them, as the gate says.

    Args:
        setup: its encoder is as it was loaded.
        names: how many of the training rows are such sentences, none among them.
    """
    if not names:
        return setup
    decision = setup.decisions.label_names or _gate(setup, names)
    count = len(setup.train.targets) - names
    train = setup.train if decision.value == "used" else setup.train.select(range(count))
    return replace(setup, train=train, decisions=replace(setup.decisions, label_names=decision))


def _gate(setup: Setup, names: int) -> Decision[NamesUse]:
    if setup.config.data.label_names == "on":
        return Decision("used", ASKED)
    targets_N = setup.train.targets[:-names]
    features_NF = frozen_features(setup, np.arange(len(setup.train.targets)))
    nearest = int((_nearest(features_NF, names) == targets_N).sum())
    probed = right_out_of_fold(features_NF[:-names], targets_N, names, setup.config.seed)
    count = len(targets_N)
    p_value = binomtest(nearest, count, 1 / names, alternative="greater").pvalue
    words = (
        f"the nearest name is that of {nearest} of {count} rows (p = {p_value:.2g}); "
        f"a probe on the other rows is right in {probed}"
    )
    return Decision("used" if p_value < SIGNIFICANT and nearest >= probed else "left out", words)


def _nearest(features_NF: NDArray[np.float32], names: int) -> NDArray[np.int64]:
    """The name, of the last rows, whose sentence is nearest to each of the other rows."""
    unit_NF = features_NF / np.linalg.norm(features_NF, axis=1, keepdims=True)
    found: NDArray[np.int64] = (unit_NF[:-names] @ unit_NF[-names:].T).argmax(1)
    return found
