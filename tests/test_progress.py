"""Words for people go to stderr, and a library call is silent unless given a progress."""

from __future__ import annotations

import io
from functools import partial

import pytest
from rich.console import Console

from tests.toy_setups import CountingBar, Notes
from tightfit.progress import Bar, Once, Patient, Progress, RichProgress, Within


def test_the_base_voice_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    """It still gives a bar to whoever tracks something."""
    progress = Progress()
    progress.say("words")
    progress.warn("more")
    with progress.track("counting", 3) as bar:
        bar.advance(2, "note")
    assert isinstance(bar, Bar)
    assert capsys.readouterr() == ("", "")


def test_a_patient_one_says_a_line_when_it_takes_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, and not before it is due."""
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    progress = Patient("this takes long", seconds=5.0)
    with progress.track("training", 10) as bar:
        for clock[0] in (1.0, 4.0):
            bar.advance()
        with pytest.warns(UserWarning, match="^other words$"):
            progress.warn("other words")
        assert capsys.readouterr().err == ""
        for clock[0] in (5.0, 6.0, 7.0):
            bar.advance()
            progress.say("other words")
    assert capsys.readouterr() == ("", "this takes long\n")


def test_words_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output belongs to results."""
    progress = RichProgress()
    progress.say("741,124 parameters will train")
    progress.warn("no cap holds")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "741,124 parameters will train\nwarning: no cap holds\n"


def test_nothing_in_a_sentence_is_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """A path or a label may hold brackets; long lines are not broken up."""
    text = "[red]runs/[1]/x[/red] [link=x] " + "long " * 60
    RichProgress().say(text)
    assert capsys.readouterr().err == text + "\n"


def test_a_log_file_gets_no_bars(capsys: pytest.CaptureFixture[str]) -> None:
    """Where stderr is no terminal a moving bar is a page of noise; a short job says nothing."""
    with RichProgress().track("training", 10) as bar:
        for _ in range(10):
            bar.advance(1, "loss 0.1")
    assert capsys.readouterr() == ("", "")


def test_a_log_file_hears_of_a_long_job_soon_and_once_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """How far it is, and how long it takes at the pace so far; not that it is over."""
    clock = iter([0, 1, 80, 120, 160, 200, 240])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with RichProgress().track("training", 1006, done=1000) as bar:
        for _ in range(6):
            bar.advance(1, "loss 0.1")
    assert capsys.readouterr().err == (
        "training: 1,002 of 1,006, loss 0.1, about 3 min left\n"
        "training: 1,004 of 1,006, loss 0.1, about 1 min left\n"
    )


def test_a_log_file_hears_of_a_count_without_an_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody knows how many units there are; the last note stands until the next."""
    clock = iter([0, 1, 80, 81, 160])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with RichProgress().track("predicting", None) as bar:
        for note in ("", "25 rows/s", "", ""):
            bar.advance(1000, note)
    assert capsys.readouterr().err == (
        "predicting: 2,000, 25 rows/s\npredicting: 4,000, 25 rows/s\n"
    )


def test_a_bar_is_moved_by_a_job_that_counts_otherwise() -> None:
    """By as many units as were named, in whole ones, and by the rest at the end."""
    outer = CountingBar()
    with Within(outer, 10).track("tokens", 30) as bar:
        moved = []
        for _ in range(3):
            bar.advance(7)
            moved.append(outer.count)
    assert (moved, outer.count) == ([2, 4, 7], 10)


def test_work_without_parts_is_a_line_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal it is a clock; who is silent says nothing."""
    for progress in (Progress(), RichProgress()):
        with progress.work("loading torch"):
            pass
    assert capsys.readouterr() == ("", "loading torch\n")


def test_a_terminal_shows_count_and_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Description, units done, of how many, and the note; from where the work was taken up."""
    terminal = io.StringIO()
    shown_there = partial(Console, file=terminal, force_terminal=True, width=120)
    monkeypatch.setattr("rich.console.Console", shown_there)
    with RichProgress().track("training", 10, done=4) as bar:
        bar.advance(2, "loss 0.123")
        bar.advance(1)
    shown = terminal.getvalue()
    assert "training" in shown
    assert "7/10" in shown
    assert "loss 0.123" in shown[shown.rindex("7/10") :]
    assert "4/10" in shown or "0/10" not in shown


def test_once_says_nothing_twice() -> None:
    """A second sentence is new again; warnings are counted with the sentences."""
    notes = Notes()
    once = Once(notes)
    for text in ("a", "b", "a"):
        once.say(text)
        once.warn(f"{text}!")
    assert (notes.said, notes.warned) == (["a", "b"], ["a!", "b!"])
