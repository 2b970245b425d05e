"""Groups of near duplicates, against comparing everything with everything."""

from __future__ import annotations

import pytest

from tests.data.checks.test_near import versions
from tests.planted import edited, sample
from tightfit import extras
from tightfit.data.checks.near import ALIKE, likeness, plain_form
from tightfit.data.checks.near_groups import GROUPED, near_crossing, near_groups
from tightfit.data.facts import NearCopies


def test_rows_that_are_alike_are_in_one_group() -> None:
    """Versions of items around the limit: near duplicates are together, and others by a chain."""
    texts = versions(seed=1, items=40)
    forms, groups = [plain_form(text) for text in texts], near_groups(texts)
    pairs = [(i, j) for i in range(len(texts)) for j in range(i)]
    together = {(i, j) for i, j in pairs if groups[i] == groups[j]}
    far = {(i, j): likeness(forms[i], forms[j]) for i, j in pairs}
    assert {pair for pair, found in far.items() if found >= ALIKE} <= together
    # Each member has a link: groups are what such pairs make, and nothing more.
    linked = {row for pair in together if far[pair] >= GROUPED for row in pair}
    assert {i for i in range(len(texts)) if groups.count(groups[i]) > 1} == linked


def test_copies_share_a_group_and_empty_rows_do_not() -> None:
    """Exact copies, other spacing and case; a row without a text is like none."""
    groups = near_groups(
        ["Stocks fell today", "Stocks  fell today", "STOCKS fell, today!", "", " "]
    )
    assert groups[0] == groups[1] == groups[2]
    assert len(set(groups)) == 3


def test_near_copies_across_a_split_are_counted_exact_ones_left_out() -> None:
    """Each held-out item has an edited copy on the other side, and one has an exact copy more."""
    held = sample().texts[:20]
    copies = [edited(text, index) for index, text in enumerate(held)]
    found = near_crossing([*copies, *sample().texts[100:300], held[0]], held, seed=0)
    assert found == NearCopies(20, 20, 220)
    assert (found.warning(rows=221) or "").startswith(
        "20 of 20 validation rows looked at have a near copy among 220 of 221 training rows"
    )


def test_rows_that_differ_are_no_reason_for_a_word() -> None:
    """The written items of the sample are all different."""
    found = near_crossing(sample().texts[:300], sample().texts[300:400], seed=0)
    assert found is not None
    assert found.warning(rows=300) is None


def test_without_its_library_nothing_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training must not need the extra for checks."""
    monkeypatch.setattr(extras, "available", lambda _: False)
    assert near_crossing(["a b c"], ["a b c"], seed=0) is None
