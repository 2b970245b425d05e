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
import re
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
    """The command that was given, without the options that ``add`` replaces; empty where none are
    to be added, and None outside a command: options are then told as arguments of a call."""

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
        plain = self.given is not None
        seen = None if self.seen is None else str(self.seen)
        if seen is not None and not plain and seen.startswith("--"):
            seen = in_python(seen)
        what, allowed, step = (
            each if each is None or plain else in_python(each)
            for each in (self.what, self.allowed, self.next_step)
        )
        lines = [str(what)]
        if seen is not None:
            lines.append(f"  seen:    {seen}")
        if allowed is not None:
            lines.append(f"  allowed: {allowed}")
        if step is not None:
            lines.append(f"  next:    {step}")
        if self.add is not None:
            before = "  next:    " if step is None else "           "
            given = f"{self.given} {self.add}".rstrip()
            lines.append(f"{before}{given if self.given else f'add {_arguments(self.add)}'}")
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


def in_python(words: str) -> str:
    """Words for people in which options of the command line are arguments of a call.

    A line with a whole command stays as it is.
    """
    lines = words.split("\n")
    return "\n".join(x if _COMMAND.search(x) else _OPTION.sub(_argument, x) for x in lines)


_COMMAND = re.compile(r"\b(tightfit|pip) [a-z]")
_OPTION = re.compile(r"--([a-z][a-z-]*)(?: (?!--)(\"[^\"]*\"|'[^']*'|[^\s()]*[^\s(),;:.]))?")
_VALUE = re.compile(r"[\"'].*|[A-Z]{2,}|\S*[\d/,=]\S*")
"""What follows an option and is its value, rather than the next word of a sentence."""

_NAMES = {"from": "from_run", "no-label-errors": "label_errors", "threshold": "thresholds"}
"""Arguments that are called otherwise than the option."""

_SWITCHES = {name: "True" for name in ("cascade", "overwrite", "probabilities", "resume")}
_SWITCHES |= {"submission": "True", "no-label-errors": "False"}
_WORDED = ("engine", "format", "missing-text", "vocabulary")
"""Options whose value is a word like any other."""


def _argument(found: re.Match[str]) -> str:
    """One option as an argument, with its value where it has one."""
    option, word = found.groups()
    name = _NAMES.get(option, option.replace("-", "_"))
    if word is None or not (_VALUE.fullmatch(word) or option in _WORDED):
        return f"{name}={_SWITCHES.get(option, '…')}" + (f" {word}" if word else "")
    if option == "set":
        key, _, value = word.partition("=")
        return f"settings={{{key!r}: {_literal(value)}}}"
    return f"{name}={_literal(word)}"


def _literal(word: str) -> str:
    """A value as Python writes it; what stands for one stays."""
    plain = word.isupper() or word[:1] in ("", "'", '"') or re.fullmatch(r"[\d.]+(e-?\d+)?|…", word)
    truths = {"true": "True", "false": "False"}
    return word if plain else truths.get(word, repr(word))


def _arguments(add: str) -> str:
    """The options as arguments of a call; as they are where they are no pairs of name and value."""
    parts = shlex.split(add)
    pairs = list(zip(parts[::2], parts[1::2], strict=False))
    if len(parts) % 2 or not all(name.startswith("--") for name, _ in pairs):
        return in_python(add)
    named = {n[2:]: value for n, value in pairs if n != "--set"}
    given = [f"{_NAMES.get(n, n.replace('-', '_'))}={value!r}" for n, value in named.items()]
    settings = dict(value.split("=", 1) for n, value in pairs if n == "--set")
    given += [f"settings={settings!r}"] if settings else []
    return ", ".join(given)


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
