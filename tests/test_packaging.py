"""What is installed and what is pinned: pyproject.toml, requirements.lock and the script for it."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import lock
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tightfit

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PINS = [line for line in lock.LOCK.read_text("utf-8").splitlines() if not line.startswith("#")]
PINNED = {canonicalize_name(pin.partition("==")[0]): pin.partition("==")[2] for pin in PINS}
DEVELOPED_WITH = [
    *PROJECT["dependencies"],
    *PROJECT["optional-dependencies"]["dev"],
    *(
        requirement
        for extra in ("train", "parquet", "embedded", "tensorboard", "wandb", "pandas", "checks")
        for requirement in PROJECT["optional-dependencies"][extra]
    ),
]


def test_every_line_of_the_lock_pins_one_package() -> None:
    """An exact version, no address, no platform's own suffix, no package twice."""
    assert [pin for pin in PINS if not re.fullmatch(r"[a-z0-9.-]+==[0-9][0-9a-z.]*", pin)] == []
    assert len(PINNED) == len(PINS)


def test_the_lock_pins_one_torch() -> None:
    """2.13.0, without the libraries of any one kind of accelerator."""
    assert [pin for pin in PINS if pin.startswith("torch==")] == ["torch==2.13.0"]
    assert [pin for pin in PINS if pin.startswith(lock.ACCELERATOR_PARTS)] == []


@pytest.mark.parametrize("text", DEVELOPED_WITH)
def test_the_lock_keeps_to_the_ranges(text: str) -> None:
    """Every requirement, those of the extras that the checks need too."""
    requirement = Requirement(text)
    if requirement.name != "tightfit":
        assert requirement.specifier.contains(PINNED[canonicalize_name(requirement.name)])


def test_the_version_is_said_once_more_and_the_same() -> None:
    """In the package; what is installed takes it from there."""
    assert PROJECT["dynamic"] == ["version"]
    assert tightfit.__version__ == version("tightfit")


def test_pins_leave_out_what_a_platform_adds() -> None:
    """Local versions, accelerator libraries and our own package do not belong in the lock."""
    names = [
        "Torch 2.13.0+cpu",
        "nvidia-cublas 13.0",
        "triton 3.6",
        "tightfit 0.1.0",
        "tomli_w 1.2",
    ]
    metadata = [dict(zip(("name", "version"), name.split(), strict=True)) for name in names]
    report = {"install": [{"metadata": item} for item in metadata]}
    assert lock.pins(report) == ["tomli-w==1.2", "torch==2.13.0"]
