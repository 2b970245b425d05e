"""The columns that are probably meant, and the command that says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from tests.command import cli
from tests.data.texts import LABELS, TEXTS, Told
from tightfit.data.column_hints import column_options, column_roles, split_names
from tightfit.data.sources import Columns, check_source, read_table
from tightfit.errors import DataError

LONG = [f"{text}, and so on" for text in TEXTS]
OTHERS = {
    "id": [*range(10)],
    "url": [f"https://example.org/{i}" for i in range(10)],
    "day": [f"2024-01-{i:02d} 10:00" for i in range(1, 11)],
    "score": [0.5, 1.25] * 5,
    "empty": [None] * 10,
}


def test_one_text_and_one_label() -> None:
    """Beside ids, links, dates and scores."""
    cells = {**OTHERS, "Review, full": LONG, "it's": LABELS}
    wanted = """--text-column 'Review, full' --label-column 'it'"'"'s'"""
    assert column_options(cells) == wanted
    assert column_options(cells, text=False) == wanted.partition("full' ")[2]
    assert column_options(cells, label=False) == "--text-column 'Review, full'"


def test_two_texts_are_a_pair_or_parts() -> None:
    """By name, however short and often the same; else both of them, in quotes where needed."""
    pair = {"Premise": LONG, "hypothesis": ["Yes.", "No."] * 5, "label": LABELS}
    assert column_options(pair, label=False) == "--text-column Premise,hypothesis"
    parts = {"Review, full": LONG, "title": TEXTS[::-1] and LONG[::-1], "kind": LABELS}
    assert column_options(parts) == """--text-column '"Review, full",title' --label-column kind"""
    assert split_names('"Review, full",title') == ["Review, full", "title"]


def test_where_columns_compete_nothing_is_proposed() -> None:
    """Unless a name tells; scripts with few signs a word are texts as well."""
    assert column_options({"a": LONG, "b": LABELS, "c": LABELS[::-1]}) is None
    assert column_options({"a": LONG, "b": LABELS, "topic": LABELS[::-1]}) is not None
    assert column_options({"a": LONG, "b": LONG, "c": LONG, "label": LABELS}) is None
    assert column_options(OTHERS) is None
    short = [f"质量太差{sign}" for sign in "一二三四五六七八九十"]
    assert column_roles({"评论": short, "情感": ["好", "差"] * 5}) == (["评论"], ["情感"])


def test_labels_that_compete_are_named() -> None:
    """With a command that takes the first of them; not where there are many."""
    cells = {"body": LONG, "code": LABELS, "agent": LABELS[::-1]}
    with pytest.raises(DataError, match="no column 'text'") as caught:
        read_table(pd.DataFrame(cells), Columns(), labelled=True)
    words = "the labels may be in 'code' or 'agent': name the right one, as in"
    assert caught.value.next_step == words
    assert caught.value.add == "--text-column body --label-column code"
    teams = {"text": LONG, "team": LABELS, "reply_tone": LABELS[::-1]}
    with pytest.raises(DataError, match="may be in 'team' or 'reply_tone': name the right one"):
        read_table(pd.DataFrame(teams), Columns(), labelled=True)
    many = pd.DataFrame({"body": LONG, **{f"c{i}": LABELS for i in range(5)}})
    with pytest.raises(DataError) as caught:
        read_table(many, Columns(), labelled=True)
    assert caught.value.add is None


def test_a_column_of_lists_holds_labels() -> None:
    """The whole of it: its first item alone would lose the others; and it is no text."""
    rows = [{"body": text, "emotions": ["a", "b"][: 1 + i % 2]} for i, text in enumerate(LONG)]
    with pytest.raises(DataError) as caught:
        read_table(rows, Columns(), labelled=True)
    assert caught.value.add == "--text-column body --label-column emotions"
    assert read_table(rows, Columns(("body",), "emotions"), labelled=True).kind == "multi"


def test_a_column_that_is_found_is_not_proposed_again() -> None:
    """Nor is one that was given."""
    frame = pd.DataFrame({"text": ["a", "b"] * 5, "topic": LABELS, "Words": LONG})
    with pytest.raises(DataError, match="no column 'label'") as caught:
        read_table(frame, Columns(), labelled=True)
    assert caught.value.add == "--label-column topic"
    with pytest.raises(DataError, match="no column 'txt'") as caught:
        read_table(frame, Columns(("txt",), "topic"), labelled=True)
    assert caught.value.add == "--text-column Words"


@pytest.mark.parametrize(
    "given",
    [
        "train --data {} --max-steps 3 --text-column txt --set optim.lr=1e-3",
        "train --data={} --max-steps 3 --text-column=txt --set optim.lr=1e-3 --label-column l",
        "train --set data.encoding=cp1251 --text-column Txt --data {} --max-steps 3 --set "
        "optim.lr=1e-3",
    ],
)
def test_the_command_keeps_what_was_given(
    given: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """But for the options that the hint replaces."""
    path = tmp_path_factory.mktemp("hints") / "a.csv"
    rows = "".join(f'"{text} é",{x}\n' for text, x in zip(TEXTS[:3], "aba", strict=True))
    path.write_bytes(f"v2,v1\n{rows}".encode("cp1252"))
    if "cp1251" in given:
        path.write_text(f"v2,v1\n{rows}")
    told = cli(*given.format(path).split()).stderr
    command = told.partition("tightfit train ")[2].split("\n")[0]
    assert command.count("--text-column v2") == command.count("-column v1") == 1
    assert command.count("--set optim.lr=1e-3") == command.count("--max-steps 3") == 1
    assert command.count(f"--data {path}") == 1
    assert "txt" not in command.lower()


@pytest.mark.parametrize(
    ("more", "said"),
    [({}, 1), ({"pair": True}, 0), ({"answering": True}, 0), ({"text": ("title",)}, 0)],
)
def test_two_columns_that_are_joined_are_said_to_be(more: dict[str, Any], said: int) -> None:
    """Whoever named both may have meant a pair."""
    cells = {"title": TEXTS, "body": LONG, "label": LABELS}
    progress, columns = Told(), replace(Columns(text=("title,body",)), **more)
    check_source(pd.DataFrame(cells), columns, progress=progress)
    line = "'title' and 'body' are joined with a space; --set data.pair=true compares the two"
    assert progress.lines == [line] * said
