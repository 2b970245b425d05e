"""Baselines without an encoder, against scikit-learn and against counting by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from tests.toys import toy_rows
from tightfit.data.facts import DataFacts
from tightfit.data.labels import LabelSet
from tightfit.errors import DataError
from tightfit.experiments.baselines import run_baseline
from tightfit.experiments.cells import MAJORITY, TFIDF
from tightfit.tasks import MultiLabel, SingleLabel
from tightfit.tasks.dataset import Dataset
from tightfit.tasks.labelled_texts import LabelledTexts

NAMES = ("money", "sport", "never")


def dataset(texts: list[str], ids: list[int], held: list[str], held_ids: list[int]) -> Dataset:
    """Rows of three labels, the last of which need not occur."""
    task = SingleLabel.from_names(NAMES)
    train, validation = LabelledTexts(np.array(ids), texts), LabelledTexts(np.array(held_ids), held)
    return Dataset(task, train, validation, DataFacts("toys"))


def toy_material(train: int = 40, held: int = 40) -> Dataset:
    """Toy rows; the labels alternate."""
    texts = [row["text"] for row in toy_rows(train + held)]
    ids = [number % 2 for number in range(train + held)]
    return dataset(texts[:train], ids[:train], texts[train:], ids[train:])


def test_the_majority_is_counted() -> None:
    """Three of four training rows are sport, so that is what every row is called."""
    rows = dataset(["a", "b", "c", "d"], [1, 0, 1, 1], ["x"] * 5, [1, 1, 0, 2, 0])
    row = run_baseline(MAJORITY, rows)
    assert (row.trainable, row.accuracy.value) == (0, 0.4)


def test_words_are_those_of_scikit_learn() -> None:
    """The same classifier by hand gets the same rows right, with as many coefficients."""
    rows = toy_material()
    row = run_baseline(TFIDF, rows)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    counted = words.fit_transform(rows.train.texts)
    model = LogisticRegression(max_iter=1000).fit(counted, rows.train.targets)
    hits = model.predict(words.transform(rows.validation.texts)) == rows.validation.targets
    assert row.accuracy.value == hits.mean() > 0.9
    # Of two classes one is the other's opposite: one weight a word, and one intercept.
    assert row.trainable == len(words.vocabulary_) + 1


def test_a_label_without_training_rows_is_never_predicted() -> None:
    """Its rows are wrong, and nothing else goes wrong."""
    rows = toy_material()
    lost = dataset(
        rows.train.texts,
        rows.train.targets.tolist(),
        ["goal match", "season"],
        [NAMES.index("never")] * 2,
    )
    assert run_baseline(TFIDF, lost).accuracy.value == 0.0


def test_rows_of_one_class_teach_nothing() -> None:
    """Named, before scikit-learn says it in its own words."""
    with pytest.raises(DataError, match="single class") as caught:
        run_baseline(TFIDF, dataset(["goal", "match"], [1, 1], ["x"], [1]))
    assert "sport" in str(caught.value)


def test_texts_without_words() -> None:
    """A column of numbers or signs is probably the wrong column."""
    with pytest.raises(DataError, match="no word of two letters") as caught:
        run_baseline(TFIDF, dataset(["!", "?"], [0, 1], ["x"], [1]))
    assert "text_column" in str(caught.value)


def test_without_held_out_rows_each_is_scored_by_fits_without_it() -> None:
    """Labels at random are learnt by heart, and not right where they were not seen."""
    rows = toy_material(train=24)
    ids = np.random.default_rng(0).permutation(24) % 2
    own = replace(rows.train, targets=ids)
    seen = replace(rows, train=own, validation=own)
    assert run_baseline(TFIDF, seen).accuracy.value == 1
    seen = replace(seen, train=replace(own, parts_N=np.arange(24) % 4))
    assert run_baseline(TFIDF, seen).accuracy.value < 0.8


@pytest.mark.parametrize("name", [MAJORITY, TFIDF])
def test_a_class_whose_rows_are_all_in_one_part(name: str) -> None:
    """To the fits without that part every row is of the other class."""
    rows = toy_material(train=24)
    own = replace(rows.train, targets=np.array([0] + [1] * 23))
    crossed = replace(rows, train=replace(own, parts_N=np.arange(24) % 4), validation=own)
    assert run_baseline(name, crossed).accuracy.value == 23 / 24


def test_the_majority_has_a_label_that_every_row_has() -> None:
    """And none that no row has; of others it is as probable as frequent."""
    labels = LabelSet(NAMES, NAMES)
    targets_NK = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0]], dtype=np.int8)
    rows = LabelledTexts(targets_NK, ["a", "b", "c"])
    several = Dataset(MultiLabel(labels), rows, rows, DataFacts("toys"))
    found = run_baseline(MAJORITY, several)
    # Three are given and four due, of which three are right.
    assert found.scores["micro_f1"].value == pytest.approx(2 * 3 / 7)
