"""``data.long_text=auto``: by what a probe does with heads, and with tails beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.toy_setups import LABELS, Notes, toy_settings
from tightfit.config import Decision, KeptText
from tightfit.data.table import Table
from tightfit.encoder import FrozenEncoder, UnknownInside
from tightfit.model.locate import locate
from tightfit.tasks.dataset import read_dataset
from tightfit.training.frozen_probe import FrozenProbe
from tightfit.training.long_text_choice import decide_long_text
from tightfit.training.prepare import plan_for, prepare

FILL = ["the", "of", "in"] * 40
"""More words than a toy encoder reads of any text."""


def table(tells: int | None, count: int = 60) -> Table:
    """Long texts in which the word at one place tells the class; without a place no text is."""
    texts = []
    for i in range(count):
        words = FILL[i % 3 :][:100] if tells is not None else ["the"]
        place = 0 if tells is None else tells
        words[place : place + 8] = [["goal", "bank"][i % 2]] * 8
        texts.append(" ".join(words))
    return Table(texts, [LABELS[i % 2] for i in range(count)], source="long")


def decided(bert: Path, rows: Table, *settings: str, **asked: float) -> Decision[KeptText]:
    """The decision over rows that all train."""
    config = toy_settings(bert, "data.long_text=auto", "data.validation_rows=2", *settings)
    dataset = read_dataset(config, rows, None, None)
    return decide_long_text(FrozenProbe(config, dataset, Notes()), locate(str(bert)), **asked)


@pytest.mark.parametrize(
    ("tells", "kept"), [(2, "head"), (90, "head+tail"), (40, "head"), (None, "head")]
)
def test_what_tells_the_classes_is_kept(tells: int | None, kept: str, bert: Path) -> None:
    """What only windows would show is not asked about."""
    found = decided(bert, table(tells))
    assert found.value == kept
    share = "0.0%" if tells is None else "100.0%"
    assert found.reason.startswith(f"{share} of the training texts are cut")
    assert ("heads and tails" in found.reason) == (tells is not None)


@pytest.mark.parametrize(
    ("settings", "rows", "kept", "reason"),
    [
        (("data.long_text=windows",), 60, "windows", "asked for"),
        (("data.long_text=head",), 60, "head", "asked for"),
        ((), 10, "head", "8 rows are too few"),
    ],
)
def test_where_nothing_is_compared(
    settings: tuple[str, ...], rows: int, kept: str, reason: str, bert: Path
) -> None:
    """Asked for, or too few rows to tell."""
    found = decided(bert, table(90, rows), *settings)
    assert (found.value, reason in found.reason) == (kept, True)


def test_pairs_have_no_tails(bert: Path) -> None:
    """However many are cut."""
    config = toy_settings(bert, "data.long_text=auto")
    dataset = read_dataset(config, table(90), None, None)
    of_pairs = FrozenProbe(config.with_values({"data.pair": True}), dataset, Notes())
    assert decide_long_text(of_pairs, locate(str(bert))).value == "head"


def test_encoders_were_compared_on_shorter_texts(bert: Path) -> None:
    """What is kept is decided on texts as long as training reads."""
    config = toy_settings(bert, "data.long_text=auto", "data.validation_rows=2")
    dataset = read_dataset(config, table(90), None, None)
    short = FrozenProbe(config, dataset, Notes(), max_length=4)
    assert decide_long_text(short, locate(str(bert))).value == "head+tail"


def test_little_time_compares_fewer_rows(bert: Path) -> None:
    """As few as are told apart at all, and the reason says how many."""
    assert "on 10 unseen rows" in decided(bert, table(90), seconds=1e-6).reason


def test_an_encoder_that_only_transformers_computes_reads_heads(
    bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As other programs do."""

    def refuse(folder: Path) -> FrozenEncoder:
        raise UnknownInside("positions are not absolute")

    rows = table(90)
    monkeypatch.setattr(FrozenEncoder, "of", refuse)
    found = decided(bert, rows)
    assert found == Decision("head", "positions are not absolute")


def test_the_setup_keeps_the_decision_and_tells_it(bert: Path) -> None:
    """Where no text is cut there is nothing to tell."""
    for rows, said in ((table(90), True), (table(None), False)):
        config, notes = toy_settings(bert, "data.long_text=auto"), Notes()
        dataset, source = read_dataset(config, rows, None, None), locate(str(bert))
        chosen = {"long_text": Decision[KeptText]("head+tail", "its tail tells")}
        plan = plan_for(config, source, 2)
        setup = prepare(config, dataset, source, plan, chosen=chosen, progress=notes)
        assert setup.decisions.long_text == chosen["long_text"]
        assert ("of long texts head+tail is kept: its tail tells" in notes.said) == said
