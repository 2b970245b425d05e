"""What stands below the options in ``--help``: worked examples, recipes, settings."""

from __future__ import annotations

import textwrap
from typing import Any

from rich.markup import escape
from typer.core import TyperCommand

WIDTH = 76


def examples(lines: str) -> str:
    """Commands to copy, one a line, as the end of a help page."""
    return "Examples\n\n" + escape(textwrap.indent(lines, "  "))


class SettingsHelp(TyperCommand):
    """A verb whose help also lists recipes and settings, gathered only when it is asked for."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help page."""
        # Once is enough: typer keeps the command for as long as the program runs.
        if self.epilog and "Recipes" not in self.epilog:
            self.epilog = f"{_listing()}\n\n{self.epilog}"
        super().format_help(ctx, formatter)


def _listing() -> str:
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
