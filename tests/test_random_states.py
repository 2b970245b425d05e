"""No function of ours disturbs the random numbers of who calls it."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from types import FunctionType
from typing import Any

import numpy as np
import pytest
import torch

import tightfit
from tests.toy_setups import SHORT, Notes
from tightfit.errors import DataError
from tightfit.random_states import keep_random_states, take_turn

QUIET: dict[str, Any] = {"progress": Notes()}


def drawn() -> list[float]:
    """The next numbers of each generator."""
    return [random.random(), float(np.random.random()), float(torch.rand(()))]


def disturb() -> None:
    """Seed all of them, and draw."""
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(7)
    drawn()


def trained(bert: Path, rows: Path) -> dict[str, Any]:
    """Options of a short training."""
    return {**QUIET, "model": str(bert), "settings": [*SHORT, "train.max_steps=1"]}


CALLS: dict[str, Callable[[Path, Path, Path, Path], Any]] = {
    "audit": lambda run, rows, bert, out: tightfit.audit(run),
    "check": lambda run, rows, bert, out: tightfit.check(rows, model=str(bert), **QUIET),
    "compare": lambda run, rows, bert, out: tightfit.compare(
        rows, only=["head-only"], out=out, **trained(bert, rows)
    ),
    "doctor": lambda run, rows, bert, out: tightfit.doctor(),
    "dry_run": lambda run, rows, bert, out: tightfit.dry_run(rows, **trained(bert, rows)),
    "evaluate": lambda run, rows, bert, out: tightfit.evaluate(run, rows, **QUIET),
    "export": lambda run, rows, bert, out: tightfit.export(run, "merged", out, **QUIET),
    "import_adapter": lambda run, rows, bert, out: tightfit.import_adapter(
        run / "adapter", str(bert), out=out, **QUIET
    ),
    "make_cascade": lambda run, rows, bert, out: tightfit.make_cascade(run, max_loss=0.5, **QUIET),
    "plan": lambda run, rows, bert, out: tightfit.plan(str(bert)),
    "predict": lambda run, rows, bert, out: tightfit.predict(
        run, rows, out.with_suffix(".csv"), **QUIET
    ),
    "report": lambda run, rows, bert, out: tightfit.report(run),
    "runs": lambda run, rows, bert, out: tightfit.runs(run),
    "train": lambda run, rows, bert, out: tightfit.train(rows, out=out, **trained(bert, rows)),
}
"""Every public function, called for real: with a run of its own, its rows, and a path to write."""


@pytest.fixture(scope="module")
def run(bert: Path, rows_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run that derived files may be added to."""
    out = tmp_path_factory.mktemp("runs") / "run"
    return tightfit.train(rows_file, out=out, **trained(bert, rows_file)).run


def test_every_public_function_is_called_here() -> None:
    """A new one needs its line."""
    functions = {n for n in tightfit.__all__ if isinstance(getattr(tightfit, n), FunctionType)}
    assert functions == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_a_function_leaves_the_callers_random_numbers(
    name: str, run: Path, rows_file: Path, bert: Path, tmp_path: Path
) -> None:
    """What is drawn after the call is what would have been drawn without it."""
    disturb()
    expected = drawn()
    disturb()
    CALLS[name](run, rows_file, bert, tmp_path / "out")
    assert drawn() == expected


def test_loading_a_model_leaves_them_too(run: Path) -> None:
    """``transformers`` draws a head before it loads one."""
    disturb()
    expected = drawn()
    disturb()
    assert tightfit.Run.load(run).classifier
    tightfit.Run.load(run).predict(["goal match"])
    assert drawn() == expected


@keep_random_states()
def fails() -> None:
    """Disturb, and end in an error."""
    disturb()
    raise ZeroDivisionError


def test_they_are_put_back_after_an_error_too() -> None:
    """The caller may catch it and go on."""
    disturb()
    expected = drawn()
    disturb()
    with pytest.raises(ZeroDivisionError):
        fails()
    assert drawn() == expected


@pytest.mark.parametrize("used", [True, False])
def test_generators_of_gpus(monkeypatch: pytest.MonkeyPatch, used: bool) -> None:
    """Those in use are put back; those set up meanwhile are seeded as the caller seeded torch."""
    calls: list[tuple[str, Any]] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: used)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: ["state"])
    for name in ("set_rng_state_all", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, lambda value, name=name: calls.append((name, value)))
    torch.manual_seed(11)
    with keep_random_states():
        torch.manual_seed(42)
    last = ("set_rng_state_all", ["state"]) if used else ("manual_seed_all", 11)
    assert calls[-1] == last


PROGRAM = """
import sys
from tightfit.random_states import keep_random_states
with keep_random_states():
    assert not {{"torch", "numpy"}} & set(sys.modules)
    {inside}
{after}
"""


def in_fresh_python(inside: str, after: str) -> str:
    """What a program prints that calls us before it imports anything itself."""
    program = PROGRAM.format(inside=inside, after=after)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return result.stdout.decode().strip()


def test_libraries_that_nobody_has_imported_yet() -> None:
    """None is imported for this; one that we import is left as whoever imports it finds it."""
    assert in_fresh_python("pass", "print({'torch', 'numpy'} & set(sys.modules))") == "set()"
    seeded = in_fresh_python("import numpy; numpy.random.seed(42)", "print(numpy.random.random())")
    assert float(seeded) != np.random.RandomState(42).random_sample()
    first = in_fresh_python("import torch; torch.manual_seed(42)", "print(float(torch.rand(())))")
    assert float(first) == float(torch.rand((), generator=torch.Generator()))


def test_whatever_seeds_takes_turns() -> None:
    """Each of several threads draws what its own seed gives."""

    def first_after(seed: int) -> float:
        with take_turn():
            random.seed(seed)
            time.sleep(0.002)
            return random.random()

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(first_after, range(8)))
    assert found == [random.Random(seed).random() for seed in range(8)]


def test_nothing_is_put_back_beneath_a_training() -> None:
    """Another thread would take it back to draws that it has had."""
    numbers: list[float] = []
    with take_turn():
        random.seed(3)
        beside = Thread(target=keep_random_states()(lambda: numbers.append(random.random())))
        beside.start()
        beside.join()
        numbers.append(random.random())
    again = random.Random(3)
    assert numbers == [again.random(), again.random()]


@pytest.mark.parametrize("name", ["compare", "dry_run", "train"])
def test_a_training_waits_for_its_turn(name: str) -> None:
    """Even one that will be refused."""

    def refused() -> None:
        with pytest.raises(DataError):
            getattr(tightfit, name)(object())

    waiting = Thread(target=refused)
    with take_turn():
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
    waiting.join(60)
    assert not waiting.is_alive()


def test_functions_can_be_sent_to_worker_processes() -> None:
    """By name, as ``multiprocessing`` does it."""
    for name in CALLS:
        assert pickle.loads(pickle.dumps(getattr(tightfit, name))) is getattr(tightfit, name)
