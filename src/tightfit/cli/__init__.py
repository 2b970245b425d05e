"""The command line: verb → pipeline → words on stderr, a result on stdout, an exit code.

One file a verb, which is loaded when that verb, or the list of all, is asked for. What it imports
costs its ``--help`` its time, so that the pipeline's functions, which need torch, are loaded by
its own package when a verb first asks for one.
"""

from __future__ import annotations

import gc
import os
import sys
from functools import partial
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated, Any

import typer

import tightfit
from tightfit.cli.front import WithArguments
from tightfit.cli.help import VerbHelp, examples, with_end

VERBS = {
    "plan": "plan",
    "train": "train",
    "evaluate": "evaluate",
    "predict": "predict",
    "export": "export",
    "import": "import_adapter",
    "audit": "audit",
    "check": "check",
    "compare": "compare",
    "report": "report",
    "runs": "runs",
    "doctor": "doctor",
}
"""Each verb and its function, in ``VERB_command.py``; a function cannot be called ``import``."""

EXAMPLES = """\
tightfit plan --model roberta-base --budget 1M
tightfit train --data sample
tightfit evaluate runs/001 --data sample:test
tightfit predict runs/001 --text 'Stocks fell for a third day'
tightfit VERB --help"""

EXIT_CODES = """\
Exit codes

  0  done                        6  the model is unknown, unreachable or unfit
  2  usage                       7  a proof failed, or adapters are dead
  3  settings                    8  a run or artefact is incomplete or damaged
  4  rows, or files of rows      9  the machine: disk, permission, memory
  5  over the budget           130  interrupted (143: terminated)"""


class Verbs(WithArguments):
    """The verbs, each loaded when it is first asked for."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        unloaded: dict[str, Any] = dict.fromkeys(VERBS)
        self.commands = unloaded

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a verb; None where there is no such verb."""
        if cmd_name in VERBS and self.commands[cmd_name] is None:
            self.commands[cmd_name] = _command(cmd_name)
        return self.commands.get(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the list of verbs."""
        shown = with_end(self, f"{examples(EXAMPLES)}\n\n{EXIT_CODES}")
        WithArguments.format_help(shown, ctx, formatter)


def _command(verb: str) -> Any:
    module = import_module(f"tightfit.cli.{verb}_command")
    alone = _new_app(add_completion=False)
    alone.command(verb, cls=VerbHelp, epilog=module.EXAMPLES)(getattr(module, VERBS[verb]))
    return typer.main.get_command(alone)


# Errors become words in one place of our own; see front.
_new_app = partial(typer.Typer, rich_markup_mode="rich", pretty_exceptions_enable=False)

app = _new_app(
    cls=Verbs,
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"tightfit {tightfit.__version__}")
        raise typer.Exit


@app.callback()
def _tightfit(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Fine-tune a text classifier inside a hard budget of trainable parameters.

    What was asked for goes to standard output, words about the work to standard error.
    """


def _fill_closed() -> None:
    """Open what whoever started the command closed (``>&-``): a file that is written would take its
    place, and get whatever a library prints."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def main() -> None:
    """The ``tightfit`` command."""
    _fill_closed()
    # Else pydantic would look for plugins in the metadata of every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    # What is loaded is no garbage: to search it as it comes and at the end takes a fifth of the
    # time of a first answer. After a fault the last search puts away what was left open.
    gc.disable()
    if isinstance(sys.stdout, TextIOWrapper):
        # What a terminal cannot show (PYTHONIOENCODING=ascii) is spelt out, as it is on stderr.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="tightfit")
    except SystemExit as end:
        if not end.code:
            gc.freeze()
        raise
