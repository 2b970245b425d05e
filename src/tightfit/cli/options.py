"""The options that several verbs share, each with its words once.

Only what is needed to parse a command line and print help is imported here: no torch.
"""

from __future__ import annotations

import math
import os
import time
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from tightfit.errors import UsageError

_START_FIELD = 19
"""Of ``/proc/self/stat`` after the program's name: clock ticks from boot to start (man proc)."""


def process_started() -> float:
    """Reading of :func:`time.monotonic` when this process began, as far as the machine tells.

    Elsewhere than on Linux the processor time so far stands for the wall clock.
    """
    age = time.process_time()
    try:
        fields = Path("/proc/self/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        since_boot = int(fields[_START_FIELD]) / os.sysconf("SC_CLK_TCK")
        age = max(age, time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)
    except (OSError, ValueError, LookupError, AttributeError):
        pass  # there is no such file, or no such clock
    return time.monotonic() - age


STARTED = process_started()
"""When the command was given: the interpreter and its first imports are part of its time."""

in_data, in_settings, in_answer, in_cascade = (
    partial(typer.Option, rich_help_panel=heading)
    for heading in ("Data", "Settings", "Answer", "Cascade")
)
"""Options under headings of their own."""


def parse_count(text: str) -> int:
    """A whole number above 0, see :func:`tightfit.config.value_types.read_count`.

    Raises:
        typer.BadParameter: it is none.
    """
    # The list of verbs does not wait for pydantic.
    from tightfit.config.value_types import read_count

    count = read_count(text)
    if count is not None:
        return count
    raise typer.BadParameter(f"{text!r} is no whole number above 0; write 100000, 100_000 or 100k")


def parse_shares(texts: list[str] | None, option: str) -> dict[str, float]:
    """Assignments such as ``spam=0.95``, by label, which may hold an equals sign itself.

    Raises:
        UsageError: one is none, or a label stands there twice.
    """
    found: dict[str, float] = {}
    for text in texts or []:
        label, _, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not label or math.isnan(value) or label in found:
            raise UsageError(
                f"{option} takes a label and a number, each label once",
                seen=text,
                allowed=f"{option} spam=0.95",
                next_step=_pointed(label, number),
            )
        found[label] = value
    return found


def _pointed(label: str, number: str) -> str | None:
    """What is meant by a number with a decimal comma."""
    whole, _, digits = number.partition(",")
    if label and whole.isdecimal() and digits.isdecimal():
        return f"did you mean {label}={whole}.{digits}?"
    return None


def parse_thresholds(texts: list[str] | None) -> dict[str, float] | None:
    """What ``--threshold`` says: None where it is not given, and nothing for ``none``."""
    if not texts:
        return None
    return {} if texts == ["none"] else parse_shares(texts, "--threshold")


def parse_costs(texts: list[str] | None) -> dict[tuple[str, str], float]:
    """Assignments such as ``spam:ham=5``, by the true label and the one it is taken for.

    Raises:
        UsageError: one is none.
    """
    found = {}
    for pair, cost in parse_shares(texts, "--cost").items():
        true, colon, taken = pair.partition(":")
        if not colon:
            raise UsageError(
                "--cost takes two labels and a number",
                seen=f"{pair}={cost:g}",
                allowed="--cost spam:ham=5, where spam that is taken for ham costs 5",
            )
        found[true, taken] = cost
    return found


def recipe_if_given(recipe: str | None) -> dict[str, str]:
    """The recipe as an option, where one was named."""
    return {} if recipe is None else {"recipe": recipe}


def complete_recipe() -> list[tuple[str, str]]:
    """Recipes with what each is for, for the shell's completion."""
    from tightfit.config import recipe_about, recipe_names

    return [(name, recipe_about(name)) for name in recipe_names()]


def complete_setting(incomplete: str) -> list[str]:
    """Settings as the beginning of an assignment, for the shell's completion."""
    from tightfit.config import setting_names

    return [f"{name}=" for name in setting_names() if name.startswith(incomplete)]


Run = Annotated[Path, typer.Argument(metavar="RUN", help="A finished run, such as runs/001.")]

_FORMS = (
    # The backslashes keep rich from reading these brackets as its own.
    "A file: .csv, .tsv, .txt, .json, .jsonl, .parquet, .arrow, .xlsx, .ods or .pkl, with "
    "#PART a sheet or split of it; hf:NAME\\[@REVISION]\\[:CONFIG\\[:SPLIT]]; or the "
    "built-in sample, sample:test."
)
Data = Annotated[str, in_data(metavar="ROWS", help=_FORMS)]
TrainData = Annotated[
    list[str] | None,
    in_data(metavar="ROWS", help=f"{_FORMS} May be repeated: the rows are joined."),
]
"""Rows, which label names may stand in for."""

TextColumn = Annotated[
    str | None,
    in_data(
        metavar="A,B",
        help="Column of the text; several are joined with a space, or two are a pair (data.pair).",
    ),
]

MissingText = Annotated[
    Literal["refuse", "empty"] | None,
    in_data(
        help="What a row without a text is: a fault, or an empty text; else as in training, "
        "where rows that were left out are a fault here."
    ),
]

LabelColumn = Annotated[
    str | None,
    in_data(metavar="NAME", help="Column of the label, or columns of one 0 or 1 a label: A,B,C."),
]

MaxLength = Annotated[
    int | None,
    in_settings(min=4, help="Longest text to read, in tokens; else the run's own."),
]

Validation = Annotated[
    str | None,
    in_data(
        metavar="ROWS",
        help="Rows to validate on, in any form of --data; else some of --data are held out.",
    ),
]

Limit = Annotated[
    int | None,
    in_data(min=1, help="Train on a stratified sample of so many rows, drawn after the split."),
]

Seed = Annotated[
    int | None,
    in_settings(min=0, help="Of everything drawn at random."),
]

MaxSteps = Annotated[
    int | None,
    in_settings(
        min=1, help="End after so many optimiser steps, and shorten the schedule with them."
    ),
]

Model = Annotated[
    str | None,
    in_settings(
        metavar="NAME", help="Encoder: a Hub name, a folder, or the embedded all-MiniLM-L6-v2."
    ),
]

Models = Annotated[
    list[str] | None,
    in_settings(
        "--model",
        metavar="NAME",
        help="Encoder: a Hub name, a folder, or an embedded one; of several the one that suits the "
        "rows is chosen. Else of those embedded: all-MiniLM-L6-v2, multilingual-e5-small.",
    ),
]

Recipe = Annotated[
    str | None,
    in_settings(
        metavar="NAME",
        autocompletion=complete_recipe,
        help="Where the settings start from: a name, listed below, or a TOML file, such as "
        "RUN/config.toml to repeat a run.",
    ),
]

Budget = Annotated[
    int | None,
    in_settings(
        parser=parse_count,
        metavar="N",
        help="Most trainable parameters allowed: 741124, 750_000, 100k, 1M.",
    ),
]

Settings = Annotated[
    list[str] | None,
    in_settings(
        "--set",
        metavar="A.B=C",
        autocompletion=complete_setting,
        help="Any setting, such as optim.lr=1e-4; may be repeated; listed below.",
    ),
]

Reading = Annotated[
    list[str] | None,
    in_data(
        "--set",
        metavar="A.B=C",
        help="How a text file is read: data.encoding=cp1252, data.delimiter=tab, "
        "data.quoting=none; may be repeated. Else as in training, or found out.",
    ),
]

AsJson = Annotated[
    bool,
    in_answer(
        "--json",
        help="One JSON object on standard output instead of a table; nothing there on an error.",
    ),
]

Debug = Annotated[
    bool,
    in_answer("--debug", help="Show where in the program an error is."),
]
