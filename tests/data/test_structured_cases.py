"""The files of ``cases``, as a newcomer would try them: what trains, what stops, and its words."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command import cli
from tightfit.data.sources import Columns, check_source, read_table
from tightfit.errors import DataError

CASES = Path(__file__).parent / "cases"

SHEET = ["--text-column", "Customer wrote", "--label-column", "Team"]

TRAINS: dict[str, tuple[list[str], int]] = {
    "10/array.json": ([], 40),
    "10/pretty.jsonl": ([], 40),
    "10/firstlacks.jsonl": (["--set", "data.missing_label=drop"], 40),
    "11/bool.csv": ([], 40),
    "11/list.jsonl": ([], 40),
    "11/bool.jsonl": ([], 40),
    "36/one-sheet.xlsx": (SHEET, 48),
    "36/tickets.ods": (SHEET, 48),
    "36/tickets.xlsx#Tickets": (SHEET, 48),
    "36/saved": ([], 40),
}
"""With these options; so many rows are in them."""

MENDED = {
    "10/firstlacks.jsonl": (r"without a label\n.*line 1; 1 of 41", "--set data.missing_label=drop"),
    "11/float.csv": (r"data\.task=single", "--set data.task=rating"),
    "11/onehot.jsonl": ("one 1 among zeros", "--label-column label.0,label.1"),
    "20/nli.tsv": (
        "the two texts are a pair; without",
        "--text-column premise,hypothesis --set data.pair=true",
    ),
    "36/one-sheet.xlsx": ("no column 'text'", "--text-column 'Customer wrote' --label-column Team"),
    "36/tickets.ods": ("no column 'text'", "--text-column 'Customer wrote' --label-column Team"),
    "36/tickets.xlsx": (
        r"'Read me' \(2\), 'Tickets' \(49\); .*#Tickets has no column 'text'\n.*choose one, such",
        "--text-column 'Customer wrote' --label-column Team",
    ),
}
"""Words of the error, and the options that its complete command ends with."""


def dry_run(model: Path, file: str, *more: str) -> list[str]:
    """The command on a case."""
    return ["train", "--data", str(CASES / file), "--dry-run", "--model", str(model), *more]


@pytest.mark.parametrize("file", TRAINS)
def test_a_case_trains(file: str, bert: Path) -> None:
    """With all the rows that are in it."""
    options, rows = TRAINS[file]
    done = cli(*dry_run(bert, file, *options, "--json", "--set", "train.folds=0"))
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["rows"] + told["validation_rows"] == rows


@pytest.mark.parametrize("file", MENDED)
def test_a_case_names_the_command_that_trains(file: str, bert: Path) -> None:
    """The command is run as it stands there."""
    words, add = MENDED[file]
    done = cli(*dry_run(bert, file))
    assert done.exit_code == 4
    assert re.search(words, done.stderr)
    command = next(x for x in done.stderr.splitlines() if "tightfit train --data" in x)
    assert command.endswith(add)
    again = cli(*shlex.split(command[command.index("train --data") :]))
    assert again.exit_code == 0, again.stderr


def test_truths_have_the_same_names_in_both_files() -> None:
    """CSV and JSON spell them differently."""
    files = [CASES / "11" / name for name in ("bool.csv", "bool.jsonl")]
    tables = [read_table(file, Columns(), labelled=True) for file in files]
    assert [set(table.labels or []) for table in tables] == [{"True", "False"}] * 2


def test_a_line_break_in_a_cell_is_kept() -> None:
    """And no other column disturbs."""
    columns = Columns(("Customer wrote",), "Team")
    for name in ("one-sheet.xlsx", "tickets.ods"):
        text = read_table(CASES / "36" / name, columns, labelled=True).texts[0]
        assert text == "I was charged twice this month, since Monday\nand again today (0)"


def test_a_run_on_single_texts_is_offered_no_pair() -> None:
    """To a training it is: a run is on pairs, or it is not."""
    answering = replace(Columns(), answering=True)
    for columns, offered in ((Columns(), True), (answering, False)):
        with pytest.raises(DataError) as caught:
            check_source(CASES / "20" / "nli.tsv", columns)
        assert ("data.pair" in str(caught.value)) == offered
        assert "text_column='premise,hypothesis'" in str(caught.value)
