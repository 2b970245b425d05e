"""The house rules, read off the source itself: floors, imports, sizes, words.

What ruff and mypy check (types, complexity, unused names) is left to them.
"""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import tightfit
from tightfit import errors
from tightfit.errors import Fault, TightfitError

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "tightfit"

FLOORS = {
    "errors": 0,  # every floor may raise
    "blas_threads": 1,
    "digests": 1,
    "extras": 1,
    "progress": 1,
    "random_states": 1,
    "torch_modes": 1,
    "user_cache": 1,
    "families": 1,
    "methods": 1,
    "arrow": 2,
    "known_digests": 2,
    "config": 2,
    "storage": 2,
    "data": 3,
    "budget": 3,
    "metrics": 3,
    "tasks": 4,
    "encoder": 4,
    "display": 4,
    "model": 5,
    "engines": 6,
    "diagnosis": 6,
    "training": 7,
    "cascade": 8,
    "batch_predict": 8,
    "run": 9,  # the one reader of a run
    "exporting": 10,
    "reporting": 10,
    "experiments": 10,
    "verbs": 11,
    "estimator": 12,  # the front for scikit-learn
    "": 13,  # tightfit/__init__.py shows the verbs to Python users, lazily
    "cli": 14,
    "__main__": 15,
}
"""A module imports from floors below its own, or from its own package."""

IMPORTS_IN_FUNCTIONS = {"extras", "methods", "progress", "tasks", "run", "verbs", "cli", ""}
"""Where an import may wait: optional packages, and what must answer before torch is there."""

WITHOUT_TORCH = ("budget", "metrics", "data.sources", "data.labels", "data.splits", "data.checks")
"""What must answer in under a second, or work on numbers and rows alone."""

MAX_FILE = 400
MAX_BODY = 50
MAX_BODY_OF_FIT = 60  # the training loop is to be read on one screen, whole
MAX_MEDIAN_BODY = 12
MAX_POSITIONAL = 4
MAX_TEST_BODY = 15

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(folder: Path = SOURCE) -> dict[str, Path]:
    """Dotted name within the package (``data.table``; ``storage`` for its ``__init__``) to file."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
TEST_FILES = sorted((ROOT / "tests").rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    """The parsed source of a file."""
    return ast.parse(path.read_text("utf-8"), str(path))


def imports(path: Path, *, at_once: bool = False) -> Iterator[str]:
    """Dotted names that a file imports, anywhere in it, or only what it does not load at first use
    nor for types alone."""
    tree = tree_of(path)
    for node in tree.body if at_once else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def own_imports(path: Path, *, at_once: bool = False) -> set[str]:
    """The modules of our own package that a file imports, as keys of :data:`MODULES`."""
    names = set()
    for imported in imports(path, at_once=at_once):
        first, _, name = imported.partition(".")
        if first == "tightfit":
            # The last part may be a function or class; the module is the longest known prefix.
            while name and name not in MODULES:
                name = name.rpartition(".")[0]
            names.add(name)
    return names


def reached_from(names: list[str], *, at_once: bool = False) -> set[str]:
    """These modules of ours, and all that they import, and so on."""
    reached, waiting = set(names), list(names)
    while waiting:
        fresh = own_imports(MODULES[waiting.pop()], at_once=at_once) - reached
        reached |= fresh
        waiting += fresh
    return reached


@cache
def functions(path: Path) -> list[Function]:
    """Every function in a file, methods and inner ones included."""
    return [node for node in ast.walk(tree_of(path)) if isinstance(node, Function)]


def body_lines(function: Function) -> int:
    """Lines of a function's body, the docstring left out."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def named(function: Function, path: Path) -> str:
    """Where a function is, for a message."""
    return f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"


def test_modules_import_only_from_floors_below() -> None:
    """The floor table holds, imports inside functions included; no package is left out of it."""
    wrong = []
    for name, path in MODULES.items():
        package = name.partition(".")[0]
        for other in own_imports(path):
            other_package = other.partition(".")[0]
            if package != other_package and FLOORS[other_package] >= FLOORS[package]:
                wrong.append(
                    f"{name or 'tightfit'} (floor {FLOORS[package]}) imports "
                    f"{other or 'tightfit'} (floor {FLOORS[other_package]})"
                )
    assert wrong == []


def test_no_import_cycle() -> None:
    """Modules can be ordered so that each comes after all that it imports."""
    graph = {name: own_imports(path) - {name} for name, path in MODULES.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


def test_no_name_occurs_twice() -> None:
    """Of modules and packages: a name in a search or a traceback says which is meant."""
    names = Counter(name.rpartition(".")[2] for name in MODULES)
    assert [name for name, count in names.items() if count > 1] == []


def test_no_module_hides_a_public_name() -> None:
    """Importing ``tightfit.x`` would put the module in the place of what ``tightfit.x`` was."""
    assert set(FLOORS).isdisjoint(tightfit.__all__)
    assert {path.name.partition(".")[0] for path in SOURCE.iterdir()}.isdisjoint(tightfit.__all__)


def test_imports_stand_at_the_top() -> None:
    """An import inside a function hides what a module needs; the few exceptions are listed."""
    hidden = [
        named(function, path)
        for name, path in MODULES.items()
        if name.partition(".")[0] not in IMPORTS_IN_FUNCTIONS
        for function in functions(path)
        if any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(function))
    ]
    assert hidden == []


def test_light_modules_never_reach_torch() -> None:
    """Neither by themselves nor through anything of ours that they import."""
    light = [name for name in MODULES if name.startswith(WITHOUT_TORCH)]
    for name in reached_from(light):
        roots = {imported.partition(".")[0] for imported in imports(MODULES[name])}
        assert not roots & {"torch", "transformers", "peft", "accelerate"}, name


def test_a_training_waits_for_scikit_learn_only_where_it_asks_it() -> None:
    """That brings pandas and ``scipy.stats``, and takes longer to load than most of our own."""
    for name in reached_from(["verbs.run_training", "verbs.name_training"], at_once=True):
        loaded = set(imports(MODULES[name], at_once=True))
        assert not [each for each in loaded if each.startswith(("sklearn", "scipy.stats"))], name


def test_planning_loads_nothing_heavy() -> None:
    """A price is a sum of integers: asking for one must not wait for numpy, let alone torch."""
    names = [f"tightfit.{name}".rstrip(".") for name in MODULES if name.startswith("budget")]
    program = f"import sys, {', '.join(['tightfit.config', *names])}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert not {"torch", "numpy", "transformers"} & set(loaded.stdout.decode().split())


def test_files_are_short() -> None:
    """What does not fit is two things."""
    lines = {name: len(path.read_text("utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: count for name, count in lines.items() if count > MAX_FILE} == {}


def test_function_bodies_are_short() -> None:
    """The one loop that is allowed more is ``fit``."""
    too_long = [
        f"{named(function, path)}: {body_lines(function)} lines"
        for path in MODULES.values()
        for function in functions(path)
        if body_lines(function) > (MAX_BODY_OF_FIT if function.name == "fit" else MAX_BODY)
    ]
    assert too_long == []


def test_most_functions_are_a_few_lines() -> None:
    """The median over the whole package."""
    bodies = [body_lines(f) for path in MODULES.values() for f in functions(path)]
    assert statistics.median(bodies) <= MAX_MEDIAN_BODY


def test_few_positional_arguments() -> None:
    """Beyond four, a call can no longer be read without names."""
    too_many = []
    for path in MODULES.values():
        for function in functions(path):
            given = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
            given = given[1:] if given[:1] in (["self"], ["cls"]) else given
            if len(given) > MAX_POSITIONAL:
                too_many.append(named(function, path))
    assert too_many == []


def public_nodes(tree: ast.Module) -> Iterator[ast.Module | ast.ClassDef | Function]:
    """A module, and its classes, functions and methods whose name, and whose class, is public."""
    waiting: list[ast.Module | ast.ClassDef | Function] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function):
            waiting += [
                child
                for child in node.body
                if isinstance(child, ast.ClassDef | Function) and not child.name.startswith("_")
            ]


def test_public_names_have_docstrings() -> None:
    """All of them."""
    without = [
        f"{name}: {getattr(node, 'name', 'the module')}"
        for name, path in MODULES.items()
        for node in public_nodes(tree_of(path))
        if not ast.get_docstring(node)
    ]
    assert without == []


def test_nothing_prints() -> None:
    """Words for people go through a progress to stderr, results through the command line."""
    prints = [
        f"{name}:{node.lineno}"
        for name, path in MODULES.items()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]
    assert prints == []


def test_the_drawn_error_tree_is_the_real_one() -> None:
    """Names, parents and exit codes in the docstring of ``errors`` are those of the classes."""
    drawn: dict[str, tuple[str, int]] = {}
    parents = ["Fault"]
    for indent, name, code in re.findall(
        r"^( *[│ ]*)[├└]── (\w+) *(?:exit (\d+))?", errors.__doc__ or "", re.MULTILINE
    ):
        depth = (len(indent) - 4) // 4
        parents[depth + 1 :] = [name]
        inherited = drawn.get(parents[depth], ("", TightfitError.exit_code))[1]
        drawn[name] = (parents[depth], int(code) if code else inherited)
    real = {
        name: (value.__bases__[0].__name__, value.exit_code)
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Fault) and value is not Fault
    }
    assert drawn == real


def test_test_bodies_are_short() -> None:
    """A test that needs more than fifteen lines tests more than one thing."""
    too_long = [
        f"{named(function, path)}: {body_lines(function)} lines"
        for path in TEST_FILES
        for function in functions(path)
        if function.name.startswith("test_") and body_lines(function) > MAX_TEST_BODY
    ]
    assert too_long == []


def test_every_test_runs_under_its_own_name() -> None:
    """A second test of the same name in a file would replace the first in silence."""
    for path in TEST_FILES:
        names = [node.name for node in tree_of(path).body if isinstance(node, Function)]
        assert len(names) == len(set(names)), path.name
