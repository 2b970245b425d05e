"""Pages of the documentation that are made from the program itself: verbs, and settings.

MkDocs calls :func:`on_files` (see ``mkdocs.yml``), so that no made page lies about as a file that
somebody might edit; tests call the functions that make the pages.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any, get_args

import typer.main

from tightfit import config
from tightfit.cli import app
from tightfit.config import sections, settings_model

_GROUP: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = {verb: _GROUP.get_command(None, verb) for verb in _GROUP.commands}

MARKUP = re.compile(r"\\(?=\[)|:[a-z]+:(?=`)")
"""How help texts keep rich from reading a bracket as its own, and how docstrings name a thing."""


def verb_page(verb: str) -> str:
    """What ``tightfit VERB --help`` says, as Markdown."""
    command = COMMANDS[verb]
    lines = [f"# tightfit {verb}", "", inspect.cleandoc(command.help or ""), ""]
    lines += ["```sh", _module(verb).EXAMPLES, "```", ""]
    panels: dict[str, list[str]] = {}
    for option in command.params:
        title = option.rich_help_panel or "Options"
        name = ", ".join([*option.opts, *option.secondary_opts])
        if not name.startswith("-"):
            title, name = "Arguments", option.metavar or name.upper()
        elif not option.is_flag:
            name += f" {_value(option)}"
        panels.setdefault(title, []).append(f"| `{_cell(name)}` | {_cell(option.help or '')} |")
    for title, rows in panels.items():
        lines += [f"## {title}", "", "| | |", "| --- | --- |", *rows, ""]
    return "\n".join(lines)


def settings_page() -> str:
    """Every setting with its default and its meaning, section by section."""
    default = config.load_config(config.DEFAULT_RECIPE).model_dump(mode="json")
    lines = [
        "# Settings",
        "",
        "Any of them can be set: `--set adapters.rank=8` on the command line, "
        '`settings={"adapters.rank": 8}` in Python, or a TOML file given as `--recipe`. '
        "Defaults are those of the recipe `tight`; `src/tightfit/recipes` has the others, "
        "each value with its reason.",
    ]
    titled = ""
    for name, meaning in sorted(meanings().items(), key=lambda item: "." in item[0]):
        section, _, key = name.rpartition(".")
        if section != titled or not lines[-1].startswith("|"):
            titled = section
            about = inspect.getdoc(_model(section)) if section else "Of the whole run."
            lines += ["", f"## {section or 'Run'}", "", f"{about}", ""]
            lines += [
                "| setting | default | meaning, and when to change it |",
                "| --- | --- | --- |",
            ]
        value = (default[section] if section else default)[key]
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        lines.append(f"| `{name}` | {f'`{shown}`' if shown else ''} | {_cell(meaning)} |")
    return "\n".join([*lines, ""])


def meanings() -> dict[str, str]:
    """Each setting's name, and the words that stand under it in the models."""
    source = inspect.getsource(sections) + inspect.getsource(settings_model)
    nodes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    models = {node.name: dict(_fields(node)) for node in nodes}
    found = {}
    for name in config.setting_names():
        section, _, key = name.rpartition(".")
        found[name] = models[_model(section).__name__].get(key, "")
    return found


def _model(section: str) -> Any:
    return getattr(sections, section.capitalize()) if section else config.Config


def _fields(model: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Fields of a model with the literal that follows each."""
    for field, after in zip(model.body, [*model.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            told = after.value if isinstance(after, ast.Expr) else None
            words = told.value if isinstance(told, ast.Constant) else ""
            yield field.target.id, " ".join(str(words).split())


def pages() -> dict[str, str]:
    """Every made page, by its path in the documentation."""
    made = {f"reference/verbs/{verb}.md": verb_page(verb) for verb in COMMANDS}
    return {**made, "reference/settings.md": settings_page()}


def on_files(files: Any, *, config: Any) -> Any:
    """Hook of MkDocs: add the made pages to those in ``docs/``."""
    from mkdocs.structure.files import File

    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def _module(verb: str) -> Any:
    """Asked of the function: the file of the verb "import" cannot have that name."""
    return sys.modules[COMMANDS[verb].callback.__module__]


def _value(option: Any) -> str:
    """What an option takes: the word that stands for it, or the values that it allows."""
    kind = option.type_descriptor.annotation
    choices = [choice for choice in get_args(kind) if isinstance(choice, str)]
    return option.metavar or "|".join(choices) or {int: "N", float: "X"}.get(kind, "TEXT")


def _cell(words: str) -> str:
    """Words as a cell of a Markdown table."""
    return MARKUP.sub("", " ".join(words.split())).replace("|", "\\|").replace("``", "`")
