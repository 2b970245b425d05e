"""What a verb's words are parsed by, and what stands below the options in its ``--help``.

Worked examples, recipes and settings stand there.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections import Counter
from copy import copy
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from tightfit.cli.front import open_front
from tightfit.errors import UsageError, nearest

WIDTH = 76

_LINE_END = re.compile(r"(?<!\n)\n(?!\n)")
"""Within a paragraph."""

MISSPELT = 0.8
"""How like an option a word must be, that this one alone was meant (a share, as difflib has it)."""


def with_end(command: Any, end: str) -> Any:
    """A command whose help page ends so; the command itself is left as it is.

    Its paragraphs are left to the terminal to fold, which would fold their lines once more.
    """
    shown = copy(command)
    shown.epilog = end
    shown.help = _LINE_END.sub(" ", command.help or "")
    return shown


def examples(lines: str) -> str:
    """Commands to copy, one a line, as the end of a help page."""
    from rich.markup import escape

    return "Examples\n\n" + escape(textwrap.indent(lines, "  "))


class VerbHelp(TyperCommand):
    """A verb whose epilog is its examples; the end of its help is made when that is asked for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse rows without ``--data``, and a second value of an option that has one.

        The first value would be lost unseen.
        """
        options, extra, given = self._parsed(ctx, args)
        data = [each for each in self.get_params(ctx) if "--data" in each.opts]
        if data and extra and _is_rows(extra[0]):
            several = getattr(data[0], "multiple", False)
            if "data" in options and not several:
                _refuse_further_rows(extra[0])
            self._refuse_bare_rows(ctx, args, several=several)
        for option, times in Counter(given).items():
            one = option.param_type_name == "option" and not (option.multiple or option.is_flag)
            if one and times > 1:
                words = f"is given {times} times, and takes one value"
                raise typer.BadParameter(words, ctx=ctx, param=option)
        return super().parse_args(ctx, args)

    def _parsed(self, ctx: Any, args: list[str]) -> tuple[dict[str, Any], list[str], list[Any]]:
        """Values by option, the arguments too many, and the options in their order."""
        try:
            found: tuple[dict[str, Any], list[str], list[Any]] = self.make_parser(ctx).parse_args(
                args=list(args)
            )
        # The library's errors have no public names.
        except Exception as error:
            if options := getattr(error, "possibilities", None):
                near = nearest(getattr(error, "option_name", ""), options, MISSPELT)
                vars(error)["possibilities"] = [near] if near else options
            raise
        return found

    def _refuse_bare_rows(self, ctx: Any, args: list[str], *, several: bool) -> None:
        """Say the command as it was given, with ``--data`` before what is no argument of it.

        Args:
            ctx: of the verb.
            args: what it was called with.
            several: whether the option may be repeated.

        Raises:
            typer.Exit: always.
        """
        # Behind two dashes there are no options.
        words = bare = [word for word in args if word != "--"]
        extra = self._parsed(ctx, words)[1]
        seen = extra[0]
        while extra and _is_rows(extra[0]) and (several or words == bare):
            # The same word may stand elsewhere as the value of an option.
            places = [place for place, word in enumerate(words) if word == extra[0]]
            tried = ([*words[:at], "--data", *words[at:]] for at in places)
            left = len(extra) - 1
            words = next(each for each in tried if len(self._parsed(ctx, each)[1]) == left)
            extra = self._parsed(ctx, words)[1]
        with open_front():
            raise UsageError(
                "rows are given with --data",
                seen=seen,
                next_step=f"{ctx.command_path} {shlex.join(words)}",
            )

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help page."""
        end = examples(self.epilog or "")
        if any("listed below" in getattr(option, "help", "") for option in self.params):
            end = f"{_listing()}\n\n{end}"
        TyperCommand.format_help(with_end(self, end), ctx, formatter)


def _refuse_further_rows(word: str) -> None:
    """Say how one ``--data`` means several files: a shell writes out a pattern that has no quotes.

    Raises:
        typer.Exit: always.
    """
    with open_front():
        raise UsageError(
            "rows are one file, folder or pattern here",
            seen=f"{word} beside them",
            next_step="write a pattern in quotes, such as --data 'part-*.csv', or name a folder",
        )


def _is_rows(word: str) -> bool:
    """Whether ``--data`` would know this: a file, a folder, a data set's name."""
    from tightfit.data.compressed import PART_SIGN
    from tightfit.data.hub import HUB_PREFIX
    from tightfit.data.sources import SAMPLES

    paths = {word, word.rpartition(PART_SIGN)[0] or word}
    return word in SAMPLES or word.startswith(HUB_PREFIX) or any(Path(x).exists() for x in paths)


def _listing() -> str:
    from rich.markup import escape

    from tightfit.config import recipe_about, recipe_names, setting_names

    recipes = [_folded(f"{name:13} {recipe_about(name)}", 14) for name in recipe_names()]
    sections: dict[str, list[str]] = {}
    for name in setting_names():
        section, _, key = name.rpartition(".")
        sections.setdefault(section, []).append(key)
    settings = [
        f"{section}.{{{', '.join(keys)}}}" if section else ", ".join(keys)
        for section, keys in sections.items()
    ]
    folded = [_folded(line, 2) for line in settings]
    return escape("\n".join(["Recipes", "", *recipes, "", "Settings", "", *folded]))


def _folded(line: str, indent: int) -> str:
    return textwrap.fill(
        line,
        WIDTH,
        initial_indent="  ",
        subsequent_indent="  " + " " * indent,
        break_on_hyphens=False,
    )
