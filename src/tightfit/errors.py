"""Everything that can go wrong for a user, as one short tree.

    Fault
    ├── TightfitError
    │   ├── UsageError      exit 2   an option or its value cannot be used as given
    │   ├── SettingsError   exit 3   a recipe, key or value is unknown, or settings contradict
    │   │   └── MissingExtraError    an optional package is not installed
    │   ├── DataError       exit 4   rows, or files of rows, are faulty
    │   ├── BudgetError     exit 5   the plan does not fit under the cap
    │   ├── ModelError      exit 6   the encoder is unknown, unreachable or unfit
    │   ├── ProofError      exit 7   a proof did not hold
    │   ├── ArtefactError   exit 8   a run folder or artefact is incomplete or damaged
    │   └── MachineError    exit 9   disk, permission, lock
    └── Interrupted     exit 130 (Ctrl-C) or 143 (SIGTERM), with a resumable checkpoint

Each error also inherits the built-in that Python code would expect to catch. Each carries four
things: what was wrong, the value seen, what is allowed, and the next step, which may be options
to add. An interruption is no ``Exception``: a loop that goes on after any error must still stop at
Ctrl-C.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Sequence


class Fault(BaseException):
    """Words for people, and an exit code, whatever kind of exception carries them.

    Args:
        what: what was wrong, one sentence without a final full stop.
        seen: the offending value, as the user would recognise it.
        allowed: what would have been accepted.
        next_step: what to do now, phrased as an instruction.
        add: options that mend the command, quoted for a shell. The command line shows them as the
            complete command, see :attr:`given`.
    """

    exit_code: int = 1
    given: str | None = None
    """The command that was given, without the options that ``add`` replaces; None outside one."""

    def __init__(
        self,
        what: str,
        *,
        seen: object = None,
        allowed: str | None = None,
        next_step: str | None = None,
        add: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.seen = seen
        self.allowed = allowed
        self.next_step = next_step
        self.add = add

    def __str__(self) -> str:
        lines = [self.what]
        if self.seen is not None:
            lines.append(f"  seen:    {self.seen}")
        if self.allowed is not None:
            lines.append(f"  allowed: {self.allowed}")
        if self.next_step is not None:
            lines.append(f"  next:    {self.next_step}")
        if self.add is not None:
            before = "  next:    " if self.next_step is None else "           "
            command = (
                f"{self.given} {self.add}".rstrip()
                if self.given
                else f"add {self.add}{_in_python(self.add)}"
            )
            lines.append(f"{before}{command}")
        return "\n".join(lines)


def first_few(words: Sequence[object], most: int, separator: str = ", ") -> str:
    """As many words as a message has room for: ``a, b and 3 more``."""
    more = f" and {len(words) - most:,} more" if len(words) > most else ""
    return separator.join(map(str, words[:most])) + more


def nearest(name: str, known: Sequence[str], cutoff: float = 0.6) -> str | None:
    """The known name most like ``name``, whatever the case, or None when none is close.

    How close it must be is a share, as :func:`difflib.get_close_matches` has it.
    """
    by_lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[close[0]] if close else None


def did_you_mean(name: str, known: Sequence[str], cutoff: float = 0.6) -> str | None:
    """The next step with the :func:`nearest` of the known names, or None when none is close."""
    near = nearest(name, known, cutoff)
    return f"did you mean {near!r}?" if near else None


def _in_python(add: str) -> str:
    """The same options as arguments of a call; empty where they are no pairs of name and value."""
    parts = shlex.split(add)
    pairs = list(zip(parts[::2], parts[1::2], strict=False))
    if len(parts) % 2 or not all(name.startswith("--") for name, _ in pairs):
        return ""
    given = [f"{n[2:].replace('-', '_')}={value!r}" for n, value in pairs if n != "--set"]
    settings = dict(value.split("=", 1) for n, value in pairs if n == "--set")
    given += [f"settings={settings!r}"] if settings else []
    return f", or in Python {', '.join(given)}"


class TightfitError(Fault, Exception):
    """A fault that the user can mend; never raised for a mistake of our own."""


class UsageError(TightfitError, ValueError):
    """An option or its value cannot be used as given, or a run folder exists already."""

    exit_code = 2


class SettingsError(TightfitError, ValueError):
    """A recipe, key or value is unknown, or settings contradict each other."""

    exit_code = 3


class MissingExtraError(SettingsError, ImportError):
    """An optional package is needed and not installed; the next step names the extra."""


class DataError(TightfitError, ValueError):
    """Rows, or files of rows, are faulty; unseen labels included."""

    exit_code = 4


class BudgetError(TightfitError, ValueError):
    """The plan does not fit under the cap, or a gate counted something else than the plan."""

    exit_code = 5


class ModelError(TightfitError, ValueError):
    """The encoder is unknown, unreachable, or not fit for classification."""

    exit_code = 6


class ProofError(TightfitError, RuntimeError):
    """A proof did not hold: something that had to learn, or to agree, did not."""

    exit_code = 7


class ArtefactError(TightfitError, ValueError):
    """A run folder or an exported artefact is incomplete or damaged."""

    exit_code = 8


class MachineError(TightfitError, OSError):
    """The machine refused: disk full, permission denied, lock held."""

    exit_code = 9


class Interrupted(Fault, KeyboardInterrupt):
    """Training was asked to stop by a signal, and has written a checkpoint."""

    exit_code = 130

    def __init__(self, what: str, *, signal_number: int, next_step: str) -> None:
        super().__init__(what, next_step=next_step)
        # Shells know a program that a signal ended by 128 + the signal's number.
        self.exit_code = 128 + signal_number
