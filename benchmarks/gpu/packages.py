"""What is missing of the packages that tightfit needs, taken from wheels; never from a network."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.gpu.runner import ROOT

FOR_CHECKS = ("matplotlib", "pytest", "pytest-timeout")
"""What tests and pictures need besides."""


def install(wheels: Path | None, site: Path) -> dict[str, Any]:
    """Put what is not installed, and lies among the wheels, into ``site``; tell what is missing.

    Each wheel on its own and without its dependencies, so that one that is unfit stops no other.

    Args:
        wheels: a folder of wheels; None where none were handed over.
        site: a folder on the path of the parts; it is made.
    """
    site.mkdir(parents=True, exist_ok=True)
    found = sorted(wheels.glob("*.whl")) if wheels else []
    refused: dict[str, str] = {}
    installed: list[str] = []
    for wheel in found:
        name = wheel.name.partition("-")[0]
        if seen(name, site):
            continue
        words = _pip(wheel, site)
        if words is None:
            installed.append(wheel.name)
        else:
            refused[wheel.name] = words
    _name_ourselves(site)
    missing = [name for name in needed() if not seen(name, site)]
    return {"installed": installed, "refused": refused, "missing": missing}


def needed() -> list[str]:
    """The packages that the project's own pyproject.toml names, and those of the checks."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    names = [re.split(r"[^A-Za-z0-9._-]", each, maxsplit=1)[0] for each in wanted]
    return [*(name for name in names if name != project["name"]), *FOR_CHECKS]


def seen(name: str, site: Path) -> str | None:
    """The version of an installed package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        wanted = _plain(name)
        kinds = (each.name.partition("-") for each in site.glob("*.dist-info"))
        return next(
            (rest[: -len(".dist-info")] for n, _, rest in kinds if _plain(n) == wanted), None
        )


def describe(found: dict[str, Any]) -> str:
    """What :func:`install` told, in Markdown."""
    lines = [f"- installed from wheels: {', '.join(found['installed']) or 'nothing was missing'}"]
    if not found["installed"] and found["missing"]:
        lines = ["- installed from wheels: none"]
    lines += [f"- refused: {name}: {words}" for name, words in found["refused"].items()]
    if found["missing"]:
        lines.append(
            f"- **missing, and no wheel for it was given: {', '.join(found['missing'])}**; "
            "the parts that need it fail below"
        )
    return "\n".join(lines)


def _pip(wheel: Path, site: Path) -> str | None:
    """Why pip would not, or None where it did."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--disable-pip-version-check", "--target", str(site), str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    words = [line for line in done.stderr.splitlines() if line.strip()]
    return (words or [f"exit code {done.returncode}"])[-1] if done.returncode else None


def _name_ourselves(site: Path) -> None:
    """Tell importlib which version of tightfit this checkout is; the code is read where it lies."""
    try:
        version("tightfit")
    except PackageNotFoundError:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        folder = site / f"tightfit-{project['version']}.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: tightfit\nVersion: {project['version']}\n"
        )


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def versions(names: Iterable[str]) -> dict[str, str | None]:
    """The version of each package, None where it is missing."""
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
