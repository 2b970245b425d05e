"""Runs to export: sealed without training, with weights large enough that every token counts."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tests.toy_setups import toy_settings
from tests.toys import WORDS, toy_encoder
from tests.warm import Around, run
from tightfit import storage
from tightfit.model.artefact import save_artefact
from tightfit.model.classifier import build
from tightfit.model.locate import locate
from tightfit.tasks import SingleLabel
from tightfit.training.prepare import plan_for

NAMES = ("money, etc.", 'sport "x"', "wörld 🙂")
"""Labels that a careless writer of files would break."""

TASK = SingleLabel.from_names(NAMES)

LENGTH = 48


def wide_encoder(folder: Path, family: str = "bert", **more: Any) -> Path:
    """A toy encoder whose attention matters: the usual first weights are nearly zero."""
    return toy_encoder(folder, family, **{"initializer_range": 0.3, **more})


def toy_run(encoder: Path, out: Path, *settings: str, recipe: str = "tight") -> Path:
    """Seal a run whose trainable weights are random, as if it had been trained."""
    length = f"data.max_length={LENGTH}"
    config = toy_settings(encoder, length, *settings, recipe=recipe)
    source = locate(str(encoder))
    plan = plan_for(config, source, len(NAMES))
    torch.manual_seed(1)
    classifier = build(source, plan, config, TASK)
    with torch.no_grad():
        for parameter in classifier.trainable().values():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    folder = storage.create(out)
    storage.write_text(folder.config, config.to_toml())
    storage.write_json(folder.plan, plan.to_json())
    storage.write_json(folder.labels, TASK.to_json())
    save_artefact(classifier, folder.model if plan.method == "full" else folder.adapter)
    base = {"name": source.name, "public_name": source.public_name, "sha256": source.digest()}
    storage.seal(folder, {}, base)
    return out


def toy_texts(count: int = 40, longest: int = 60) -> list[str]:
    """Random words; some texts are empty, and some longer than is read."""
    chance = random.Random(3)
    return [" ".join(chance.choices(WORDS, k=chance.randint(0, longest))) for _ in range(count)]


def by_itself(folder: Path, texts: Sequence[str], *, cold: bool = False) -> list[list[str]]:
    """What a folder's ``predict.py`` answers: the cells of a line for each of these lines.

    It cannot import tightfit, nor torch and transformers where there is a graph. Once a format it
    is to begin ``cold``, with nothing but what it imports itself.
    """
    gone = ["tightfit", *["torch", "transformers"] * (folder / "model.onnx").exists()]
    lines, program = "\n".join(texts) + "\n", str(folder / "predict.py")
    if cold:
        code = f"import sys, runpy; sys.modules.update(dict.fromkeys({gone}))"
        command = [sys.executable, "-c", f"{code}; runpy.run_path({program!r})"]
        # A terminal with an encoding of its own changes nothing.
        environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
        done = subprocess.run(
            command, input=lines, capture_output=True, encoding="utf-8", env=environment
        )
    else:
        done = run([sys.executable, program], Around(given=lines, hidden=gone))
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]
