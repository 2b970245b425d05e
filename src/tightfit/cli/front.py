"""Where a verb meets the world: its result on stdout, words about the work on stderr, exit codes.

Standard output carries what was asked for alone: a table and sentences, a JSON object, predictions.
Whatever else is printed while a verb works, by any library, goes to stderr. After an error standard
output is empty, but for the predictions that were complete before it.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TextIO

import typer
from typer.core import TyperGroup

from tightfit.errors import Fault, Interrupted, MachineError, MissingExtraError
from tightfit.extras import with_all_extras

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

APOLOGY = (
    "this is a mistake in tightfit, not yours. Please report it together with what "
    "'tightfit doctor' prints and what the same command prints with --debug"
)

READER_GONE = 128 + 13
"""Exit code when nobody reads the answer any more: what a shell reports for SIGPIPE."""

AGAIN = "give the same command again"

_ARGUMENTS: ContextVar[list[str]] = ContextVar("_ARGUMENTS")
"""With what this process, or a test in it, was called."""

_REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EMFILE)


class Told(Protocol):
    """The result of a verb."""

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""


@dataclass(frozen=True)
class Front:
    """The two mouths of a verb; a result without words for people does not wait for rich."""

    stdout: TextIO | None
    """Standard output; None where whoever started the command closed it."""

    @property
    def out(self) -> TextIO:
        """Where the answer goes.

        Raises:
            MachineError: it can go nowhere.
        """
        if self.stdout is None:
            raise MachineError(
                "standard output is closed, so that the answer can go nowhere",
                next_step="open it, as with >answer.txt, or >/dev/null if nobody is to read it",
            )
        return self.stdout

    @cached_property
    def page(self) -> Console:
        """Tables and sentences that were asked for, on stdout; on stderr where that is closed, of
        which a service that trains knows nothing."""
        from rich.console import Console

        return Console(file=self.stdout or sys.stderr, highlight=False)

    def show(self, *parts: RenderableType) -> None:
        """Print tables and sentences about the work, on stderr."""
        from rich.console import Console

        _print(Console(stderr=True, highlight=False), parts)

    def answer(self, value: Mapping[str, Any]) -> None:
        """Print the one JSON object of a verb; NaN and infinity are refused."""
        self.lines([json.dumps(value, allow_nan=False)])

    def tell(
        self, result: Told, words: Callable[[], Iterable[RenderableType]], *, as_json: bool
    ) -> None:
        """The result of a verb: as its JSON object, or in ``words`` for people."""
        if as_json:
            self.answer(result.to_json())
        else:
            self.tell_people(*words())

    def tell_people(self, *parts: RenderableType) -> None:
        """Print tables and sentences that were asked for."""
        # By itself rich ends the program, and closes stderr, where a reader of stdout is gone.
        with self.page.capture() as printed:
            _print(self.page, parts)
        self.page.file.write(printed.get())
        self.page.file.flush()

    def lines(self, lines: Iterable[str]) -> None:
        """Print lines of an answer, at once."""
        self.out.writelines(f"{line}\n" for line in lines)
        self.out.flush()


def _print(console: Console, parts: Iterable[RenderableType]) -> None:
    """Sentences are left to the terminal to fold."""
    from rich.text import Text

    for part in parts:
        shown = Text(part) if isinstance(part, str) else part
        console.print(shown, soft_wrap=isinstance(shown, Text))


@contextmanager
def open_front(*, debug: bool = False) -> Iterator[Front]:
    """Run a verb: any error becomes words on stderr and an exit code.

    Args:
        debug: print the traceback too.

    Raises:
        typer.Exit: after an error, with its code.
    """
    if not gc.isenabled():  # main turned it off; a verb may work for hours
        gc.freeze()
        gc.enable()
    front = Front(sys.stdout)
    try:
        with redirect_stdout(sys.stderr), _ended_by_words():
            yield front
    except BrokenPipeError:
        # The interpreter flushes standard output once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(READER_GONE) from None
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            front.show("".join(traceback.format_exception(error)))
        fault = _as_fault(error)
        if fault is not None:
            fault.given, fault.add = ("", None) if fault.add is None else _mended(fault.add)
        words = str(fault) if fault else f"{type(error).__name__}: {error}\n  {APOLOGY}"
        if isinstance(fault, MissingExtraError):
            words = with_all_extras(words, _ARGUMENTS.get([]))
        from rich.text import Text

        front.show(Text.assemble(("error: ", "bold red"), words))
        raise typer.Exit(fault.exit_code if fault else 1) from None


@contextmanager
def _ended_by_words() -> Iterator[None]:
    """SIGTERM ends a verb as Ctrl-C does: with words, and what it had begun put away.

    Where somebody else waits for the signal, nothing is changed; a training waits by itself.
    """
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number: int, frame: object) -> None:
    raise Interrupted("terminated", signal_number=number, next_step=AGAIN)


class WithArguments(TyperGroup):
    """Verbs that can tell with what they were called."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep them for :func:`_mended`; the library itself forgets them."""
        _ARGUMENTS.set(list(args))
        return super().parse_args(ctx, args)


def _mended(add: str) -> tuple[str, str]:
    """The command as it was given, without the options that ``add`` gives anew, and these.

    A part that is chosen of a file, ``--data FILE#PART``, goes to the option that names the file.
    """
    from tightfit.data.compressed import PART_SIGN

    given, anew = _options(_ARGUMENTS.get([])), _options(shlex.split(add))
    for new in anew:
        whole = new[-1].rpartition(PART_SIGN)[0] if new[0] == "--data" else ""
        own = [option for option in given if whole and option[1:] == [whole]]
        if own:
            own[0][1] = new[1]
            new.clear()
        else:
            given = [x for x in given if x[:1] != new[:1] or _key(x) != _key(new)]
    parts, more = ([part for option in each for part in option] for each in (given, anew))
    return shlex.join(["tightfit", *parts]), shlex.join(more)


def _options(arguments: Sequence[str]) -> list[list[str]]:
    """Arguments, each option together with what follows it."""
    groups: list[list[str]] = []
    for argument in arguments:
        if argument.startswith("--"):
            name, equals, value = argument.partition("=")
            groups.append([name, value] if equals else [name])
        elif groups and groups[-1][0].startswith("--") and len(groups[-1]) == 1:
            groups[-1].append(argument)
        else:
            groups.append([argument])
    return groups


def _key(option: Sequence[str]) -> str:
    """What an option sets: itself, or the setting that is assigned."""
    return option[-1].partition("=")[0].strip() if option[0] == "--set" else option[0]


def _as_fault(error: BaseException) -> Fault | None:
    """The fault that the user can mend, or None for a mistake of our own."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("interrupted", signal_number=signal.SIGINT, next_step=AGAIN)
    # torch has its own class for GPUs, and a bare RuntimeError for the CPU.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return _out_of_memory(error)
    if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
        return _out_of_memory(error)
    if isinstance(error, OSError) and error.errno in _REFUSALS:
        return MachineError(
            "the machine refused",
            seen=error,
            next_step="check permissions and free space, then try again",
        )
    return None


def _out_of_memory(error: BaseException) -> MachineError:
    return MachineError(
        "there is not enough memory",
        seen=str(error).partition("\n")[0] or None,
        next_step="set a smaller optim.batch or data.max_length; "
        "'tightfit train --dry-run' measures what a training needs",
    )
