"""The mutants are what they should be, and those that are excused still exist."""

from __future__ import annotations

import pytest

pytest.importorskip("cosmic_ray", reason="only 'make mutants' installs it")

import mutants

SNIPPET = """
def least(a: int | None = 1, *, strict: bool = False) -> int | None:
    if a is None or a < 2:
        return None
    return a + 1
"""


def test_a_mutant_changes_one_thing() -> None:
    """Annotations stay, which nothing evaluates; code that is none is left out."""
    found = list(mutants._mutants("least.py", SNIPPET))
    before = "if a is None or a < 2:"
    signature = "def least(a: int | None = {}, *, strict: bool = {}) -> int | None:"
    assert {mutant.becomes for mutant in found if mutant.was == before} == {
        *(f"if a is None or a {order} 2:" for order in ("<=", ">", ">=", "==", "!=")),
        *("if a is not None or a < 2:", "if a is None and a < 2:"),
        *("if not a is None or a < 2:", "if a is None or a < 1:", "if a is None or a < 3:"),
    }
    assert {m.becomes for m in found if m.was == signature.format(1, False)} == {
        *(signature.format(number, False) for number in ("0", "2")),
        signature.format(1, True),
    }
    assert {m.becomes for m in found if "return a" in m.was} == {
        *("return a - 1", "return a + 0", "return a + 2"),
    }


def test_the_sample_is_seeded() -> None:
    """The same hundred mutants each time."""
    one, two = (mutants.mutants_of("model/proofs.py") for _ in range(2))
    assert one == two
    assert len({mutant.code for mutant in one}) == 100


def test_every_excused_mutant_exists() -> None:
    """Each with its reason; a line that was changed since needs to be looked at again."""
    excused = mutants.equivalents()
    made = {
        (mutant.module, mutant.was, mutant.becomes)
        for module in {module for module, _, _ in excused}
        for mutant in mutants.mutants_of(module)
    }
    assert excused.keys() <= made
    assert all(excused.values())
