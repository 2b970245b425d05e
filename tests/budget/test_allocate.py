"""Ranks that the cap decides: never over it, never less than it could pay, and the reason said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.budget.test_parameter_plan import plan_of
from tightfit.budget.allocate import largest_that_fits
from tightfit.budget.parameter_plan import Plan
from tightfit.budget.parts import price_at
from tightfit.budget.shapes import LinearShape
from tightfit.errors import BudgetError
from tightfit.families import Role
from tightfit.methods import PLAIN

ALL: tuple[Role, ...] = ("query", "key", "value", "attention-output", "mlp-in", "mlp-out")
OUTPUT = 768 * 4 + 4


def auto(budget: int | None, head: str = "auto") -> Plan:
    """Everything of RoBERTa-base is offered, and the cap decides."""
    return plan_of(rank=None, targets=ALL, budget=budget, head=head)


def ranks(plan: Plan) -> set[int]:
    """Of all adapters."""
    return {layer.rank for layer in plan.layers}


@pytest.mark.parametrize(
    ("cap", "adapters", "rank", "words"),
    [
        (None, 72, 64, "no cap holds: equal ranks stop at 64"),
        (30_000_000, 72, 64, "equal ranks stop at 64"),
        (1_000_000, 72, 6, "the largest equal rank that fits"),
        (OUTPUT + 165_888, 72, 1, "the largest equal rank that fits"),
        (OUTPUT + 165_887, 24, 4, "on query and value alone; rank 1 on all 72 layers costs 165,8"),
        (OUTPUT + 36_863, 12, 1, "on value alone"),
        (OUTPUT + 18_431, 10, 1, "on query and value in the uppermost 5 blocks alone"),
        (OUTPUT + 3_071, 1, 1, "on value in the uppermost block alone"),
        (OUTPUT + 1_535, 0, 0, "the head leaves 1,535, and the cheapest adapter costs 1,536"),
    ],
)
def test_the_ladder_on_roberta(cap: int | None, adapters: int, rank: int, words: str) -> None:
    """Equal ranks everywhere, fewer kinds, fewer blocks, the head alone."""
    plan = auto(cap)
    assert len(plan.layers) == adapters
    assert ranks(plan) == ({rank} if rank else set())
    assert words in plan.why
    assert ("budget.allocation=importance" in plan.why) == (0 < adapters < 72)
    assert plan.method == ("lora" if adapters else "none")


def test_the_uppermost_blocks_are_kept() -> None:
    """The last layers of the encoder, which are nearest to the task."""
    plan = auto(OUTPUT + 4 * 1536)
    assert [layer.name.split(".")[3] for layer in plan.layers] == ["10", "10", "11", "11"]


def test_a_cap_below_the_head_names_the_smallest() -> None:
    """A linear head costs 3,076, one of rank 1 no more than 776, and RoBERTa's own 593,668."""
    assert auto(OUTPUT).total == OUTPUT
    with pytest.raises(BudgetError, match=f"a cap of {OUTPUT:,} for the head alone"):
        auto(OUTPUT - 1, head="linear")
    with pytest.raises(BudgetError, match="a cap of 776 for the head alone"):
        auto(775)
    with pytest.raises(BudgetError, match="a cap of 593,668 for the head alone"):
        auto(OUTPUT, head="stock")


@given(
    st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), min_size=1, max_size=8),
    st.integers(0, 30_000),
    st.integers(0, 500),
)
def test_no_cap_is_exceeded_and_none_is_wasted(
    widths: list[tuple[int, int]], cap: int, head: int
) -> None:
    """Another rank on what was chosen would not fit, unless ranks stop for another reason."""
    layers = [
        LinearShape(f"x.{i}", (ALL[i % 6],), wide_in, wide_out, bias=True, block=i // 3)
        for i, (wide_in, wide_out) in enumerate(widths)
    ]
    chosen = largest_that_fits(layers, head=head, cap=cap).layers
    spent = head + sum(layer.parameters for layer in chosen)
    if not chosen:
        assert cap - head < max(price_at(1, [layer]) for layer in layers)
        return
    assert spent <= cap
    rank = chosen[0].rank
    stops = min(PLAIN.most_rank, *(min(x.in_features, x.out_features) for x in chosen))
    assert rank == stops or spent + price_at(1, chosen) > cap
