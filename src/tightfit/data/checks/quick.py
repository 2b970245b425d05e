"""What a look of a second or two finds, before a training begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tightfit.data.cell_labels import NOTHING
from tightfit.data.checks.characters import find_undecodable, lacks_text
from tightfit.data.checks.markup import find_markup
from tightfit.data.checks.repeats import contradictory_rows, repeated_rows, text_key
from tightfit.data.checks.spelling import spelling_warning
from tightfit.data.text_pair import are_pairs
from tightfit.errors import first_few

LOPSIDED = 10.0
"""Ratio of the largest class to the smallest that deserves a word."""

LISTED = 5
"""Classes without rows that are named."""


def quick_warnings(
    texts: Sequence[str],
    *,
    strata: Sequence[int],
    counts: Mapping[str, int],
    held: Sequence[str] = (),
) -> list[str]:
    """What people should know of their rows before they train on them, one sentence each.

    About a second for 50,000 rows of news: exact comparisons only, no near duplicates, no judged
    labels. ``tightfit check`` looks for all of it.

    Args:
        texts: rows to train on.
        strata: the same number for rows of the same label.
        counts: rows of each label, those without any among them; empty where there are no labels.
        held: rows to validate on.
    """
    keys = [text_key(text) for text in texts]
    held_keys = {text_key(text) for text in held} - {""}
    blank = f"have no visible character{' in one of their texts' if are_pairs(texts) else ''}"
    faults = {
        "repeat an earlier row": len(repeated_rows(keys, strata)),
        "have a text that also has another label": len(contradictory_rows(keys, strata)),
        "are also validation rows, which flatters the score": sum(key in held_keys for key in keys),
        blank: sum(map(lacks_text, texts)),
        "have a text such as 'nan' or 'null', which may stand for none": sum(map(_is_none, texts)),
        "hold characters that were lost or misread": _count(texts, find_undecodable),
        "hold HTML markup such as &lt; or #39;": _count(texts, find_markup),
    }
    sentences = [
        f"{count:,} of {len(texts):,} training rows {fault}"
        for fault, count in faults.items()
        if count
    ]
    sentences += [
        f"label {name!r} is a class with {count:,} of the training rows; leave such rows out if it "
        "means that they have none"
        for name, count in counts.items()
        if count and _is_none(name)
    ]
    spelling = spelling_warning(counts)
    return sentences + ([spelling] if spelling else []) + _uneven(counts)


def _is_none(text: str) -> bool:
    """``None`` and ``NA`` are names, too."""
    word = text.strip().lower()
    return word in NOTHING and word not in ("none", "na")


def _count(texts: Sequence[str], find: Callable[[str], object]) -> int:
    return sum(find(text) is not None for text in texts)


def _uneven(counts: Mapping[str, int]) -> list[str]:
    """Sentences about classes without rows, and about one that outnumbers another by far."""
    if not counts:
        return []
    present = {name: count for name, count in counts.items() if count}
    absent = [name for name in counts if name not in present]
    sentences = []
    if absent:
        names = first_few([repr(name) for name in absent], LISTED)
        sentences.append(f"no training row has the label {names}")
    most, least = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
    ratio = present[most] / present[least]
    if ratio >= LOPSIDED:
        sentences.append(
            f"label {most!r} has {ratio:,.0f} times as many training rows as {least!r} "
            f"({present[most]:,} and {present[least]:,})"
        )
    return sentences
