"""The whole check on written news with planted faults: no miss, no false alarm. The quick one."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planted import NAMES, edited, sample
from tightfit import extras
from tightfit.data.checks.examine import check_table
from tightfit.data.checks.findings import (
    EXCERPT,
    KINDS,
    MEANING,
    Example,
    Finding,
    Findings,
    Kind,
    excerpt,
)
from tightfit.data.checks.quick import quick_warnings
from tightfit.data.table import Table
from tightfit.data.text_pair import TextPair
from tightfit.errors import MissingExtraError

REPEATS: tuple[Kind, ...] = ("exact_duplicates", "near_duplicates", "shared", "contradictory")


def planted(seed: int) -> tuple[Table, dict[Kind, set[int]]]:
    """480 items, 80 faulty rows after them, and where the faults are; no item is used twice.

    20 copies with other spacing, 20 edits, 20 copies with another label, and of the test items 10
    copies and 10 edits.
    """
    chance = random.Random(seed)
    texts, labels = sample().texts, sample().labels or []
    items, leaked = chance.sample(range(480), 60), chance.sample(range(480, 600), 20)
    copied, changed, relabelled = items[:20], items[20:40], items[40:]
    rows: list[tuple[str, int | str]] = [(texts[i], labels[i]) for i in range(480)]
    rows += [(texts[i].replace(" ", "  ", 1) + "\n", labels[i]) for i in copied]
    rows += [(edited(texts[i], n), labels[i]) for n, i in enumerate(changed)]
    rows += [(texts[i], (int(labels[i]) + 1) % 4) for i in relabelled]
    rows += [(texts[i], labels[i]) for i in leaked[:10]]
    rows += [(edited(texts[i], n), labels[i]) for n, i in enumerate(leaked[10:])]
    where: dict[Kind, set[int]] = {
        "exact_duplicates": set(range(480, 500)),
        "near_duplicates": set(range(500, 520)),
        "contradictory": {*relabelled, *range(520, 540)},
        "shared": set(range(540, 560)),
    }
    return Table([text for text, _ in rows], [label for _, label in rows], NAMES), where


def held() -> Table:
    """The 120 items to test on."""
    return sample().select(range(480, 600))


def of_texts(texts: Sequence[str], **options: Any) -> Findings:
    """A check of rows without labels."""
    return check_table(Table(list(texts)), **options)


# --- what it must show -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_planted_faults_are_found_and_nothing_else(seed: int) -> None:
    """No miss and no false alarm: every kind has exactly the rows that were planted."""
    table, where = planted(seed)
    found = check_table(table, test=held(), label_errors=False).found
    assert {kind: set(found[kind].rows) for kind in REPEATS} == where


def test_written_news_is_clean() -> None:
    """No false alarm of any kind in the sample, but for a suspect label or two."""
    findings = check_table(sample().select(range(480)), test=held())
    counts = {kind: findings.count(kind) for kind in KINDS}
    assert counts.pop("suspect_labels") <= 4
    assert set(counts.values()) == {0}


def test_planted_label_errors_in_the_check() -> None:
    """Rows are those of the table, though repeats and contradictions are not judged."""
    rows = [f"goal match team {i}" if i % 2 else f"stock market bank {i}" for i in range(200)]
    texts = ["", *rows[:5], *rows]
    labels: list[int | str] = ["sport" if "goal" in text else "money" for text in texts]
    for row in (50, 51, 60, 61, 70, 71):
        labels[row] = "sport" if labels[row] == "money" else "money"
    finding = check_table(Table(texts, labels)).found["suspect_labels"]
    assert set(finding.rows) == {50, 51, 60, 61, 70, 71}
    worst = finding.rows[0]
    assert finding.examples[0].why.startswith(
        f"labelled {labels[worst]}, reads like {'sport' if labels[worst] == 'money' else 'money'}"
    )


# --- each kind ---------------------------------------------------------------------------------


ROWS: list[tuple[str, int | str]] = [
    ("the quick brown fox jumps over the lazy dog", "x"),
    ("the quick brown fox jumps over the lazy dog", "x"),
    ("The quick brown fox jumps over the lazy dog!", "x"),
    ("a second one", "x"),
    ("a second one", "y"),
    ("\u200b ", "x"),
    ("lost \ufffd", "x"),
    ("so <b>bold", "x"),
    ("something of the test", "Y"),
    ("another one of y", "y"),
]
WHY = {
    "exact_duplicates": [(1, "as in row 0")],
    "near_duplicates": [(2, "as in row 0, but for case, punctuation or markup")],
    "shared": [(8, "as in test row 1")],
    "contradictory": [(3, "x here, y in row 4"), (4, "y here, x in row 3")],
    "suspect_labels": [],
    "truncated": [],
    "empty": [(5, "2 invisible characters")],
    "undecodable": [(6, "replacement character U+FFFD")],
    "markup": [(7, "<b>")],
    "label_spelling": [(8, "labelled Y, mostly spelt y")],
    "unicode_form": [],
}


def test_examples_say_what_is_wrong() -> None:
    """For each kind: the row, and what it repeats, contradicts or holds."""
    table = Table([text for text, _ in ROWS], [label for _, label in ROWS])
    found = check_table(table, test=Table(["a", "something of the test"])).found
    assert {kind: [(e.row, e.why) for e in found[kind].examples] for kind in KINDS} == WHY
    assert found["markup"].examples[0].text == "so <b>bold"


def test_a_pair_lacks_a_text_where_one_of_both_is_empty() -> None:
    """Training would stop there; an example shows the beginnings of both."""
    pairs = [TextPair("a b", "c d"), TextPair("a" * 40, ""), TextPair(" ", "c"), TextPair("", "")]
    empty = of_texts(pairs, label_errors=False).found["empty"]
    why = ["no second text", "no first text", "1 invisible characters"]
    assert [(each.row, each.why) for each in empty.examples] == [*enumerate(why, 1)]
    assert empty.examples[0].text == "a" * 36 + "… | "
    words = quick_warnings(pairs, strata=[0] * 4, counts={}, held=[])
    assert "3 of 4 training rows have no visible character in one of their texts" in words


def test_near_duplicates_say_how_near() -> None:
    """Rounded down: 100% is for texts that are wholly alike."""
    text = sample().texts[0]
    near = of_texts([text, text + " Yes."], test=Table([text + " No."]), label_errors=False).found
    why = {kind: near[kind].examples[-1].why for kind in ("near_duplicates", "shared")}
    assert why["near_duplicates"].endswith("% like row 0")
    assert why["shared"].endswith("% like test row 0")
    assert 90 < int(why["shared"].partition("%")[0]) < 100


def test_truncation_is_counted_by_the_given_tokenizer() -> None:
    """In chunks, with every text seen once, in order."""
    texts = ["a b c", "a b", "a b c d"] * 700
    seen: list[str] = []

    def count(some: Sequence[str]) -> list[int]:
        seen.extend(some)
        return [len(text.split()) for text in some]

    finding = of_texts(texts, count_tokens=count, max_length=3, label_errors=False)
    rows = finding.found["truncated"]
    assert seen == texts
    assert rows.rows == tuple(range(2, 2100, 3))
    assert rows.examples[0] == Example(2, "row 2", "a b c d", "4 tokens; 3 are read")


def test_what_nobody_looked_at_is_said() -> None:
    """Without labels, test rows and tokenizer: 0 rows, with the reason."""
    skipped = of_texts(["a", "b"]).to_json()["skipped"]
    assert skipped == {
        "shared": "no test rows were given",
        "contradictory": "the rows have no labels",
        "suspect_labels": "the rows have no labels",
        "truncated": "no tokenizer to count with",
        "label_spelling": "the rows have no labels",
    }
    labelled = Table(["a", "b"], [0, 1])
    few = check_table(labelled).found["suspect_labels"]
    assert few.skipped == "too few different rows of two classes to learn from"
    unasked = check_table(labelled, label_errors=False).found["suspect_labels"]
    assert unasked.skipped == "not asked for"


@pytest.mark.parametrize("texts", [[], ["one row"], ["", " "], ["same"] * 3])
def test_hardly_any_rows(texts: list[str]) -> None:
    """No row, one row, empty rows, one text again and again: numbers, not faults of ours."""
    findings = check_table(Table(texts, ["x"] * len(texts)))
    assert findings.rows == len(texts)
    assert findings.count("exact_duplicates") == (2 if "same" in texts else 0)
    assert findings.imbalance == (1.0 if texts else None)


@given(st.lists(st.tuples(st.text(max_size=40), st.integers(0, 2)), max_size=15))
@settings(max_examples=30, deadline=None)
def test_any_rows_can_be_checked(rows: list[tuple[str, int]]) -> None:
    """Whatever is in them, the answer is plain JSON, and examples are of the rows found."""
    findings = check_table(Table([text for text, _ in rows], [label for _, label in rows]))
    answer = json.loads(json.dumps(findings.to_json(), allow_nan=False))
    for kind in KINDS:
        assert answer[kind] == len(set(findings.found[kind].rows))
        assert [e["row"] for e in answer["examples"][kind]] == list(findings.found[kind].rows[:3])
        assert all(e["text"].isprintable() for e in answer["examples"][kind])


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before any work; label errors can be left out, near duplicates cannot."""
    monkeypatch.setattr(extras, "available", lambda name: name != "cleanlab")
    with pytest.raises(MissingExtraError, match=r"label_errors=False"):
        check_table(Table(["a"], [0]))
    assert check_table(Table(["a"], [0]), label_errors=False).rows == 1
    monkeypatch.setattr(extras, "available", lambda name: False)
    with pytest.raises(MissingExtraError, match=r"tightfit\[checks\]"):
        check_table(Table(["a"], [0]), label_errors=False)


# --- findings ----------------------------------------------------------------------------------


def test_the_object_that_others_rely_on() -> None:
    """The keys of the contract first, in its order; counts are integers."""
    contract = "rows labels imbalance exact_duplicates near_duplicates shared contradictory"
    contract += " suspect_labels truncated empty undecodable markup label_spelling"
    table = Table(["a one", "b two", "c three", "d four"], [2, 0, 2, 2], ("x", "y", "z"))
    answer = check_table(table).to_json()
    assert list(answer)[:13] == contract.split()
    assert answer["labels"] == ["x", "y", "z"]
    assert answer["label_counts"] == {"x": 1, "y": 0, "z": 3}
    assert answer["imbalance"] == 3.0
    assert all(type(answer[kind]) is int for kind in KINDS)


def test_labels_come_in_label_order() -> None:
    """Ascending integers, or sorted names."""
    numbers = check_table(Table(["a", "b", "c"], [10, 2, 10]), label_errors=False)
    assert numbers.label_counts == {"2": 1, "10": 2}
    words = check_table(Table(["a", "b", "c"], ["z", "y", "z"]), label_errors=False)
    assert words.label_counts == {"y": 1, "z": 2}


def test_every_kind_has_a_meaning() -> None:
    """For the table that people read."""
    assert tuple(MEANING) == KINDS
    assert Findings(0, {}, {kind: Finding() for kind in KINDS}).imbalance is None


@pytest.mark.parametrize(
    ("text", "start", "shown"),
    [
        ("short", 0, "short"),
        ("two\n lines\t here ", 0, "two lines here"),
        ("bell \x07 and \u200b", 0, "bell \\x07 and \\u200b"),
        ("a" * 100, 0, "a" * EXCERPT + "…"),
        ("a" * 100 + "HERE" + "b" * 100, 100, "…" + "a" * 18 + "HERE" + "b" * 50 + "…"),
        ("near the front HERE", 15, "near the front HERE"),
    ],
)
def test_excerpts(text: str, start: int, shown: str) -> None:
    """Printable, cut where it is long, and around the place that matters."""
    assert excerpt(text, start) == shown


# --- the quick look before training ------------------------------------------------------------


def test_quick_warnings_count_each_fault() -> None:
    """One sentence for each kind that there is."""
    texts = ["a a", "a  a", "b", "b", "c", "", "lost \ufffd", "so <b>bold", "d", "e"]
    ids = [0, 0, 0, 1, 1, 1, 1, 1, 1, 1]
    warnings = quick_warnings(texts, strata=ids, counts={"x": 3, "y": 7}, held=["c", "", "f"])
    assert warnings == [
        "1 of 10 training rows repeat an earlier row",
        "2 of 10 training rows have a text that also has another label",
        "1 of 10 training rows are also validation rows, which flatters the score",
        "1 of 10 training rows have no visible character",
        "1 of 10 training rows hold characters that were lost or misread",
        "1 of 10 training rows hold HTML markup such as &lt; or #39;",
    ]


def test_clean_rows_need_no_warning() -> None:
    """Silence, so that a warning means something."""
    table, ids = sample(), [int(label) for label in sample().labels or []]
    train, test = table.texts[:480], table.texts[480:]
    assert (
        quick_warnings(train, strata=ids[:480], counts=dict.fromkeys(NAMES, 120), held=test) == []
    )


@pytest.mark.parametrize(
    ("counts", "sentences"),
    [
        ([10, 2, 9], []),
        ([20, 2, 9], ["label 'x' has 10 times as many training rows as 'y' (20 and 2)"]),
        ([20, 0, 9], ["no training row has the label 'y'"]),
        ([0, 1, 0], ["no training row has the label 'x', 'z'"]),
    ],
)
def test_uneven_classes(counts: list[int], sentences: list[str]) -> None:
    """A class without rows, or one that another outnumbers tenfold."""
    ids = [label for label, count in enumerate(counts) for _ in range(count)]
    texts = [f"text {i}" for i in range(len(ids))]
    assert (
        quick_warnings(texts, strata=ids, counts=dict(zip("xyz", counts, strict=True))) == sentences
    )


def test_quick_warnings_agree_with_the_check() -> None:
    """The same rows, counted the quick way; leaks only where they are exact."""
    table, where = planted(0)
    ids = [int(label) for label in table.labels or []]
    warnings = quick_warnings(
        table.texts, strata=ids, counts=dict.fromkeys(NAMES, 120), held=held().texts
    )
    counts = [int(sentence.split()[0]) for sentence in warnings[:3]]
    assert counts == [len(where["exact_duplicates"]), len(where["contradictory"]), 10]


def test_ratings_are_not_judged_as_names() -> None:
    """Repeats and contradictions are found; spelling and suspects are left out, with words."""
    found = check_table(Table(["a b", "a b", "a b", ""], [1.5, 1.5, 2.0, 3.0]))
    assert (found.count("exact_duplicates"), found.count("contradictory")) == (1, 3)
    assert found.count("empty") == 1
    assert (found.label_counts, found.imbalance) == ({}, None)
    for kind in ("suspect_labels", "label_spelling"):
        assert found.to_json()["skipped"][kind] == "the labels are ratings"
