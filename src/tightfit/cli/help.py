"""What stands below the options in ``--help``: worked examples, recipes, settings."""

from __future__ import annotations

import textwrap
from collections import Counter
from copy import copy
from typing import Any

import typer
from typer.core import TyperCommand

WIDTH = 76


def with_end(command: Any, end: str) -> Any:
    """A command whose help page ends so; the command itself is left as it is."""
    shown = copy(command)
    shown.epilog = end
    return shown


def examples(lines: str) -> str:
    """Commands to copy, one a line, as the end of a help page."""
    from rich.markup import escape

    return "Examples\n\n" + escape(textwrap.indent(lines, "  "))


class VerbHelp(TyperCommand):
    """A verb whose epilog is its examples; the end of its help is made when that is asked for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse a second value of an option that has one: the first would be lost unseen."""
        given: list[Any] = self.make_parser(ctx).parse_args(args=list(args))[2]
        for option, times in Counter(given).items():
            one = option.param_type_name == "option" and not (option.multiple or option.is_flag)
            if one and times > 1:
                words = f"is given {times} times, and takes one value"
                raise typer.BadParameter(words, ctx=ctx, param=option)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help page."""
        end = examples(self.epilog or "")
        if any("listed below" in getattr(option, "help", "") for option in self.params):
            end = f"{_listing()}\n\n{end}"
        TyperCommand.format_help(with_end(self, end), ctx, formatter)


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
