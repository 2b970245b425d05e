"""Label names as rows: which of them are sentences, what the gate asks, and what it tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.toy_setups import FEW, Notes, toy_settings
from tightfit.config import Config
from tightfit.data.table import Table
from tightfit.errors import SettingsError
from tightfit.model.adapters import output_layer
from tightfit.model.locate import locate
from tightfit.tasks.dataset import Dataset, read_dataset
from tightfit.tasks.labelled_rows import LabelledRows
from tightfit.tasks.solved_head import HeadProblem
from tightfit.training import label_names
from tightfit.training.cross_validate import cross_validate
from tightfit.training.label_names import NAME_ROWS, _loss, name_texts
from tightfit.training.prepare import plan_for, prepare
from tightfit.training.probe import frozen_features
from tightfit.training.setup import Setup
from tightfit.training.solve import solve_head

SPORT, MONEY = "goal match team coach".split(), "stock market shares bank".split()


def named(encoder: Path, names: list[int | str], *settings: str) -> tuple[Config, Dataset]:
    """Eight rows, four of each of two labels."""
    table = Table([*SPORT, *MONEY], [names[0]] * 4 + [names[1]] * 4, source="toys")
    config = toy_settings(encoder, *FEW, *settings)
    return config, read_dataset(config, table, None, None)


def prepared(encoder: Path, names: list[int | str], *settings: str) -> tuple[Setup, Notes]:
    """The setup of such rows, and what was said."""
    config, dataset = named(encoder, names, *settings)
    source, notes = locate(str(encoder)), Notes()
    plan = plan_for(config, source, dataset.task.outputs)
    return prepare(config, dataset, source, plan, progress=notes), notes


def test_a_name_is_made_words(bert: Path) -> None:
    """Underscores and hyphens part them."""
    texts = name_texts(*named(bert, ["lost_or-stolen card", "sport"]))
    assert texts == ["The topic is about lost or stolen card", "The topic is about sport"]


@pytest.mark.parametrize("name", ["खेल", "ข่าวกีฬา", "செய்தி", "E\u0301conomie", "می\u200cرفت"])
def test_signs_on_letters_part_no_words(name: str, bert: Path) -> None:
    """Vowel signs, accents of their own and joiners: the name stands in its sentence as it is."""
    assert f"The topic is about {name}" in name_texts(*named(bert, [name, "sport"]))


@pytest.mark.parametrize(
    ("names", "settings", "why"),
    [
        ([0, 1], ["data.label_names=on"], "no word is in '0', '1'"),
        (["sport", "money"], ["data.label_names=on", "optim.objective=cross-entropy"], "no use"),
    ],
)
def test_names_that_were_asked_for_and_are_no_use_are_told(
    names: list[int | str], settings: list[str], why: str, bert: Path
) -> None:
    """They are left out whatever was asked."""
    _, notes = prepared(bert, names, *settings)
    (told,) = (words for words in notes.warned if "label names are left out" in words)
    assert why in told


@pytest.mark.parametrize("names", [[0, 1], ["1.5", "2.5"], ["a", "b"], ["x1", "sport"]])
def test_names_without_a_word_are_no_rows(names: list[int | str], bert: Path) -> None:
    """Numbers and letters say nothing, and some of the names are not enough."""
    assert name_texts(*named(bert, names)) == []


@pytest.mark.parametrize(
    ("labels", "rows", "asked"), [(2, 32, True), (2, 40, False), (6, 16, True), (6, 30, False)]
)
def test_names_are_asked_about_where_rows_are_few(
    labels: int, rows: int, asked: bool, bert: Path
) -> None:
    """Of a class and, with more than 16 of one, in all."""
    names = ["sport", "money", "weather", "food", "music", "law"][:labels]
    table = Table([f"text {i}" for i in range(labels * rows)], names * rows, source="toys")
    config = toy_settings(bert, *FEW)
    found = name_texts(config, read_dataset(config, table, None, None))
    assert len(found) == (labels if asked else 0)


def test_a_description_stands_in_place_of_a_name(bert: Path, tmp_path: Path) -> None:
    """From a file of sentences."""
    file = tmp_path / "labels.toml"
    file.write_text('"0" = "It is about a goal"\n"1" = "It is about a bank"\n')
    texts = name_texts(*named(bert, [0, 1], f"data.label_descriptions={file}"))
    assert texts == ["It is about a goal", "It is about a bank"]


def test_a_file_of_descriptions_that_is_none_is_told(bert: Path) -> None:
    """As a mistake in the settings."""
    with pytest.raises(SettingsError, match="no TOML file of sentences"):
        toy_settings(bert, "data.label_descriptions=nowhere.toml")


@pytest.mark.parametrize("asked", ["off", "on"])
def test_they_can_be_asked_for_and_forbidden(asked: str, bert: Path) -> None:
    """Then no gate is asked."""
    setup, _ = prepared(bert, ["sport", "money"], f"data.label_names={asked}")
    assert len(setup.train.targets) == (10 if asked == "on" else 8)
    if asked == "on":
        assert setup.train.targets[-2:].tolist() == [0, 1]


@pytest.mark.parametrize(("named", "verdict"), [(0.4, "used"), (0.6, "left out")])
def test_the_gate_asks_whether_a_probe_is_surer_with_them(
    named: float, verdict: str, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of rows that it did not see; both losses are told."""
    monkeypatch.setattr(label_names, "_loss", lambda *_, unscored, **__: named if unscored else 0.5)
    setup, notes = prepared(bert, ["sport", "money"])
    assert setup.decisions.label_names is not None
    assert setup.decisions.label_names.value == verdict
    told = f"label names are {verdict}: out of fold the log loss of a probe is {named:.3f} with"
    assert told in str(notes.said)
    assert len(setup.train.targets) == (10 if verdict == "used" else 8)


@pytest.mark.parametrize(
    ("names", "verdict"),
    [(["HUM", "ENTY"], "left out"), (["GOAL", "BANK"], "used"), (["HUM", "bank"], "used")],
)
def test_capitals_that_are_no_words_are_left_out(
    names: list[int | str], verdict: str, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where most names are such, though a probe were surer with them."""
    monkeypatch.setattr(label_names, "_loss", lambda *_, unscored, **__: 0.4 if unscored else 0.5)
    setup, notes = prepared(bert, names)
    assert setup.decisions.label_names is not None
    assert setup.decisions.label_names.value == verdict
    assert ("ENTY, HUM look like abbreviations" in str(notes.said)) == (verdict == "left out")


def test_a_description_tells_what_an_abbreviation_means(bert: Path, tmp_path: Path) -> None:
    """Then the rows are asked as they are of any other name."""
    file = tmp_path / "labels.toml"
    file.write_text('HUM = "It is about a goal"\nENTY = "It is about a bank"\n')
    setup, _ = prepared(bert, ["HUM", "ENTY"], f"data.label_descriptions={file}")
    assert setup.decisions.label_names is not None
    assert "log loss" in setup.decisions.label_names.reason


def test_a_sentence_counts_as_several_rows_where_a_head_is_solved(bert: Path) -> None:
    """And as one in the steps before."""
    setup, _ = prepared(bert, ["sport", "money"], "data.label_names=on")
    assert setup.train.weights_N is None
    solve_head(setup, frozen=False)
    rows_N = [*range(8), *NAME_ROWS * [8, 9]]
    features_NF = frozen_features(setup, np.arange(10))[rows_N]
    strength = setup.config.contrastive.strength
    rows = LabelledRows(setup.train.targets[rows_N])
    alike = HeadProblem.of(features_NF, rows, 2, strength).solve()
    layer = output_layer(setup.classifier.module, setup.classifier.plan)
    np.testing.assert_allclose(layer.weight.detach().numpy(), alike.weight_KF, atol=1e-4)


def test_its_loss_is_that_of_probes_solved_without_a_row(bert: Path) -> None:
    """A sentence that is the rows themselves makes them surer; a wrong one does not."""
    setup, _ = prepared(bert, ["sport", "money"], "data.label_names=on")
    rng = np.random.default_rng(0)
    features_NF = rng.normal(size=(10, 6)) + 3 * np.eye(6)[setup.train.targets]
    alone = _loss(setup, features_NF.astype(np.float32), unscored=0, rows=8)
    named = _loss(setup, features_NF.astype(np.float32), unscored=2, rows=10)
    features_NF[-2:] = features_NF[[-1, -2]]
    wrong = _loss(setup, features_NF.astype(np.float32), unscored=2, rows=10)
    assert named < alone < wrong


def test_a_name_is_never_scored(bert: Path) -> None:
    """It trains in every part of a cross-validation."""
    setup, _ = prepared(bert, ["sport", "money"], "data.label_names=on")
    crossed = cross_validate(setup, Notes()).out_of_fold
    assert crossed is not None
    assert crossed.trained.logits_NK.shape == (8, 2)
    assert setup.train.parts_N is not None
    assert setup.train.parts_N[-2:].tolist() == [-1, -1]


def test_weights_of_rows_reach_the_gate(bert: Path) -> None:
    """In the probes that are compared and in their losses; in whatever unit they are."""
    setup, _ = prepared(bert, ["goal team", "bank stock"], "data.label_names=on")
    rows, losses = len(setup.train.targets), []
    features_NF = frozen_features(setup, np.arange(rows))
    for weights_N in (None, np.full(rows, 1.0), np.where(np.arange(rows) % 2, 1.0, 9.0)):
        weighed = replace(setup, train=replace(setup.train, weights_N=weights_N))
        losses.append(_loss(weighed, features_NF, unscored=2, rows=rows))
    assert losses[0] == pytest.approx(losses[1])
    assert losses[0] != pytest.approx(losses[2], rel=1e-3)
