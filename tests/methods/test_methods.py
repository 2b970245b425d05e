"""The records of the methods: priced by hand, known to PEFT, and asked rather than compared."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from peft import get_peft_config

import tightfit
from tightfit.config import load_config
from tightfit.methods import KINDS, METHODS

SOURCE = Path(tightfit.__file__).parent


@pytest.mark.parametrize(
    ("method", "kind", "price", "words", "largest"),
    [
        ("lora", 0, 3 * (8 + 5), "3 x (8 + 5)", 5),
        ("lora", 1, 3 * (8 + 5) + 5, "3 x (8 + 5) + 5", 5),
        ("vera", 0, 3 + 5, "3 + 5", 40),
    ],
)
def test_the_price_of_rank_3_on_5_x_8(
    method: str, kind: int, price: int, words: str, largest: int
) -> None:
    """A (3, 8) and B (5, 3); DoRA's lengths, one an output; VeRA's b of 5 and d of 3."""
    adapter = METHODS[method].kinds[kind]
    assert (adapter.price(3, 8, 5), adapter.price_words(3, 8, 5)) == (price, words)
    assert adapter.largest_rank(8, 5) == largest


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.peft_type])
def test_peft_understands_the_record(name: str) -> None:
    """Layers, ranks and dropout arrive under the names that PEFT has for them."""
    settings = load_config("paper", ["adapters.dropout=0.25"]).adapters
    told = METHODS[name].peft_settings({"a.query": 3, "b.query": 2}, settings)
    made = get_peft_config(told)
    assert made.peft_type == METHODS[name].peft_type
    assert made.target_modules == {"a.query", "b.query"}
    if METHODS[name].kinds:
        assert (made.r, getattr(made, f"{name}_dropout")) == (3, 0.25)


def test_a_plan_lists_lora_s_kinds_alone() -> None:
    """VeRA's adapters are listed as vectors; a file that lists one as a layer is damaged."""
    assert list(KINDS) == ["lora", "dora"]
    assert [METHODS[name].matrices for name in ("lora", "vera", "ia3")] == [True, False, False]


def test_no_module_compares_a_method_s_name() -> None:
    """What depends on the method is a field of its record, or a function of it."""
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Compare | ast.Match):
                asked = ast.unparse(node.subject if isinstance(node, ast.Match) else node)
                if "method" in asked and any(f"'{name}'" in ast.unparse(node) for name in METHODS):
                    found.append(f"{path.relative_to(SOURCE)}:{node.lineno}: {asked}")
    assert found == []
