"""Ctrl-C and SIGTERM become requests to stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.toy_setups import SHORT
from tests.toys import toy_rows, write_jsonl
from tightfit import train
from tightfit.errors import Interrupted
from tightfit.training.signals import stop_on_signals
from tightfit.verbs import run_training


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks(number: signal.Signals) -> None:
    """It is remembered, and nothing is interrupted."""
    with stop_on_signals() as request:
        assert request.signal is None
        os.kill(os.getpid(), number)
        assert request.signal == number


@pytest.fixture
def usual_interrupt() -> Iterator[None]:
    """As in a foreground program; shells start those in the background with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("usual_interrupt")
def test_the_second_signal_interrupts() -> None:
    """Whoever presses Ctrl-C twice means it."""
    with stop_on_signals() as request:
        os.kill(os.getpid(), signal.SIGINT)
        assert request.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_handler_that_is_not_pythons_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a program that embeds Python: it could not be put back at the end of a training."""
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as embedded:
        embedded.setattr(signal, "getsignal", lambda number: None)
        with stop_on_signals():
            pass
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_handlers_are_put_back() -> None:
    """Afterwards signals do what they did before."""
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_in_another_thread_nothing_is_caught() -> None:
    """Python gives signals to the main thread alone; a request there is just never made."""
    seen: list[object] = []

    def work() -> None:
        with stop_on_signals() as request:
            seen.append(request.signal)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]


def test_after_the_last_step_resume_is_told_of(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proofs and scores wait for no signal; the same command would find its folder there."""
    rows, given = write_jsonl(tmp_path / "rows.jsonl", toy_rows(40)), [*SHORT, "optim.epochs=1"]

    def ended(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_training, "_finish", ended)
        with pytest.raises(Interrupted, match="resume=True out=") as found:
            train(rows, model=str(bert), settings=given, out=tmp_path / "run")
    assert found.value.exit_code == 130
    train(rows, model=str(bert), settings=given, out=tmp_path / "run", resume=True)
