"""The command line inside this process, its two streams apart, and its verbs replaced."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

import tightfit
from tightfit.cli import app


def cli(*arguments: str, stdin: str | bytes | None = None) -> Any:
    """Run ``tightfit``; the result has exit_code, stdout and stderr."""
    return CliRunner().invoke(app, list(arguments), input=stdin, prog_name="tightfit")


def replace(monkeypatch: pytest.MonkeyPatch, name: str, function: Any) -> None:
    """Put another function in the place of one of the verbs, which is never loaded."""
    monkeypatch.setitem(vars(tightfit), name, function)


class Recorder:
    """Stands for a verb, and remembers how it was called."""

    def __init__(self, result: Any) -> None:
        self.result = result
        self.arguments: tuple[Any, ...] = ()
        self.options: dict[str, Any] = {}

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Give the result, or raise it."""
        self.arguments, self.options = arguments, options
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


def like_result(value: dict[str, Any], **attributes: Any) -> SimpleNamespace:
    """Something that has ``to_json()`` and these attributes."""
    return SimpleNamespace(to_json=partial(dict, value), **attributes)
