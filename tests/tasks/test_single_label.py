"""One label a text: losses, probabilities and answers against the plain way to each of them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax
from torch.nn import functional as F

from tightfit.data.labels import LabelSet
from tightfit.data.table import Table
from tightfit.errors import ArtefactError, UsageError
from tightfit.tasks import SingleLabel, read_task
from tightfit.tasks.labelled_rows import LabelledRows

TASK = SingleLabel.from_names(("World", "Sports", "<b>"))

TRAINED_N = np.array([0, 0, 0, 1, 2, 2])

LOGITS_BK = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [-3.0, 1.0, 4.0]])
TARGETS_B = torch.tensor([0, 2, 1])


def test_an_answer_waits_for_numpy_alone() -> None:
    """Torch, scipy and pyarrow take seconds; who answers a text needs none of them."""
    program = "import sys, tightfit.tasks; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    heavy = {"torch", "scipy", "sklearn", "pyarrow", "pandas", "transformers"}
    assert not heavy & set(loaded.stdout.decode().split())


def test_targets_are_the_ids_of_the_labels() -> None:
    """With as many rows of each label as there are, absent labels included."""
    table = Table(["x", "y", "z"], ["b", "a", "b"])
    task = SingleLabel.from_table(table, ("b", "c", "a"))
    targets_N = task.encode(table)
    assert (str(targets_N.dtype), targets_N.tolist()) == ("int64", [0, 2, 0])
    assert task.strata(targets_N) == [0, 2, 0]
    assert task.counts(targets_N) == {"b": 2, "c": 0, "a": 1}
    assert (task.outputs, task.names) == (3, ("b", "c", "a"))


def test_labels_json_there_and_back() -> None:
    """As runs of format 1 have it, which name no kind; of an unknown kind nothing is guessed."""
    task = SingleLabel(LabelSet(("a", "b"), (3, 1)))
    assert task.to_json() == {"names": ["a", "b"], "values": [3, 1]}
    assert read_task(task.to_json()) == read_task({"task": "single", **task.to_json()}) == task
    with pytest.raises(ArtefactError, match=r"does not know\n  seen:    ranking"):
        read_task({"task": "ranking"})


# Training


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_row_losses_are_what_the_paper_defines(smoothing: float) -> None:
    """Cross-entropy against (1 - s) of the label and s spread evenly over all classes."""
    target_BK = F.one_hot(TARGETS_B, 3) * (1 - smoothing) + smoothing / 3
    wanted_B = -(target_BK * LOGITS_BK.log_softmax(1)).sum(1)
    torch.testing.assert_close(TASK.row_losses(LOGITS_BK, TARGETS_B, smoothing), wanted_B)


def test_balanced_weights_are_one_on_average() -> None:
    """A row weighs by the inverse frequency of its class: 6 / (3 x 3), 6 / (3 x 1), 6 / (3 x 2)."""
    weights_K = TASK.class_weights(LabelledRows(TRAINED_N))
    np.testing.assert_array_equal(weights_K, np.array([2 / 3, 2.0, 1.0], dtype=np.float32))
    assert float(weights_K[TRAINED_N].mean()) == pytest.approx(1.0)


def test_a_class_without_rows_has_a_finite_weight() -> None:
    """It is never used, and must not be infinite."""
    assert np.isfinite(TASK.class_weights(LabelledRows(np.array([0, 0, 1])))).all()


def weighted(smoothing: float) -> torch.Tensor:
    """Our losses under class weights."""
    weights_K = torch.from_numpy(TASK.class_weights(LabelledRows(TRAINED_N)))
    return TASK.row_losses(LOGITS_BK, TARGETS_B, smoothing, weights_K)


def within_torch(smoothing: float) -> torch.Tensor:
    """What torch gives when it is handed the weights itself."""
    weights_K = torch.from_numpy(TASK.class_weights(LabelledRows(TRAINED_N)))
    options: dict[str, Any] = {"reduction": "none", "label_smoothing": smoothing}
    return F.cross_entropy(LOGITS_BK, TARGETS_B, weight=weights_K, **options)


def test_class_weights_do_not_bend_smoothed_labels() -> None:
    """A weighted row is the plain row times its weight; torch's own weights change the target.

    Without smoothing the two agree, which shows that it is the smoothing that makes them differ.
    """
    torch.testing.assert_close(weighted(0.0), within_torch(0.0))
    target_BK = F.one_hot(TARGETS_B, 3) * 0.9 + 0.1 / 3
    weights_B = torch.tensor([2 / 3, 1.0, 2.0])
    wanted_B = -weights_B * (target_BK * LOGITS_BK.log_softmax(1)).sum(1)
    torch.testing.assert_close(weighted(0.1), wanted_B)
    assert float((weighted(0.1) - within_torch(0.1)).abs().max()) > 0.05


def test_chance_is_the_loss_of_equal_logits() -> None:
    """Which is what a training that diverges is measured by."""
    equal = TASK.row_losses(torch.zeros(1, 3), torch.tensor([1]))
    assert float(equal) == pytest.approx(TASK.chance_loss)


# Answers


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_probabilities_are_scipys(temperature: float) -> None:
    """Bit for bit, however large the logits; of no rows there are none."""
    logits_NK = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32) * 300
    found_NK = TASK.probabilities(logits_NK, temperature)
    wanted_NK = softmax(logits_NK.astype(np.float64) / temperature, axis=1)
    np.testing.assert_array_equal(found_NK, wanted_NK)
    np.testing.assert_array_equal(TASK.answers(found_NK), logits_NK.argmax(1))
    assert TASK.probabilities(logits_NK[:0]).shape == (0, 3)


@pytest.mark.parametrize("temperature", [0, -1.0, np.inf, np.nan])
def test_a_temperature_must_be_positive(temperature: float) -> None:
    """The error shows the value."""
    with pytest.raises(UsageError, match=rf"above 0 and finite\n  seen:    {temperature}"):
        TASK.probabilities([[0.0, 1.0]], temperature)


def test_answers_are_right_alike_in_numpy_and_torch() -> None:
    """The first of equals is the answer, as both libraries have it."""
    logits_NK = np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 1.0], [0.0, 0.0, 0.0]])
    targets_N = np.array([0, 2, 0])
    of_torch = TASK.right(torch.from_numpy(logits_NK), torch.from_numpy(targets_N))
    assert TASK.right(logits_NK, targets_N).tolist() == of_torch.tolist() == [True, False, True]


def test_chances_of_the_own_answer_are_the_confidence() -> None:
    """Of another answer, what the probabilities give it."""
    shares_NK = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    assert TASK.confidence(shares_NK).tolist() == [0.5, 0.7]
    assert TASK.chances(shares_NK, np.array([2, 0])).tolist() == [0.2, 0.1]


def said(**more: Any) -> Any:
    """Predictions of three texts."""
    return TASK.predictions(np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.4, 0.3, 0.3]]), **more)


def test_a_data_frame_of_predictions() -> None:
    """What is not sure enough has no label."""
    frame = said(threshold=0.5).to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame) == [*("label", "confidence", "World", "Sports", "<b>")]
    assert frame["label"][:2].tolist() == ["World", "<b>"]
    assert frame["label"].isna().tolist() == [False, False, True]
    assert frame["confidence"].tolist() == [0.7, 0.8, 0.4]
    assert frame["<b>"].tolist() == [0.1, 0.8, 0.3]


@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize(("label_format", "labels"), [("id", [0, 2]), ("name", ["World", "<b>"])])
def test_rows_have_the_columns_that_were_announced(
    label_format: Any, labels: list[Any], probabilities: bool
) -> None:
    """By name and by type, so that a file's schema is known before its first row."""
    rows = said().rows(label_format, probabilities=probabilities)
    columns = TASK.columns(label_format, probabilities=probabilities)
    assert [row["label"] for row in rows[:2]] == labels
    for row in rows:
        assert {name: type(value) for name, value in row.items()} == columns


def test_a_notebook_shows_labels_as_text() -> None:
    """Ten rows at most, and no label is taken for markup."""
    shown = said()._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown
    assert repr(said()) == "Predictions(3 texts: World 2, <b> 1)"
    many = TASK.predictions(np.tile([[0.2, 0.5, 0.3]], (12, 1)))._repr_html_()
    assert (many.count("Sports"), "and 2 more" in many) == (10, True)
