"""The script that installs: what pip is told about indexes is told to uv."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import install
import pytest

LISTED = """\
:env:.default-timeout='180'
:env:.find-links='/wheels'
global.cert='/ca.crt'
global.extra-index-url='https://a/simple\\nhttps://b/simple'
global.find-links='/elsewhere'
install.constraint='/c.txt'
global.no-index='false'
"""


def test_the_settings_of_pip() -> None:
    """Several values stand in one; the environment goes before files."""
    found = install.pip_settings(LISTED)
    assert found["find-links"] == ["/wheels"]
    assert found["extra-index-url"] == ["https://a/simple", "https://b/simple"]
    assert install.pip_settings("") == {}


def test_the_same_for_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every place, and versions compared over all of them, so that torch stays a CPU build."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    settings = install.pip_settings(LISTED)
    words = " ".join(install.uv_options(settings))
    assert "--index-strategy unsafe-best-match --find-links /wheels" in words
    assert "--extra-index-url https://a/simple --extra-index-url https://b/simple" in words
    assert "--constraint /c.txt" in words
    assert "--no-index" not in words
    environment = install.uv_environment(settings)
    assert (environment["SSL_CERT_FILE"], environment["UV_HTTP_TIMEOUT"]) == ("/ca.crt", "180")


@pytest.mark.parametrize(
    ("fails", "arguments", "used"),
    [
        ((), ["all"], ["uv", "uv"]),
        (("uv",), ["all"], ["-m uv", "-m uv"]),
        (("uv", "install -qq uv"), ["all"], ["-m pip", "-m pip"]),
        (("uv pip",), ["all"], ["-m pip", "-m pip"]),
        ((), ["train", "--pip"], ["-m pip", "-m pip"]),
    ],
)
def test_pip_is_what_remains(
    fails: tuple[str, ...], arguments: list[str], used: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """uv where it is, else by pip, else pip itself: also where uv cannot do it."""
    said: list[str] = []

    def call(command: list[str], **options: Any) -> SimpleNamespace:
        words = " ".join(command)
        if words.startswith(fails) or any(part in words for part in fails if " " in part):
            if options.get("check"):
                raise subprocess.CalledProcessError(1, command)
            return SimpleNamespace(returncode=1, stdout="")
        if " install " in f"{words} " and "install -qq uv" not in words:
            said.append(words)
        return SimpleNamespace(returncode=0, stdout="")

    monkeypatch.setattr(subprocess, "run", call)
    install.main(arguments)
    assert [part in words for part, words in zip(used, said, strict=True)] == [True] * len(used)


def test_every_step_names_what_is_there() -> None:
    """The lock, and the extra that the demo needs."""
    assert install.LOCK.is_file()
    assert f"\n{install.WEIGHTS}==" in install.LOCK.read_text("utf-8")
    assert Path(install.STEPS["train"][0][1]).name.endswith("[train]")
