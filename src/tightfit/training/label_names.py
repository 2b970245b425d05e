"""Label names as rows: what a class is called says what its texts are about, if it says anything.

Below some rows a class a sentence with its name is a training row of the class like any other
(anchored SetFit gains 12 points so at two rows a class). A name that says little does harm. So a
gate asks the rows: names are used where a probe is surer of rows that it did not see with them
than without.

Shapes: N rows, K labels, F width of the features.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tightfit.config import ASKED, Config, Decision, Use
from tightfit.data.label_strata import rows_a_class
from tightfit.data.name_sentences import sentences
from tightfit.data.readability import readability
from tightfit.data.text_tokenizer import TextTokenizer
from tightfit.errors import first_few
from tightfit.tasks.dataset import FEW_IN_ALL, FEW_ROWS, Dataset
from tightfit.tasks.solved_head import out_of_fold
from tightfit.training.answers import Answers
from tightfit.training.probe import frozen_features
from tightfit.training.setup import Rows, Setup

PROBE_STRENGTH = 10.0
"""Inverse strength of the penalty of the probes that are compared."""

MOST_NAMED = 32
"""Rows a class up to which names are asked about, where rows in all are few: with 60 they did
more harm than good (docs/experiments/few-rows.md)."""

SHOWN = 3
"""Names that are named as examples."""

NAME_ROWS = 5
"""As so many rows a sentence counts in a head that is solved, which is up to half a point better
than as one. In steps more do harm where names say little (docs/experiments/few-rows.md)."""


def name_texts(config: Config, dataset: Dataset) -> list[str]:
    """A sentence for each label, in their order; none where names are no use or not wanted."""
    if why_no_names(config, dataset):
        return []
    found = sentences(dataset.task.names, config.data.label_descriptions)
    return [text for text in found if text is not None]


def why_no_names(config: Config, dataset: Dataset) -> str:
    """Why no sentence is a row, whatever a gate would say of them; nothing where each may be."""
    task, data, rows = dataset.task, config.data, len(dataset.train)
    if not task.one_class:
        return "they are for one label a text"
    # Where there are no rows the names are all there is.
    if rows and data.label_names == "off":
        return ASKED
    if rows and config.optim.objective == "cross-entropy":
        return "optim.objective=cross-entropy has no use for them"
    # A sentence is one text, and says nothing of how two belong together.
    if rows and data.pair:
        return "they say nothing of pairs of texts"
    each = rows_a_class(dataset.train.targets.tolist())
    if rows and each > (MOST_NAMED if rows <= FEW_IN_ALL else FEW_ROWS):
        return f"{each:.3g} rows a class, {rows:,} in all, are too many for them to help"
    found = zip(task.names, sentences(task.names, data.label_descriptions), strict=True)
    silent = [repr(name) for name, text in found if text is None]
    if silent:
        return f"no word is in {first_few(silent, SHOWN)}; data.label_descriptions can say more"
    return ""


def with_names(setup: Setup) -> Setup:
    """The setup with the sentences, its last training rows, or without them, as the gate says.

    Args:
        setup: its encoder is as it was loaded.
    """
    train = setup.train
    if train.named_N is None:
        return setup
    decision = setup.decisions.label_names or _gate(setup, int(train.named_N.sum()))
    if decision.value == "left out":
        train = replace(train.select(np.flatnonzero(~train.named_N).tolist()), named_N=None)
    return replace(setup, train=train).with_decisions(label_names=decision)


def as_solved(rows: Rows) -> Rows:
    """Training rows, each counting as much as it does in a head that is solved."""
    if rows.named_N is None or rows.named_N.all():
        return rows
    own_N = np.ones(len(rows)) if rows.weights_N is None else rows.weights_N
    return replace(rows, weights_N=np.where(rows.named_N, NAME_ROWS * own_N, own_N))


def _gate(setup: Setup, names: int) -> Decision[Use]:
    if setup.config.data.label_names == "on":
        return Decision("used", ASKED)
    targets_N = setup.train.targets[:-names]
    if not len(targets_N):
        return Decision("used", "no row has a label")
    if short := _abbreviated(setup):
        return Decision("left out", short)
    features_NF = frozen_features(setup, np.arange(len(setup.train.targets)))
    alone, named = (
        _loss(setup, features_NF, unscored=unscored, rows=len(targets_N) + unscored)
        for unscored in (0, names)
    )
    words = (
        f"out of fold the log loss of a probe is {named:.3f} with them and {alone:.3f} without, on "
        f"{len(targets_N)} rows"
    )
    return Decision("used" if named < alone else "left out", words)


def _abbreviated(setup: Setup) -> str:
    """Why the names are taken for codes, or nothing.

    On few rows their sentences help a frozen probe as any rows do, but tuning towards them cost 7
    and 9 points where names were HUM and ENTY (docs/experiments/few-rows.md).
    """
    names, described = setup.classifier.task.names, setup.config.data.label_descriptions
    capitals = [name for name in names if name.isupper() and name not in described]
    if 2 * len(capitals) <= len(names):
        return ""
    # What is one token in small letters may be several in capitals.
    words = [name.lower() for name in capitals]
    if readability(TextTokenizer.of(setup.source.folder), words).verdict == "reads":
        return ""
    return (
        f"{', '.join(capitals[:SHOWN])} look like abbreviations; data.label_descriptions can say "
        "what they mean"
    )


def _loss(setup: Setup, features_NF: NDArray[np.float32], *, unscored: int, rows: int) -> float:
    """Of a probe on the first rows, at the temperature that suits it best; sentences among them
    are trained on, and not scored."""
    task, own = setup.classifier.task, setup.train.select(range(rows))
    # In parts of its own: those of a cross-validation are for what is chosen by it.
    solved = replace(as_solved(own), parts_N=None)
    given = features_NF[:rows], solved, task.outputs, PROBE_STRENGTH
    logits_NK = out_of_fold(*given, seed=setup.config.seed, unscored=unscored)
    scored = own.select(range(rows - unscored))
    found = Answers(task, logits_NK.astype(np.float32), scored.targets, scored.weights_N)
    return found.scores[0]
