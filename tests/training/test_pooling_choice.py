"""``head.pooling=auto``: by what a probe does with either state, and by rows if it cannot tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.encoder.artefacts import assert_close
from tests.fixtures import Encoders
from tests.model.test_lean import batch_of
from tests.toy_setups import TEXTS, Notes, toy_classifier, toy_settings, toy_table
from tests.toys import WITH_MEAN, toy_encoder
from tightfit.config import ASKED, Decision, Decisions
from tightfit.encoder import FrozenEncoder, UnknownInside
from tightfit.encoder.network import bare_network
from tightfit.encoder.on_torch import TorchForward
from tightfit.families import Pooling
from tightfit.model.lean import LeanEncoder
from tightfit.model.locate import locate
from tightfit.progress import Progress
from tightfit.tasks.dataset import read_dataset
from tightfit.training.frozen_probe import FrozenProbe
from tightfit.training.pooling_choice import choose_pooling, decide_pooling
from tightfit.training.prepare import plan_for, prepare


def right(share: float, rows: int = 1000) -> NDArray[np.bool_]:
    """So many rows answered rightly, the first ones."""
    return np.arange(rows) < share * rows


@pytest.mark.parametrize(
    ("first", "mean", "rows", "pooling"),
    [
        (0.60, 0.80, 20_000, "mean"),
        (0.80, 0.60, 100, "first"),
        (0.80, 0.801, 100, "mean"),
        (0.80, 0.799, 3_999, "mean"),
        (0.80, 0.801, 4_000, "first"),
        (0.80, 0.80, 20_000, "first"),
    ],
)
def test_the_better_one_or_by_rows(first: float, mean: float, rows: int, pooling: str) -> None:
    """Of two that differ by one row in a thousand neither is better: its error is as large."""
    found = choose_pooling(right(first), right(mean), rows)
    assert found.value == pooling
    assert f"mean {mean:.1%}, first token {first:.1%}, accuracy" in found.reason
    assert "on 1,000 unseen rows" in found.reason
    assert ("within the error" in found.reason) == (abs(first - mean) < 0.1)


@pytest.mark.parametrize("family", WITH_MEAN)
def test_both_states_of_one_pass_are_those_of_either(family: str, encoders: Encoders) -> None:
    """What the output layers of two classifiers would read."""
    both = TorchForward(bare_network(FrozenEncoder.of(encoders(family))))
    for number, pooling in enumerate(("first", "mean")):
        settings = ("adapters.method=none", f"head.pooling={pooling}")
        classifier = toy_classifier(encoders(family), *settings)
        batch = batch_of(classifier, TEXTS)
        lean = LeanEncoder(classifier.module, torch.float32, classifier.plan.pooling)
        due = lean.prefix(batch)[:, 0]
        if pooling == "first" and family == "bert":
            due = classifier.module.get_submodule("bert.pooler")(due[:, None])
        assert_close(both.states(batch)[number], due.numpy())


def decided(encoder: Path, *settings: str, rows: int = 64) -> Decision[Pooling]:
    """The decision over toy rows."""
    config = toy_settings(encoder, "head.pooling=auto", "head.kind=auto", *settings)
    dataset = read_dataset(config, toy_table(rows), None, None)
    return decide_pooling(FrozenProbe(config, dataset, Progress()), locate(str(encoder)))


def test_it_is_decided_from_training_rows(bert: Path) -> None:
    """On toys, whose classes are in their words, the mean tells them apart and says so."""
    found = decided(bert, rows=300)
    assert found == decided(bert, rows=300)
    assert found.value == "mean"
    assert "accuracy of a linear probe on" in found.reason


@pytest.mark.parametrize(
    ("family", "settings", "rows", "pooling", "reason"),
    [
        ("bert", ("head.pooling=first",), 64, "first", ASKED),
        ("bert", ("head.pooling=mean",), 64, "mean", ASKED),
        ("bert", (), 10, "mean", "9 rows are too few"),
        ("bert", ("head.kind=stock",), 64, "first", "was trained on first tokens"),
        ("albert", (), 64, "first", "no block of albert"),
        ("bert", ("adapters.method=ia3",), 64, "first", "adapters.method=ia3 leaves"),
    ],
)
def test_where_nothing_is_to_be_compared(
    family: str,
    settings: tuple[str, ...],
    rows: int,
    pooling: str,
    reason: str,
    encoders: Encoders,
) -> None:
    """Asked for, impossible, or too few rows."""
    found = decided(encoders(family), *settings, rows=rows)
    assert (found.value, reason in found.reason) == (pooling, True)


def test_an_encoder_that_only_transformers_computes_gives_the_first_token(
    bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one whose positions are relative."""

    def refuse(folder: Path) -> FrozenEncoder:
        raise UnknownInside("positions are not absolute")

    monkeypatch.setattr(FrozenEncoder, "of", refuse)
    assert decided(bert) == Decision("first", "positions are not absolute")


def test_a_configured_mean_is_told_as_what_it_is(tmp_path: Path) -> None:
    """The stock head reads it, without a block of ours."""
    encoder, notes = toy_encoder(tmp_path, "modernbert", classifier_pooling="mean"), Notes()
    found = decided(encoder)
    config = toy_settings(encoder, "head.pooling=auto", "head.kind=auto")
    dataset, source = read_dataset(config, toy_table(), None, None), locate(str(encoder))
    plan = plan_for(config, source, 2, pooling=found.value)
    prepare(config, dataset, source, plan, chosen={"pooling": found}, progress=notes)
    assert "the head reads the mean of all tokens: its configuration says so" in notes.said


def test_the_setup_keeps_the_decision_and_tells_it(bert: Path) -> None:
    """A resumed one takes it over as it is."""
    notes, found = Notes(), Decision[Pooling]("mean", "it was better")
    config = toy_settings(bert, "head.pooling=auto", "head.kind=auto")
    dataset, source = read_dataset(config, toy_table(), None, None), locate(str(bert))
    plan = plan_for(config, source, 2, pooling=found.value)
    setup = prepare(config, dataset, source, plan, chosen={"pooling": found}, progress=notes)
    assert setup.decisions.pooling == found
    assert setup.lean is not None
    assert "the head reads the mean of all tokens: it was better" in notes.said
    again = Decisions.from_json(setup.decisions.to_json())
    setup = prepare(config, dataset, source, plan, decided=again, progress=notes)
    assert setup.decisions.pooling == found
