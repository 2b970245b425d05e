"""Optional packages: found without being run, and named with their extra where missing."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import pytest

from tightfit import optional
from tightfit.errors import MissingExtraError

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def test_every_extra_exists() -> None:
    """The command in the message must install something."""
    extras = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["optional-dependencies"]
    assert set(optional.EXTRA_OF.values()) <= set(extras)


@pytest.mark.parametrize("package", optional.EXTRA_OF)
def test_a_missing_package_is_named_with_its_extra(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What for, what is missing, and the command, whether or not it is installed here."""
    monkeypatch.setattr(optional, "available", lambda _: False)
    with pytest.raises(MissingExtraError) as caught:
        optional.require(package, "the chart")
    extra = optional.EXTRA_OF[package]
    assert str(caught.value) == (
        "the chart needs an optional package\n"
        f"  seen:    {package} is not installed\n"
        f"  next:    pip install 'tightfit[{extra}]'"
    )


def test_a_present_package_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any installed module will do for a test."""
    assert optional.require("json", "the test") is json


def test_looking_does_not_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that would fail on import is still seen to be installed."""
    (tmp_path / "fragile_package.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert optional.available("fragile_package")
    optional.ensure("fragile_package", "the test")
    assert "fragile_package" not in sys.modules
    assert not optional.available("no_package_of_this_name")
