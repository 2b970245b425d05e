"""Mutation testing: how many small faults in what must never be wrong do the tests notice?

Usage: ``python scripts/mutants.py [PART OF A MODULE'S PATH ...]``; without any, all modules below.
Each mutant is a copy of the package in which one operator, number, keyword, loop or decorator is
another, as cosmic-ray changes them, and lives until one of its module's tests fails. Packages such
as torch are loaded once, in the process from which that of each mutant is forked.
"""

from __future__ import annotations

import difflib
import gc
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import parso
import pytest
from cosmic_ray.ast import ast_nodes
from cosmic_ray.operators.provider import OperatorProvider

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "tightfit"

OF_PLANS = (
    "budget/test_parameter_plan budget/test_plan_settings budget/test_allocate "
    "model/test_low_rank model/test_linear_head methods/test_variants"
)

TESTS = {
    "budget/parameter_plan.py": OF_PLANS,
    "budget/plan_settings.py": OF_PLANS,
    "storage/files.py": "storage/test_seal storage/test_lock training/test_checkpoint",
    "storage/folder.py": "storage/test_seal storage/test_lock training/test_resume",
    "storage/lock.py": "storage/test_lock",
    "storage/seal.py": "storage/test_seal verbs/test_check",
    "storage/whole.py": "storage/test_whole",
    "model/proofs.py": "model/test_proofs model/test_published_failure",
}
"""The tests of each module that is tried, the nearest first."""

SAMPLED = {"model/proofs.py": 100}
"""Modules of which so many mutants are drawn; of the others all are tried."""

SEED = 6
SECONDS = 300
"""A mutant that takes longer hangs, which its tests would notice."""

COUNTERPARTS = {
    "ReplaceBinaryOperator": "Add_Sub Sub_Add Mul_FloorDiv FloorDiv_Mul Div_Mul Mod_Mul Pow_Mul "
    "BitOr_BitAnd BitAnd_BitOr",
    "ReplaceComparisonOperator": "Eq_NotEq NotEq_Eq Is_IsNot IsNot_Is "
    "Lt_LtE Lt_Gt Lt_GtE Lt_Eq Lt_NotEq LtE_Lt LtE_Gt LtE_GtE LtE_Eq LtE_NotEq "
    "Gt_LtE Gt_Lt Gt_GtE Gt_Eq Gt_NotEq GtE_Lt GtE_Gt GtE_LtE GtE_Eq GtE_NotEq",
    "ReplaceUnaryOperator": "Delete_Not Delete_USub Delete_Invert",
}
"""One for each arithmetic operator, the opposite of each equality, every other order for an order.
The rest mostly end in an error of type, which any test notices."""

HEAVY = "torch transformers peft datasets pandas sklearn typer pydantic filelock"
"""Loaded once for all mutants."""

EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")


@dataclass(frozen=True)
class Mutant:
    """One change of one module."""

    module: str
    operator: str
    line: int
    was: str
    becomes: str
    """The line as it was, and as it is; empty where it is gone."""
    code: str
    """The whole module."""


def mutants_of(module: str) -> list[Mutant]:
    """All mutants of a module, or as many as are sampled, in the order of the file."""
    source = (PACKAGE / module).read_text("utf-8")
    found = {mutant.code: mutant for mutant in _mutants(module, source)}
    every = list(found.values())
    count = min(SAMPLED.get(module, len(every)), len(every))
    chosen = random.Random(SEED).sample(every, count)
    return sorted(chosen, key=lambda mutant: (mutant.line, mutant.operator, mutant.becomes))


def _mutants(module: str, source: str) -> Iterator[Mutant]:
    provider = OperatorProvider()
    for name in filter(_is_wanted, provider):
        operator = provider[name]()
        # A change is made in place, so that each needs a tree of its own.
        for number, node in enumerate(ast_nodes(parso.parse(source))):
            if _is_annotation(node):
                continue
            for index, _ in enumerate(operator.mutation_positions(node)):
                code = _changed(source, number, operator, index)
                if _compiles(code):
                    yield _described(module, name, source, code)


def _compiles(code: str) -> bool:
    """Not so where the operator is punctuation, such as the star before named arguments."""
    try:
        compile(code, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _is_wanted(name: str) -> bool:
    kind, _, pair = name.partition("_")
    if kind in COUNTERPARTS:
        return pair in COUNTERPARTS[kind].split()
    return not kind.startswith("Variable")  # these need to be told variables


def _is_annotation(node: Any) -> bool:
    """Whether the node stands in an annotation, which is never evaluated."""
    while node.parent is not None:
        above = node.parent
        if above.type == "annassign" and node is above.children[1]:
            return True
        if above.type == "tfpdef" and node is not above.children[0]:
            return True
        if above.type == "funcdef" and node is above.annotation:
            return True
        node = above
    return False


def _changed(source: str, number: int, operator: Any, index: int) -> str:
    tree = parso.parse(source)
    node = next(node for i, node in enumerate(ast_nodes(tree)) if i == number)
    again = operator.mutate(node, index)
    if again is not node:
        siblings = node.parent.children
        siblings[siblings.index(node)] = again or parso.parse("")
    code: str = tree.get_code()
    return code


def _described(module: str, operator: str, source: str, code: str) -> Mutant:
    before, after = source.splitlines(), code.splitlines()
    spans = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    _, start, end, *other = next(span for span in spans if span[0] != "equal")
    was, becomes = (
        " ".join(" ".join(x).split()) for x in (before[start:end], after[slice(*other)])
    )
    return Mutant(module, operator, start + 1, was, becomes, code)


# --- running -----------------------------------------------------------------------------------


def fate(module: str, code: str, folder: Path) -> str:
    """``killed``, ``hung`` or ``survived``: of a module with this code, by its tests."""
    target = folder / "tightfit" / module
    whole = target.read_text("utf-8")
    target.write_text(code, "utf-8")
    # A file that is changed twice in a second would be taken from its old byte code.
    for stale in target.parent.glob(f"__pycache__/{target.stem}.*"):
        stale.unlink()
    child = os.fork()
    if child == 0:
        os.setsid()  # its own processes end with it
        try:
            os._exit(_run_tests(module, folder))
        finally:  # not to the end of the parent's program
            os._exit(1)
    status = _wait(child)
    target.write_text(whole, "utf-8")
    if status is None:
        return "hung"
    return "survived" if status == 0 else "killed"


def _run_tests(module: str, folder: Path) -> int:
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(quiet, stream)
    os.environ |= {"PYTHONPATH": str(folder), "HF_HUB_OFFLINE": "1"}
    sys.path.insert(0, str(folder))
    profiles = hypothesis.settings
    profiles.register_profile(
        "quick", phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate]
    )
    profiles.load_profile("quick")  # the smallest example that fails need not be found
    tests = [f"tests/{name}.py" for name in TESTS[module].split()]
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:unraisableexception"]
    options += ["-p", "no:anyio", "--basetemp", str(folder / "tests")]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what was loaded before
    return int(pytest.main([*options, *tests]))


def _wait(child: int) -> int | None:
    """The exit status of a child; None if it had to be ended."""
    for _ in range(20 * SECONDS):  # naps, not the clock: a machine that sleeps does not hang
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def equivalents() -> dict[tuple[str, str, str], str]:
    """Mutants that no test can notice, by module, line before and line after; and why."""
    listed = tomllib.loads(EQUIVALENT.read_text("utf-8"))["mutant"]
    return {(each["module"], each["was"], each["becomes"]): each["why"] for each in listed}


def main(parts: list[str]) -> None:
    """Try all mutants and print the survivors and the table."""
    for name in HEAVY.split():
        importlib.import_module(name)
    gc.freeze()
    os.chdir(ROOT)
    modules = [m for m in TESTS if not parts or any(part in m for part in parts)]
    known = equivalents()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(PACKAGE, folder / "tightfit", ignore=shutil.ignore_patterns("__pycache__"))
        rows = [(module, _try(module, folder, known)) for module in modules]
    print("| module | mutants | killed | hung | equivalent | survived | noticed, of the rest |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for module, told in [*rows, ("all", sum((told for _, told in rows), Counter[str]()))]:
        share = (told["killed"] + told["hung"]) / max(1, told.total() - told["equivalent"])
        counts = (told.total(), *(told[x] for x in ("killed", "hung", "equivalent", "survived")))
        print(f"| {module} | {' | '.join(f'{n:,}' for n in counts)} | {share:.1%} |")


def _try(module: str, folder: Path, known: dict[tuple[str, str, str], str]) -> Counter[str]:
    whole = (PACKAGE / module).read_text("utf-8")
    if fate(module, whole, folder) != "survived":
        raise SystemExit(f"the tests of {module} fail without any change")
    told = Counter[str]()
    for mutant in mutants_of(module):
        end = fate(module, mutant.code, folder)
        if end == "survived" and (module, mutant.was, mutant.becomes) in known:
            end = "equivalent"
        told[end] += 1
        if end == "survived":
            print(f"{module}:{mutant.line} {mutant.operator}", flush=True)
            print(f"  - {mutant.was}\n  + {mutant.becomes}", flush=True)
    return told


if __name__ == "__main__":
    main(sys.argv[1:])
