"""Rows that belong together are on one side of every split, those inside a training included."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest

from tests.toy_setups import FEW, toy_settings, toy_table
from tightfit.budget.parts import SidePlan
from tightfit.data.balanced import deal
from tightfit.data.table import Table
from tightfit.model.locate import locate
from tightfit.progress import Progress
from tightfit.tasks import linear_probe, solved_head
from tightfit.tasks.dataset import Dataset, read_dataset
from tightfit.training.frozen_probe import FrozenProbe
from tightfit.training.prepare import plan_for, prepare
from tightfit.training.probe import start_at_probe
from tightfit.training.setup import Setup
from tightfit.training.side_solver import SideSolver
from tightfit.training.solve import solve_head


def copied(*settings: str, groups: list[str | None] | None = None) -> Dataset:
    """Twelve rows, and the first four of them once more."""
    rows, labels = toy_table(12), toy_table(12).labels
    assert labels is not None
    texts = [*rows.texts, *rows.texts[:4]]
    table = Table(texts, [*labels, *labels[:4]], source="toys", groups=groups)
    return read_dataset(toy_settings(Path("none"), *FEW, *settings), table, None, None)


def in_windows(encoder: Path, *settings: str) -> Setup:
    """Those rows, most of them in several windows."""
    more = [*FEW, "data.long_text=windows", "data.max_length=6", *settings]
    config, dataset, source = toy_settings(encoder, *more), copied(), locate(str(encoder))
    plan = plan_for(config, source, dataset.task.outputs)
    return prepare(config, dataset, source, plan, progress=Progress())


def test_copies_of_a_text_have_one_number() -> None:
    """And all other rows have another."""
    assert copied().train.groups_N.tolist() == [*range(12), *range(4)]


def test_rows_of_a_group_have_one_number() -> None:
    """A text in two groups has two, as it has two sides."""
    by_author = ["data.split=group", "data.group_column=author"]
    found = copied(*by_author, groups=[*"aabbccddeeffaabc"]).train.groups_N
    assert found.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 0, 0, 1, 2]


def test_windows_have_the_number_of_their_text(bert: Path) -> None:
    """Sentences with the labels' names have numbers of their own."""
    rows = in_windows(bert, "data.label_names=on").train
    assert rows.alike_N is not None
    assert rows.parts_N is not None
    assert len(rows.targets) > 18
    assert set(rows.alike_N.tolist()) == set(range(14))
    assert (rows.parts_N[rows.alike_N >= 12] == -1).all()
    assert rows.select([3, 5]).alike_N == pytest.approx(rows.alike_N[[3, 5]])


@pytest.mark.parametrize("start", ["solved", "probe"])
def test_a_strength_is_not_chosen_by_windows_of_one_text(start: str, bert: Path) -> None:
    """Those that fit and those that score share no number."""
    setup = in_windows(bert, "data.label_names=off")
    module, name = (solved_head, "deal") if start == "solved" else (linear_probe, "held_first")
    with patch.object(module, name, wraps=getattr(module, name)) as split:
        if start == "solved":
            solve_head(setup, frozen=True)
        else:
            start_at_probe(setup, Progress())
    assert setup.train.alike_N is not None
    for call in split.call_args_list:
        assert sorted(call.args[name == "deal"]) == sorted(setup.train.alike_N.tolist())


def test_sentences_are_no_texts_that_are_cut(bert: Path) -> None:
    """Neither where the tails of long texts are decided on nor in the figures that are told."""
    given = [[f"data.label_names={use}", "data.long_text=auto"] for use in ("on", "off")]
    with_them, without = (in_windows(bert, *settings) for settings in given)
    assert with_them.decisions.long_text == without.decisions.long_text
    assert with_them.train.tokens.truncated == without.train.tokens.truncated
    assert len(with_them.train.tokens) == len(without.train.tokens) + 2


def test_the_gate_of_label_names_keeps_windows_together(bert: Path) -> None:
    """With the sentences and without them."""
    with patch.object(solved_head, "deal", wraps=deal) as split:
        in_windows(bert)
    assert [len(set(call.args[1])) for call in split.call_args_list] == [12, 12]


def test_a_side_head_and_probes_keep_copies_together() -> None:
    """Where rows are held out, too, and no parts are dealt beforehand."""
    dataset = copied("train.folds=0", "data.validation_rows=1")
    with patch.object(solved_head, "deal", wraps=deal) as split:
        SideSolver.of(dataset, SidePlan(64, 2), 0).unseen()
    different = len(set(dataset.train.texts))
    assert {len(set(call.args[1])) for call in split.call_args_list} == {different}
    probe = FrozenProbe(toy_settings(Path("none")), dataset, Progress())
    assert (
        len(set(zip(probe.sample.groups_N.tolist(), probe.sample.texts, strict=True))) == different
    )
