"""How long jobs speak to people: sentences, warnings and progress bars, all on stderr.

A call from Python speaks like the command line unless it is given a :class:`Progress`, which is
silent.
"""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

LOG_SECONDS = 60.0
"""Between two lines about a running count, where no bar can move."""

LOG_AFTER = 2.0
"""Seconds until the first of them."""

PATIENCE_SECONDS = 5.0
"""Without a word, where nobody asked for any."""


class Bar:
    """One running count; this one is silent."""

    def advance(self, count: int = 1, note: str = "", total: int | None = None) -> None:
        """Move on by ``count``; ``note`` is shown beside the bar, ``total`` is a new one."""


class Progress:
    """Says nothing; the base of all that speak."""

    def say(self, text: str) -> None:
        """A sentence for people."""

    def warn(self, text: str) -> None:
        """A sentence that people should not miss."""

    @contextmanager
    def track(self, what: str, total: int | None, done: int = 0) -> Iterator[Bar]:
        """A progress bar over ``total`` units, ``done`` of which lie behind already.

        None is said where nobody knows how many there are, as of the rows of a text file.
        """
        yield Bar()

    @contextmanager
    def work(self, what: str) -> Iterator[None]:
        """Shows that something is done which takes seconds and has no parts to count."""
        with self.track(what, 1) as bar:
            yield
            bar.advance()


class RichProgress(Progress):
    """Speaks on stderr, with colour and moving bars where stderr is a terminal."""

    @cached_property
    def _console(self) -> Console:
        # Not at the top: many a verb has nothing to say.
        from rich.console import Console

        return Console(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        """Print a sentence."""
        self._console.print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a sentence in yellow, marked as a warning."""
        self._console.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)

    @contextmanager
    def track(self, what: str, total: int | None, done: int = 0) -> Iterator[Bar]:
        """A bar with counts, a note, time taken and time left; removed when it is full.

        Where stderr is no terminal a moving bar is a page of noise: a line a minute stands for it.
        """
        if not self._console.is_terminal:
            yield _LoggedBar(self, what, total, done)
            return
        from rich import progress as bar

        bars = bar.Progress(
            bar.TextColumn("{task.description}"),
            bar.BarColumn(bar_width=None),
            bar.MofNCompleteColumn(),
            bar.TextColumn("{task.fields[note]}"),
            bar.TimeElapsedColumn(),
            bar.TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        with bars:
            yield _RichBar(bars, bars.add_task(what, total=total, completed=done, note=""))

    @contextmanager
    def work(self, what: str) -> Iterator[None]:
        """A moving clock, or a line in a log."""
        if not self._console.is_terminal:
            self.say(what)
        with super().work(what):
            yield


class _RichBar(Bar):
    def __init__(self, bars: Bars, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def advance(self, count: int = 1, note: str = "", total: int | None = None) -> None:
        """Move the bar."""
        self._bars.update(self._task, advance=count, total=total)
        if note:
            self._bars.update(self._task, note=note)


class _LoggedBar(Bar):
    """Says how far a long job is, once in a while."""

    def __init__(self, progress: Progress, what: str, total: int | None, done: int) -> None:
        self._progress, self._what, self._total = progress, what, total
        self._begun_with = self._done = done
        self._note = ""
        self._begun = time.monotonic()
        self._due = self._begun + LOG_AFTER

    def advance(self, count: int = 1, note: str = "", total: int | None = None) -> None:
        """Count, and say so after some seconds, then when the last word is a minute old."""
        self._done += count
        self._note, self._total = note or self._note, total or self._total
        now = time.monotonic()
        if now < self._due or (self._total is not None and self._done >= self._total):
            return
        self._due = now + LOG_SECONDS
        if self._total is None:
            parts = [f"{self._what}: {self._done:,}", self._note]
        else:
            a_unit = (now - self._begun) / max(1, self._done - self._begun_with)
            left = a_unit * (self._total - self._done)
            more = f"about {left / 60:,.0f} min left" if left >= 60 else f"about {left:.0f} s left"
            parts = [f"{self._what}: {self._done:,} of {self._total:,}", self._note, more]
        self._progress.say(", ".join(filter(None, parts)))


class Within(Progress):
    """Moves another bar by a share of its units, while a job goes on that counts in its own.

    Args:
        bar: the other bar.
        units: what it has moved by once the job is over.
    """

    def __init__(self, bar: Bar, units: int) -> None:
        self._bar, self._units = bar, units

    @contextmanager
    def track(self, what: str, total: int | None, done: int = 0) -> Iterator[Bar]:
        """The share of the other bar."""
        assert total is not None
        share = _Share(self._bar, self._units, total, done)
        yield share
        share.end()


class _Share(Bar):
    def __init__(self, bar: Bar, units: int, total: int, done: int) -> None:
        self._bar, self._units, self._total, self._done = bar, units, total, done
        self._moved = 0

    def advance(self, count: int = 1, note: str = "", total: int | None = None) -> None:
        """Move the other bar, by whole units."""
        self._done += count
        self._move(self._units * self._done // max(1, self._total), note)

    def end(self) -> None:
        """Move it by what is left."""
        self._move(self._units)

    def _move(self, to: int, note: str = "") -> None:
        self._bar.advance(to - self._moved, note)
        self._moved = to


class Patient(RichProgress, Bar):
    """Silent, but for warnings, which are Python's, so that a search can filter them; and for one
    line where a job takes longer than people wait without a word.

    It is its own bar, at each move of which the line may be due.
    """

    def __init__(self, words: str, seconds: float = PATIENCE_SECONDS) -> None:
        self._words, self._due = words, time.monotonic() + seconds

    def say(self, text: str) -> None:
        """Say the one line, if it is due."""
        if time.monotonic() >= self._due:
            self._due = math.inf
            super().say(self._words)

    def warn(self, text: str) -> None:
        """Warn as libraries do, in the name of the line that called this one."""
        names: list[str] = []
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            names.append(str(frame.f_globals.get("__name__")).partition(".")[0])
            frame = frame.f_back
        # Not the first line that is none of ours: those of contextlib stand between, too.
        ours = len(names) - names[::-1].index(__package__)
        warnings.warn(text, UserWarning, stacklevel=ours + 1)

    @contextmanager
    def track(self, what: str, total: int | None, done: int = 0) -> Iterator[Bar]:
        """A bar that is not shown."""
        yield self

    def advance(self, count: int = 1, note: str = "", total: int | None = None) -> None:
        """Say the one line, if it is due."""
        self.say(note)


class Once(Progress):
    """Passes on each sentence and warning the first time only: for jobs made of similar jobs."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._heard: set[str] = set()

    def say(self, text: str) -> None:
        """Say it, unless it was said before."""
        if self._is_new(text):
            self._progress.say(text)

    def warn(self, text: str) -> None:
        """Warn of it, unless that was done before."""
        if self._is_new(text):
            self._progress.warn(text)

    @contextmanager
    def track(self, what: str, total: int | None, done: int = 0) -> Iterator[Bar]:
        """The other progress's bar."""
        with self._progress.track(what, total, done) as bar:
            yield bar

    def _is_new(self, text: str) -> bool:
        is_new = text not in self._heard
        self._heard.add(text)
        return is_new
