"""From settings and rows to a setup: the split, the lengths, the choices and what is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

from tests.toy_setups import (
    LABELS,
    Notes,
    toy_job,
    toy_settings,
    toy_table,
)
from tests.toys import toy_tokenizer
from tightfit.config import ASKED, Config, Decision, load_config
from tightfit.data.batch_order import batch_order, padding_share
from tightfit.data.sources import Columns
from tightfit.data.table import Table
from tightfit.errors import BudgetError, DataError
from tightfit.model.locate import locate
from tightfit.progress import Progress
from tightfit.tasks.dataset import Dataset, read_dataset, tell_about
from tightfit.training.prepare import (
    decide_epochs,
    decide_lengths,
    plan_for,
    prepare,
)


def gathered(bert: Path, *settings: str, recipe: str = "tight", **more: Any) -> Dataset:
    """Rows of a recipe; 64 toy rows unless given."""
    config = toy_settings(bert, *settings, recipe=recipe)
    given = {"data": toy_table(), "validation": None, "limit": None, **more}
    return read_dataset(config, given["data"], given["validation"], given["limit"])


def test_columns_are_those_of_the_settings() -> None:
    """Several texts, another label, and what a missing text is."""
    config = load_config(
        "tight", ["data.text_column=a,b", "data.label_column=y", "data.missing_text=empty"]
    )
    assert Columns.of(config.data) == Columns(("a,b",), "y", "empty")


def test_rows_are_split_and_labelled(bert: Path) -> None:
    """A quarter is held out; every row is on one side, with the id of its own label."""
    dataset = gathered(bert, "data.validation_rows=0.25")
    table = toy_table()
    assert table.labels is not None
    ids = [LABELS.index(str(label)) for label in table.labels]
    texts = dataset.train.texts + dataset.validation.texts
    found = [*dataset.train.targets, *dataset.validation.targets]
    assert sorted(zip(texts, found, strict=True)) == sorted(zip(table.texts, ids, strict=True))
    assert dataset.task.names == LABELS
    assert (len(dataset.train), len(dataset.validation)) == (48, 16)
    assert sum(dataset.validation.targets) == 8


def test_the_recipe_paper_splits_as_published(bert: Path) -> None:
    """Exactly as the library that was used does it."""
    table = Table([f"row {i}" for i in range(6400)], [i % 2 for i in range(6400)], source="made up")
    dataset = gathered(bert, recipe="paper", data=table)
    theirs = datasets.Dataset.from_dict({"text": table.texts}).train_test_split(
        test_size=640, seed=42
    )
    assert dataset.train.texts == list(theirs["train"]["text"])
    assert dataset.validation.texts == list(theirs["test"]["text"])
    assert dataset.facts.note is None


def test_too_few_rows_for_640_are_noted(bert: Path) -> None:
    """A tenth of them is held out instead, and the run remembers that it was."""
    dataset = gathered(bert, recipe="paper")
    assert len(dataset.validation) == 7
    assert str(dataset.facts.note).startswith("640 validation rows are more than a tenth of 64")
    notes = Notes()
    tell_about(dataset, notes)
    assert dataset.facts.note in notes.said


def test_validation_rows_of_their_own_hold_nothing_out(bert: Path) -> None:
    """All rows train."""
    dataset = gathered(bert, validation=toy_table(10))
    assert (len(dataset.train), len(dataset.validation)) == (64, 10)
    assert dataset.facts.held_out is False


def test_rows_that_say_the_same_are_refused(bert: Path) -> None:
    """They are of a wrong column; two texts are enough to go on."""
    labels: list[int | str] = ["money", "sport"] * 10
    with pytest.raises(DataError, match="'goal' in 20 rows") as caught:
        gathered(bert, data=Table(["goal"] * 20, labels, source="rows"))
    assert "text_column" in str(caught.value)
    assert gathered(bert, data=Table(["goal", "gold"] * 10, labels, source="rows"))


def test_a_limit_is_drawn_after_the_split(bert: Path) -> None:
    """The same rows validate; of the others a stratified sample trains."""
    whole, limited = gathered(bert), gathered(bert, limit=10)
    assert limited.validation.texts == whole.validation.texts
    assert len(limited.train) == 10
    assert sum(limited.train.targets) == 5
    assert set(limited.train.texts) <= set(whole.train.texts)
    assert limited.facts.limit == 10


def test_the_facts_tell_rows_apart(bert: Path) -> None:
    """Counts for people; fingerprints for a resumed run, which must see the same rows."""
    facts = gathered(bert).facts
    assert facts.rows == facts.train_rows + facts.validation_rows == 64
    assert facts.train_counts == {"money": 28, "sport": 29}
    assert facts.source == facts.validation_source == "toys"
    again, other = gathered(bert).facts, gathered(bert, "seed=1").facts
    for part in ("train", "validation"):
        assert again.fingerprints[part] == facts.fingerprints[part] != other.fingerprints[part]


def test_faults_of_the_rows_are_told_and_kept(bert: Path) -> None:
    """A repeat, and two rows that also validate: said before the work begins, and on record."""
    table, notes = toy_table(), Notes()
    repeated = table.select([*range(len(table)), 0])
    dataset = read_dataset(toy_settings(bert), repeated, table.select([1, 2]), None)
    assert dataset.facts.warnings == (
        "1 of 65 training rows repeat an earlier row",
        "2 of 65 training rows are also validation rows, which flatters the score",
    )
    tell_about(dataset, notes)
    assert notes.warned == list(dataset.facts.warnings)
    assert notes.said == [
        "65 rows to train on, 2 to validate on",
        "'tightfit check' shows such rows, and can write a cleaned copy",
    ]


def test_the_plan_is_that_of_the_folder(roberta: Path) -> None:
    """Named as the user wrote it, under the cap of the settings."""
    config = toy_settings(roberta, "budget.cap=2146")
    plan = plan_for(config, locate(str(roberta)), 2)
    assert (plan.model, plan.total, plan.headroom) == (str(roberta), 2146, 0)
    with pytest.raises(BudgetError, match=r"2,146"):
        plan_for(toy_settings(roberta, "budget.cap=2145"), locate(str(roberta)), 2)


def long_settings(bert: Path, *settings: str) -> Config:
    """The lengths of the recipe, which are more than a toy has positions for."""
    return load_config("tight", [f"model.name={bert}", *settings])


def test_lengths_are_those_that_the_encoder_has_positions_for(bert: Path) -> None:
    """64 of the toy tokenizer; both lengths, each only if it is too long, and one as the other."""
    source, tokenizer = locate(str(bert)), toy_tokenizer()
    cut = Decision(64, f"the most that {bert} has positions for")
    assert decide_lengths(long_settings(bert), source, tokenizer) == (cut, cut)
    both = Decision(20, ASKED)
    short = long_settings(bert, "data.max_length=20")
    assert decide_lengths(short, source, tokenizer) == (both, both)
    longer = short.with_values({"predict.max_length": 70})
    assert decide_lengths(longer, source, tokenizer) == (both, cut)


def test_lengths_that_fit_stay(bert: Path) -> None:
    """Exactly as many tokens as there are positions."""
    given = long_settings(bert, "data.max_length=64", "predict.max_length=64")
    both = decide_lengths(given, locate(str(bert)), toy_tokenizer())
    assert both == (Decision(64, ASKED), Decision(64, ASKED))


def test_the_note_on_lengths_reaches_people(bert: Path) -> None:
    """And the clamped lengths are those of the setup."""
    notes = Notes()
    setup = toy_job(bert, "data.max_length=128", "train.max_steps=1", progress=notes)
    assert any(said.startswith("texts are cut at 64 tokens") for said in notes.said)
    assert setup.config.data.max_length == 128, "what was asked for does not change"
    assert setup.decisions.max_length.value == setup.train.tokens.max_length == 64


def test_a_shortened_warm_up_is_told(bert: Path) -> None:
    """And nothing is, where nothing was changed."""
    notes, quiet = Notes(), Notes()
    toy_job(bert, "optim.warmup_steps=50", "train.max_steps=9", progress=notes)
    assert any("warm-up shortened from 50 to 0 steps" in said for said in notes.said)
    toy_job(bert, progress=quiet)
    assert len(quiet.said) == 1


def test_the_number_format_is_told_with_its_reason(bert: Path) -> None:
    """fp16 is not to be had on a CPU; the choice and its reason are on record."""
    notes = Notes()
    setup = toy_job(bert, "train.precision=fp16", progress=notes)
    assert setup.decisions.precision is not None
    assert any("fp32" in said and "a CPU only emulates it" in said for said in notes.said)
    assert setup.precision.format == setup.decisions.precision.value == "fp32"
    assert "a CPU only emulates it" in setup.decisions.precision.reason


@pytest.mark.parametrize(
    ("setting", "way", "reason"),
    [
        ("train.forward=auto", "lean", "less work"),
        ("train.forward=own", "own", "asked for"),
        ("train.checkpointing=on", "lean", "less work"),
        ("model.frozen_dropout=true", "lean", "less work"),
    ],
)
def test_the_forward_pass_is_chosen_with_a_reason(
    setting: str, way: str, reason: str, bert: Path
) -> None:
    """On record, and in the setup."""
    setup = toy_job(bert, setting)
    choice = setup.decisions.forward
    assert choice is not None
    assert choice.value == way == ("own" if setup.lean is None else "lean")
    assert reason in choice.reason


def test_the_facts_of_the_tokens(bert: Path) -> None:
    """How long the texts are, how many are cut on either side, and how much is padding."""
    config = toy_settings(bert, "data.max_length=8", "data.validation_rows=16")
    source, dataset = locate(str(bert)), read_dataset(config, toy_table(), None, None)
    setup = prepare(config, dataset, source, plan_for(config, source, 2), progress=Progress())
    told, lengths = setup.token_facts(), setup.train.tokens.lengths
    words = [len(text.split()) + 2 for text in dataset.train.texts]
    assert told.truncated == sum(length > 8 for length in words) > 0
    held = [len(text.split()) + 2 for text in dataset.validation.texts]
    assert told.validation_truncated == sum(length > 8 for length in held) > 0
    assert told.mean == pytest.approx(float(lengths.mean()))
    assert told.unknown == 0
    order = batch_order(lengths, batch=16, seed=42, epoch=0, group_by_length=True)
    assert told.padding_share == pytest.approx(padding_share(setup.train.tokens, order))


def test_the_schedule_follows_from_the_rows(bert: Path) -> None:
    """48 rows in batches of 5 and steps of 3: 10 batches, 4 steps an epoch."""
    setup = toy_job(bert, "optim.batch=5", "optim.accumulate=3", "optim.epochs=2")
    assert (setup.schedule.total, setup.schedule.steps_per_epoch) == (8, 4)


@pytest.mark.parametrize(
    ("rows", "asked", "epochs"),
    [
        *((100_000, "auto", 3), (20_000, "auto", 3), (8_000, "auto", 4), (1_000, "auto", 7)),
        *((200, "auto", 10), (20, "auto", 10), (200, "2", 2), (200, "0.5", 0.5)),
    ],
)
def test_few_rows_are_passed_more_often(rows: int, asked: str, epochs: float) -> None:
    """Between 3 and 10 times, unless the settings say how often."""
    config = load_config("tight", [f"optim.epochs={asked}"])
    assert decide_epochs(config, rows).value == epochs
