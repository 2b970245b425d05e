"""The command line: verb → pipeline → words on stderr, an answer on stdout, an exit code.

One file a verb. What is imported here costs every ``--help`` its time, so that the pipeline's
functions, which need torch, are loaded by its own package when a verb first asks for one.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from tightfit.cli import (
    audit_command,
    check_command,
    compare_command,
    doctor_command,
    evaluate_command,
    export_command,
    import_command,
    plan_command,
    predict_command,
    report_command,
    runs_command,
    train_command,
)
from tightfit.cli.front import WithArguments
from tightfit.cli.help import SettingsHelp, examples

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

app = typer.Typer(
    cls=WithArguments,
    epilog=f"{examples(EXAMPLES)}\n\n{EXIT_CODES}",
    no_args_is_help=True,
    rich_markup_mode="rich",
    # Errors become words in one place of our own; see front.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)

app.command(cls=SettingsHelp, epilog=examples(plan_command.EXAMPLES))(plan_command.plan)
app.command(cls=SettingsHelp, epilog=examples(train_command.EXAMPLES))(train_command.train)
app.command(epilog=examples(evaluate_command.EXAMPLES))(evaluate_command.evaluate)
app.command(epilog=examples(predict_command.EXAMPLES))(predict_command.predict)
app.command(epilog=examples(export_command.EXAMPLES))(export_command.export)
app.command("import", epilog=examples(import_command.EXAMPLES))(import_command.import_adapter)
app.command(epilog=examples(audit_command.EXAMPLES))(audit_command.audit)
app.command(epilog=examples(check_command.EXAMPLES))(check_command.check)
app.command(cls=SettingsHelp, epilog=examples(compare_command.EXAMPLES))(compare_command.compare)
app.command(epilog=examples(report_command.EXAMPLES))(report_command.report)
app.command(epilog=examples(runs_command.EXAMPLES))(runs_command.runs)
app.command(epilog=examples(doctor_command.EXAMPLES))(doctor_command.doctor)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"tightfit {version('tightfit')}")
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

    Tables and sentences go to standard error; standard output carries answers only.
    """


def main() -> None:
    """The ``tightfit`` command."""
    app(prog_name="tightfit")
