"""The sample that ships inside the package: form, balance, no repetition, and how hard it is."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from importlib.resources import files

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

NAMES = ("World", "Sports", "Business", "Sci/Tech")
SIZES = {"train": 480, "test": 120}
RUN = 5  # no two items share this many words in a row

Row = dict[str, str]


def read(split: str) -> list[Row]:
    """The rows of one file, in its order."""
    text = (files("tightfit") / "sample" / f"{split}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def read_both() -> list[Row]:
    """The rows of both files."""
    return [row for split in SIZES for row in read(split)]


def words(text: str, *, join: bool) -> list[str]:
    """Lower-cased words without punctuation; ``join`` makes one word of a hyphenated one."""
    return re.sub(r"[^\w\s]", "" if join else " ", text.lower()).split()


@pytest.mark.parametrize("split", SIZES)
def test_every_line_is_a_text_and_a_label(split: str) -> None:
    """Nothing but the two fields, and no stray white space."""
    for row in read(split):
        assert list(row) == ["text", "label"]
        assert row["label"] in NAMES
        assert row["text"] == " ".join(row["text"].split())


@pytest.mark.parametrize("split", SIZES)
def test_classes_are_balanced(split: str) -> None:
    """Each class has exactly a quarter of the rows."""
    counts = Counter(row["label"] for row in read(split))
    assert counts == dict.fromkeys(NAMES, SIZES[split] // len(NAMES))


@pytest.mark.parametrize("split", SIZES)
def test_rows_are_shuffled(split: str) -> None:
    """No class comes in a block: ten rows in a row of one class would be one."""
    labels = "".join(str(NAMES.index(row["label"])) for row in read(split))
    assert not re.search(r"(.)\1{9}", labels)


def test_items_have_20_to_60_words() -> None:
    """Counted between blanks."""
    lengths = [len(row["text"].split()) for row in read_both()]
    assert min(lengths) >= 20
    assert max(lengths) <= 60


def test_no_item_comes_twice() -> None:
    """Neither within a file nor across the two, whatever the case and punctuation."""
    texts = [" ".join(words(row["text"], join=True)) for row in read_both()]
    assert len(set(texts)) == len(texts) == sum(SIZES.values())


@pytest.mark.parametrize("join", [True, False])
def test_no_two_items_share_five_words_in_a_row(join: bool) -> None:
    """Templates and filled slots would show here."""
    owners: defaultdict[tuple[str, ...], set[int]] = defaultdict(set)
    for number, row in enumerate(read_both()):
        item = words(row["text"], join=join)
        for start in range(len(item) - RUN + 1):
            owners[tuple(item[start : start + RUN])].add(number)
    assert [" ".join(run) for run, items in owners.items() if len(items) > 1] == []


def test_openings_vary() -> None:
    """No two-word opening serves more than three items."""
    openings = Counter(tuple(words(row["text"], join=True)[:2]) for row in read_both())
    assert max(openings.values()) <= 3


def test_words_alone_neither_fail_nor_suffice() -> None:
    """TF-IDF and logistic regression get most of the test rows right, but not all."""
    train, test = read("train"), read("test")
    vectorizer = TfidfVectorizer()
    model = LogisticRegression(max_iter=1000)
    model.fit(vectorizer.fit_transform([r["text"] for r in train]), [r["label"] for r in train])
    features = vectorizer.transform([row["text"] for row in test])
    assert 0.65 <= model.score(features, [row["label"] for row in test]) <= 0.92


def test_readme_says_how_it_was_made() -> None:
    """Sizes, origin and licence are written next to the data."""
    readme = (files("tightfit") / "sample" / "README.md").read_text(encoding="utf-8")
    for split, size in SIZES.items():
        assert f"`{split}.jsonl` | {size} | " in readme
    assert "CC0 1.0" in readme
    assert "language model" in readme
