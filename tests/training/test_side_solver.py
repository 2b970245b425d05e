"""The side head's solution against scikit-learn's, and when it is worth its parameters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from tests.toy_setups import Notes, toy_settings, toy_table
from tightfit.budget.parts import SidePlan
from tightfit.config import Config, Decision, load_config
from tightfit.data.labels import LabelSet
from tightfit.data.table import Table
from tightfit.errors import ProofError, SettingsError
from tightfit.model.locate import locate
from tightfit.model.side_head import Ngrams, SideHead, counted
from tightfit.tasks import SingleLabel
from tightfit.tasks.dataset import Dataset, read_dataset
from tightfit.tasks.labelled_rows import LabelledRows
from tightfit.tasks.labelled_texts import LabelledTexts
from tightfit.tasks.linear_probe import RidgeProblem
from tightfit.tasks.rating import Rating
from tightfit.training.frozen_probe import FrozenProbe
from tightfit.training.side_choice import LEAST_NGRAMS, MOST_NGRAMS, decide_side, weigh_side
from tightfit.training.side_solver import SideSolver

ANIMALS = ("cat dog hen owl", "oak elm fir yew", "red tan sky jet")


def rows(count: int = 90) -> LabelledTexts:
    """Texts of three classes, each with a word of its own and one of any."""
    chance = np.random.default_rng(0)
    targets_N = np.arange(count) % 3
    words = [group.split() for group in ANIMALS]
    every = [word for group in words for word in group]
    texts = [f"{chance.choice(words[k])} {chance.choice(every)}" for k in targets_N]
    return LabelledTexts(targets_N, texts)


TASK = SingleLabel(LabelSet(("animal", "tree", "colour"), (1, 2, 3)))


def solver(given: LabelledTexts | None = None, width: int = 256, **more: Any) -> SideSolver:
    """On those rows, or on others."""
    return SideSolver(SidePlan(width, 3), TASK, given or rows(), seed=0, **more)


def test_the_solution_is_that_of_scikit_learn() -> None:
    """On the same features, at the strength that was chosen."""
    found, given = solver(), rows()
    texts, targets_N = given.texts, given.targets
    dense_NF, ngrams = np.zeros((len(texts), 256)), found.head.reader
    assert isinstance(ngrams, Ngrams)
    for row, text in enumerate(texts):
        places_T, values_T = ngrams.features(counted(text))
        dense_NF[row, places_T] = values_T
    model = LogisticRegression(C=found._strength, tol=1e-8, max_iter=5_000).fit(dense_NF, targets_N)
    theirs_NK = dense_NF @ model.coef_.T + model.intercept_
    ours_NK = found.head.logits(texts)
    centred = [each - each.mean(1, keepdims=True) for each in (ours_NK, theirs_NK)]
    assert np.abs(centred[0] - centred[1]).max() < 1e-2 * np.abs(theirs_NK).max()


def test_a_solution_is_proven_and_another_is_not() -> None:
    """At whatever factor it is kept."""
    found = solver()
    proof = found.is_solved(found.head.times(3.0), 3.0)
    assert proof.ok
    assert proof.numbers["parameters"] == 3 * 257
    moved = SideHead(found.head.weight_FK * 1.01, found.head.bias_K, found.head.reader)
    with pytest.raises(ProofError, match="not where its objective is least"):
        found.is_solved(moved, 1.0)


def test_a_row_of_weight_two_is_two_rows() -> None:
    """In the solution and in its features' rarity alone it counts once."""
    weights_N = np.where(np.arange(30) < 3, 2.0, 1.0)
    once, plain = (solver(replace(rows(30), weights_N=each), 64) for each in (weights_N, None))
    assert once.is_solved(once.head, 1.0).ok
    with pytest.raises(ProofError):
        once.is_solved(plain.head, 1.0)


def test_rows_are_answered_by_solutions_without_them() -> None:
    """A row of a label that its text belies is not answered as it was labelled."""
    given = rows()
    wrong_N = given.targets.copy()
    wrong_N[0] = 1
    unseen_NK = solver(LabelledTexts(wrong_N, ["cat dog", *given.texts[1:]])).unseen()
    assert unseen_NK[0].argmax() == 0
    assert (unseen_NK.argmax(1) == given.targets).mean() > 0.6


GROUPS_N = np.repeat(np.arange(12), 6)


def test_rows_of_one_part_say_nothing_of_each_other() -> None:
    """Texts of a group share a word, and a label drawn for all of it: who scores by groups must
    not know it from the others."""
    names = np.random.default_rng(0).choice(["x", "y", "z"], 12)[GROUPS_N].tolist()
    texts = [f"{'abcdefghijkl'[group] * 9} {row}" for row, group in enumerate(GROUPS_N)]
    table = Table(texts, names, groups=[str(group) for group in GROUPS_N])
    by_groups = ["train.folds=4", "data.split=group", "data.group_column=g"]
    dataset = read_dataset(load_config(settings=by_groups), table, None, None)
    alone = replace(dataset.train, alike_N=None, parts_N=None)
    together, apart = (
        (SideSolver.of(each, SidePlan(256, 3), 0).unseen().argmax(1) == each.train.targets).mean()
        for each in (replace(dataset, train=alone, folds=None), dataset)
    )
    assert together > 0.9
    assert apart < 0.6


def test_so_too_of_ratings() -> None:
    """By a ridge."""
    targets_N = np.random.default_rng(0).normal(size=12)[GROUPS_N]
    marks_NF = np.eye(12)[GROUPS_N] + np.random.default_rng(1).normal(0, 0.01, (72, 12))
    task = Rating(float(targets_N.mean()), float(targets_N.std()))
    problem = task.head_problem(marks_NF, LabelledRows(targets_N))
    together, apart = (
        task.row_scores(problem.unseen(parts_N), targets_N).mean()
        for parts_N in (None, GROUPS_N % 4)
    )
    assert together > 0.9
    assert apart < 0.2


def decided(bert: Path, *settings: str, rows: int = 128) -> tuple[Config, FrozenProbe]:
    """A probe over toy rows."""
    config = toy_settings(bert, "head.side=auto", "train.folds=0", *settings)
    dataset = read_dataset(config, toy_table(rows), None, None)
    return config, FrozenProbe(config, dataset, Notes())


def test_few_rows_are_left_out_in_the_parts_of_the_cross_validation(bert: Path) -> None:
    """One left out alone is missed by its own class: on noise a probe then says any other."""
    config = toy_settings(bert, "train.folds=auto")
    table = Table([f"zzz {row}" for row in range(24)], (np.arange(24) % 2).tolist())
    probe = FrozenProbe(config, read_dataset(config, table, None, None), Notes())
    source, wanted_N = locate(str(bert)), probe.sample.targets
    features_NF, answers_N = probe.features(source), np.empty(24)
    parts_N = probe.sample.parts_N
    assert parts_N is not None
    for part in np.unique(parts_N):
        own_N = parts_N == part
        others = RidgeProblem.of(features_NF[~own_N], np.eye(2)[wanted_N[~own_N]]).solve()
        outputs_NK = features_NF[own_N] @ others.weight_KF.T + others.bias_K
        answers_N[own_N] = outputs_NK.argmax(1)
    assert probe.scores(source, "mean").mean() == pytest.approx((answers_N == wanted_N).mean())
    alone = probe.dataset.task.unseen_scores(features_NF, LabelledRows(wanted_N))
    assert alone.mean() < 0.3 < probe.scores(source, "mean").mean()


def noisy(probe: FrozenProbe) -> FrozenProbe:
    """The probe with texts of letters that the toy vocabulary has not."""
    dataset, chance = probe.dataset, np.random.default_rng(0)
    marks = ["abcdefghijklm", "nopqrstuvwxyz"]
    # Of more n-grams than a side head is given.
    ends_NL = chance.integers(0x4E00, 0x9FA5, (len(dataset.train), 200))
    texts = [
        marks[target] * 3 + "".join(map(chr, end_L))
        for target, end_L in zip(dataset.train.targets, ends_NL, strict=True)
    ]
    read: Dataset = replace(dataset, train=replace(dataset.train, texts=texts))
    return FrozenProbe(probe.config, read, Notes())


def test_it_is_for_what_the_encoder_does_not_read(bert: Path) -> None:
    """On where all words are unknown to it, and off where characters tell no more than it."""
    config, probe = decided(bert)
    source = locate(str(bert))
    blind = decide_side(noisy(probe), source, "mean")
    assert blind is not None
    assert blind.value == MOST_NGRAMS
    assert "encoder and characters 100.0%," in blind.reason
    shuffled_N = np.random.default_rng(0).permutation(probe.dataset.train.targets)
    shuffled = replace(probe.dataset.train, targets=shuffled_N)
    noise = FrozenProbe(config, replace(probe.dataset, train=shuffled), Notes())
    none = decide_side(noise, source, "mean")
    assert none is not None
    assert none.value == 0


@pytest.mark.parametrize(("wrong", "due"), [(27, True), (36, False)])
def test_characters_far_behind_are_chance(
    bert: Path, monkeypatch: pytest.MonkeyPatch, wrong: int, *, due: bool
) -> None:
    """However much they seem to add: of 180 rows ten points are less than three errors."""
    _, probe = decided(bert, rows=200)
    targets_N = probe.sample.targets
    assert len(targets_N) == 180

    def outputs(wrong_N: slice) -> NDArray[np.float64]:
        said_N = targets_N.copy()
        said_N[wrong_N] = 1 - said_N[wrong_N]
        return 3 * np.eye(2)[said_N]

    monkeypatch.setattr(FrozenProbe, "features", lambda *_: outputs(slice(18)))
    monkeypatch.setattr(SideSolver, "unseen", lambda _: outputs(slice(18, 18 + wrong)))
    found = decide_side(probe, locate(str(bert)), "mean")
    assert found is not None
    assert "encoder alone 90.0%" in found.reason
    assert (found.value > 0) == due


def test_encoder_and_characters_have_read_the_same(bert: Path) -> None:
    """Encoders are compared on the first tokens, in which these texts say nothing."""
    config, probe = decided(bert)
    told = [
        f"of the of the of {['goal', 'bank'][target]} {row}"
        for row, target in enumerate(probe.dataset.train.targets)
    ]
    read = replace(probe.dataset, train=replace(probe.dataset.train, texts=told))
    short = FrozenProbe(config, read, Notes(), max_length=4)
    source = locate(str(bert))
    assert short.scores(source, "mean").mean() < 0.7
    found = decide_side(short, source, "mean")
    assert found is not None
    assert "encoder alone 100.0%" in found.reason


@pytest.mark.parametrize(
    ("settings", "width"),
    [
        (["adapters.rank=4", "budget.cap=20000"], 9_454),
        (["adapters.rank=4", "budget.cap=5000"], 0),
        (["adapters.rank=auto", "budget.cap=20000"], 4_982),
        (["adapters.method=none", "budget.cap=none"], MOST_NGRAMS),
    ],
)
def test_n_grams_are_what_the_cap_leaves(bert: Path, settings: list[str], width: int) -> None:
    """Of ranks that are set, all of it; where they are open, half of what the head leaves."""
    _, probe = decided(bert, "head.kind=linear", *settings)
    found = decide_side(noisy(probe), locate(str(bert)), "mean")
    assert found is not None
    assert found.value == width
    assert width or f"numbers of {LEAST_NGRAMS:,} that help" in found.reason


def test_few_rows_tell_nothing(bert: Path) -> None:
    """And off is off."""
    _, probe = decided(bert, rows=34)
    found = decide_side(noisy(probe), locate(str(bert)), "mean")
    assert found is not None
    assert "30 rows are too few to tell whether it helps" in found.reason
    off = toy_settings(bert, "head.side=off")
    assert decide_side(FrozenProbe(off, probe.dataset, Notes()), locate(str(bert)), "mean") is None


def test_few_rows_are_for_encoders_that_do_not_read_them(bert: Path) -> None:
    """Else what characters are ahead by may be chance, however far it is."""
    _, probe = decided(bert, rows=100)
    source = locate(str(bert))
    read, unread = (decide_side(each, source, "mean") for each in (probe, noisy(probe)))
    assert read is not None
    assert unread is not None
    assert read.value == 0
    assert "90 rows are few, and the encoder reads them: they fall into" in read.reason
    assert unread.value > 0


def weighed(signal: float, side_signal: float, rows: int = 200) -> Decision[float]:
    """What comes of two classifiers that see so much of the truth beside noise of one."""
    chance = np.random.default_rng(1)
    targets_N = chance.integers(0, 3, rows)
    truth_NK = np.eye(3)[targets_N]
    logits_NK, side_NK = (
        each * truth_NK + chance.normal(size=truth_NK.shape) for each in (signal, side_signal)
    )
    return weigh_side(TASK, logits_NK.astype(np.float32), side_NK, targets_N)


def test_it_counts_by_what_it_knows() -> None:
    """The more beside a classifier that knows less; nothing where it knows nothing."""
    even, strong, none = weighed(1.5, 1.5), weighed(0.2, 3.0), weighed(3.0, 0.0)
    assert 0.5 < even.value < 2 < strong.value
    assert strong.reason.startswith("of 200 rows that neither saw ")
    assert none.value == 0
    assert none.reason.endswith(": left out")


def test_few_rows_tell_by_their_log_loss() -> None:
    """One more of 60 right is chance; how sure they are is none."""
    found = weighed(1.5, 1.0, rows=60)
    assert (
        "85.0% are right with it, 83.3% without, at a log loss of 0.374 and 0.510" in found.reason
    )
    assert found.value > 0.5


@pytest.mark.parametrize("value", ["0", "none", "some", "true"])
def test_what_is_no_number_of_n_grams_is_told_once(value: str) -> None:
    """Not once for the words and once for the number that it might have been."""
    with pytest.raises(SettingsError) as caught:
        load_config(settings=[f"head.side={value}"])
    assert str(caught.value).count("head.side") == 1
