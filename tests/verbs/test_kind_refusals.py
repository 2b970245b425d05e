"""Bad rows and bad questions of several labels, ratings and pairs: clear words, the exit code of
their kind, and nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import tightfit
from tests.command import cli
from tests.toy_setups import SHORT
from tests.toys import pair_rows, toy_rows, write_jsonl
from tightfit.errors import TightfitError
from tightfit.progress import Progress

Rows = list[dict[str, Any]]

SETS: tuple[list[str], ...] = ([], ["money"], ["money", "sport"], ["sport"])
MULTI, RATING, PAIR = "data.task=multi", "data.task=rating", "data.pair=true"
JOINED = "--set data.task=multi --set data.label_separator='|'"
DROP = "--set data.missing_label=drop"


def labelled(label: Callable[[int], Any]) -> Rows:
    """Toy rows whose labels are a function of their place."""
    return [{**row, "label": label(i)} for i, row in enumerate(toy_rows(40))]


def sets() -> Rows:
    """Of several labels each."""
    return labelled(lambda i: SETS[i % 4])


def rated() -> Rows:
    """Of a rating each."""
    return labelled(lambda i: 1.5 + i % 5)


def with_fifth(rows: Rows, **cells: Any) -> Rows:
    """The rows, of which the fifth has other cells."""
    return [{**row, **cells} if i == 4 else row for i, row in enumerate(rows)]


@dataclass(frozen=True)
class Fault:
    """What is wrong, and what is told of it."""

    exit_code: int
    words: tuple[str, ...]
    """All of them are in the message."""
    rows: Rows
    settings: tuple[str, ...] = ()
    validation: Rows | None = None
    add: str | None = None
    """Options that mend the command."""
    options: dict[str, Any] = field(default_factory=dict)


TEXTS = {"text_column": "premise,hypothesis"}
BOTH = {"text_column": "premise,premise"}

FAULTS = {
    "a list, then a string": Fault(
        4, ("partly lists", "line 5; 1 of 40"), with_fifth(sets(), label="sport")
    ),
    "all alike": Fault(4, ("same labels", "a, b in 40"), labelled(lambda i: ["b", "a"])),
    "an empty file of sets": Fault(4, ("no row has a label",), labelled(lambda i: [])),
    "an unknown label": Fault(
        4, ("weather", "money, sport"), sets(), validation=labelled(lambda i: ["weather"])
    ),
    "classes weighed among ratings": Fault(
        3, ("class_weights", RATING), rated(), (RATING, "optim.class_weights=balanced")
    ),
    "empty strings": Fault(4, ("no row has a label",), labelled(lambda i: ""), (MULTI,)),
    "infinite": Fault(4, ("a rating is inf",), with_fifth(rated(), label=1e999), (RATING,)),
    "joined, and some without": Fault(
        4, ("joined by '|'",), labelled(lambda i: ("a|b", "b|c", "a", "")[i % 4]), add=JOINED
    ),
    "lists within": Fault(4, ("within a list",), with_fifth(sets(), label=[["a"], "sport"])),
    "macro F1 of ratings": Fault(
        3, ("macro_f1", RATING), rated(), (RATING, "train.metric=macro_f1")
    ),
    "macro F1 of sets": Fault(3, ("macro_f1", MULTI), sets(), ("train.metric=macro_f1",)),
    "named ratings": Fault(3, ("data.labels",), rated(), (RATING, "data.labels=low,high")),
    "nothing said": Fault(
        4, ("without a value for their labels", "line 5"), with_fifth(sets(), label=None), add=DROP
    ),
    "nothing within": Fault(4, ("is None", "line 5"), with_fifth(sets(), label=["a", None])),
    "numbers and names": Fault(4, ("partly numbers",), with_fifth(sets(), label=["a", 3])),
    "one half of a pair": Fault(
        4,
        ("one of the two texts of a pair", "line 5; 1 of 40"),
        with_fifth(pair_rows(40), hypothesis=None),
        (PAIR,),
        add="--set data.missing_text=drop",
        options=TEXTS,
    ),
    "one label": Fault(
        4, ("'a' in 20 of 40",), labelled(lambda i: ["a"] if i % 2 else []), (MULTI,)
    ),
    "one rating": Fault(4, ("same rating", "3.5 in 40"), labelled(lambda i: 3.5), (RATING,)),
    "ratings unasked": Fault(4, ("not whole", "data.task=single"), rated(), add=f"--set {RATING}"),
    "separated ratings": Fault(
        3, ("label_separator", RATING), rated(), (RATING, "data.label_separator=|")
    ),
    "sets, then to validate on classes": Fault(
        4, ("several labels a row",), toy_rows(40), validation=sets()
    ),
    "a string, then a list": Fault(
        4, ("partly lists", "line 5; 1 of 40"), with_fifth(toy_rows(40), label=["sport"])
    ),
    "tails of pairs": Fault(
        3, ("a pair loses the end",), pair_rows(40), (PAIR, "data.long_text=windows"), options=TEXTS
    ),
    "the same text twice": Fault(3, ("two columns",), pair_rows(40), (PAIR,), options=BOTH),
    "unrated": Fault(
        4, ("without a rating", "line 5"), with_fifth(rated(), label=None), (RATING,), add=DROP
    ),
    "NaN, as JSON has it": Fault(
        4, ("without a rating", "line 5"), with_fifth(rated(), label=float("nan")), (RATING,)
    ),
    "words among ratings": Fault(4, ("'good'",), with_fifth(rated(), label="good"), (RATING,)),
}


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_rows_that_teach_nothing_are_told(name: str, bert: Path, tmp_path: Path) -> None:
    """Nothing lies there afterwards that was not there before."""
    fault = FAULTS[name]
    data, options = write_jsonl(tmp_path / "rows.jsonl", fault.rows), dict(fault.options)
    if fault.validation is not None:
        options["validation"] = write_jsonl(tmp_path / "other.jsonl", fault.validation)
    before, out = sorted(tmp_path.rglob("*")), tmp_path / "runs" / "001"
    options |= {"settings": [*SHORT, *fault.settings], "model": str(bert), "max_steps": 3}
    with pytest.raises(TightfitError) as caught:
        tightfit.train(data, out=out, progress=Progress(), **options)
    assert caught.value.exit_code == fault.exit_code, str(caught.value)
    assert [word for word in fault.words if word not in str(caught.value)] == []
    if fault.add is not None:
        assert caught.value.add == fault.add
    assert sorted(tmp_path.rglob("*")) == before


def test_a_separator_mends_joined_labels(bert: Path, tmp_path: Path) -> None:
    """As the hint says; an empty cell is a row without any, and is kept."""
    rows = FAULTS["joined, and some without"].rows
    settings = [*SHORT, MULTI, "data.label_separator=|"]
    data, out = write_jsonl(tmp_path / "rows.jsonl", rows), tmp_path / "run"
    options: dict[str, Any] = {"settings": settings, "model": str(bert), "max_steps": 3}
    tightfit.train(data, out=out, progress=Progress(), **options)
    facts = tightfit.Run.load(out).data
    assert facts.train_rows + facts.validation_rows == 40


@pytest.fixture(scope="module")
def home(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each kind, three steps each, and rows of it; not to be changed."""
    home = tmp_path_factory.mktemp("kinds")
    kinds = {"multi": (sets(), MULTI), "rating": (rated(), RATING), "pair": (pair_rows(40), PAIR)}
    for name, (rows, setting) in kinds.items():
        data = write_jsonl(home / f"{name}.jsonl", rows)
        options: dict[str, Any] = {"model": str(bert), "max_steps": 3, "progress": Progress()}
        options |= TEXTS if name == "pair" else {}
        tightfit.train(data, out=home / name, settings=[*SHORT, setting], **options)
    return home


ONE, LABELS = "is offered for one label a text", "is offered for labels"
ASKED = {
    "a cascade of sets": ("multi", "predict {run} --text goal --cascade", 2, ONE),
    "a cost of sets": ("multi", "evaluate {run} --data {rows} --cost money:sport=2", 2, ONE),
    "a file of half a pair": ("pair", "predict {run} --data {single} --out {out}", 4, "name both"),
    "a label of no set": ("multi", "predict {run} --text a --threshold x=0.4", 2, "money, sport"),
    "a recall of a rating": ("rating", "evaluate {run} --data {rows} --recall a=0.9", 2, LABELS),
    "a threshold of a rating": ("rating", "predict {run} --text goal --threshold a=0.3", 2, LABELS),
    "errors of a rating": ("rating", "predict {run} --text goal --max-error 0.1", 2, ONE),
    "half a pair": ("pair", "predict {run} --text goal", 2, "--text-pair"),
    "ratings of sets": ("multi", "evaluate {run} --data {rated}", 4, "1.5"),
    "sets of ratings": ("rating", "evaluate {run} --data {sets}", 4, "a rating is"),
    "shares of a rating": (
        "rating",
        "predict {run} --data {rows} --out {out} --probabilities",
        2,
        LABELS,
    ),
    "submission of a rating": (
        "rating",
        "predict {run} --data {rows} --out {out} --submission",
        2,
        ONE,
    ),
    "submission of sets": ("multi", "predict {run} --data {rows} --out {out} --submission", 2, ONE),
}


@pytest.mark.parametrize("name", sorted(ASKED))
def test_what_a_kind_does_not_answer_is_told(name: str, home: Path, tmp_path: Path) -> None:
    """The run and the folder of answers stay as they were."""
    kind, command, exit_code, words = ASKED[name]
    files = {each: home / f"{each}.jsonl" for each in ("multi", "rating", "pair")}
    single = write_jsonl(tmp_path / "single.jsonl", toy_rows(4))
    places = {"run": home / kind, "rows": files[kind], "out": tmp_path / "out.csv"}
    places |= {"single": single, "rated": files["rating"], "sets": files["multi"]}
    before = sorted([*home.rglob("*"), *tmp_path.rglob("*")])
    done = cli(*command.format(**places).split())
    assert (done.exit_code, done.stdout) == (exit_code, ""), done.stderr
    assert words in " ".join(done.stderr.split())
    assert sorted([*home.rglob("*"), *tmp_path.rglob("*")]) == before


def test_labels_in_another_spelling_are_told_with_what_mends_them(
    home: Path, tmp_path: Path
) -> None:
    """By evaluate as by train, for which they would be classes apart."""
    rows = [{**row, "label": [x.upper() for x in row["label"]]} for row in sets()]
    data = write_jsonl(tmp_path / "loud.jsonl", rows)
    done = cli("evaluate", str(home / "multi"), "--data", str(data))
    assert done.exit_code == 4
    assert ".replace({'MONEY': 'money', 'SPORT': 'sport'})" in " ".join(done.stderr.split())
