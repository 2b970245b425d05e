"""The end of a training: its last proofs, its card, its page and the seal."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tightfit import storage
from tightfit.data.text_digests import text_digests, write_text_digests
from tightfit.metrics.interval import TaskScores
from tightfit.model.artefact import load_artefact
from tightfit.model.classifier import count_built, predict_logits
from tightfit.model.model_card import write_card
from tightfit.model.proofs import ROUND_TRIP_ROWS, Proof, round_trip
from tightfit.reporting.page import render
from tightfit.run import Run
from tightfit.training.checkpoint import CheckpointStore
from tightfit.training.setup import Setup
from tightfit.verbs.train_result import TrainResult

SUMMARISED = ("ok", "expected", "kept_start")
"""What the summary of a training tells of each proof."""

RECORDED_VERSIONS = ("tightfit", "torch", "transformers", "peft", "accelerate", "tokenizers")
"""Of the libraries that took part."""


def gates(setup: Setup, optimizer: int, saved: int) -> Proof:
    """The four counts; each was compared with the plan where it was made.

    Args:
        setup: as it was trained.
        optimizer: parameters that were stepped or solved, but for a side head's.
        saved: those in the saved file.
    """
    plan, beside = setup.plan, setup.side.plan.parameters if setup.side else 0
    shapes = setup.source.shapes(plan.num_labels)
    # What a head of low rank does without.
    spared = sum(
        shapes.hidden * plan.num_labels - rank * (shapes.hidden + plan.num_labels)
        for rank in plan.head_ranks.values()
    )
    counts = {
        "plan": plan.total,
        "built": count_built(setup.classifier) + beside,
        "optimizer": optimizer + beside,
        "saved": saved,
        "cap": plan.budget,
        "frozen": 0 if plan.record.whole else shapes.parameters - plan.head - spared,
    }
    return Proof(ok=True, numbers=counts)


def round_trip_of(setup: Setup, artefact: Path) -> Proof:
    """Whether the saved artefact, loaded anew, answers as the trained classifier does.

    Raises:
        ProofError: it does not.
    """
    trained = setup.classifier
    tokens = (setup.validation if len(setup.validation.targets) else setup.train).tokens
    tokens = tokens.select(range(min(ROUND_TRIP_ROWS, len(tokens))))
    given = (artefact, setup.source, trained.plan, trained.task)
    anew = load_artefact(*given, tokenizer=trained.tokenizer)  # compared are logits of tokens
    anew.module.to(trained.device)
    batch = setup.config.train.eval_batch
    return round_trip(
        predict_logits(trained, tokens, batch=batch),
        predict_logits(anew, tokens, batch=batch),
        labels=(trained.task.names, anew.task.names),
    )


def proof_summary(proofs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, bool]]:
    """What the summary of a training tells of its proofs."""
    return {
        name: {key: proof[key] for key in SUMMARISED if key in proof}
        for name, proof in proofs.items()
    }


def seal_trained(
    run: Run,
    setup: Setup,
    result: TrainResult,
    scores: TaskScores | None,
    *,
    proofs: Mapping[str, Mapping[str, Any]],
    artefact: Path,
) -> None:
    """Write scores, card and page, and seal.

    Args:
        run: where all else is.
        setup: as it was trained.
        result: what came of it.
        scores: on the validation rows; None where there are none.
        proofs: with all their numbers.
        artefact: the folder of what trained.
    """
    folder = run.folder
    told = {name: value for name, value in result.told().items() if name != "source"}
    validation = None if scores is None else scores.to_json()
    metrics = {"train": told, "source": result.source, "validation": validation}
    if setup.decisions.scored_rows is not None:
        of = len(setup.validation.targets)
        metrics["sample"] = {"of": of, **asdict(setup.decisions.scored_rows)}
    storage.write_json(folder.metrics, metrics)
    source = setup.source
    write_card(
        artefact,
        setup.config,
        setup.plan,
        setup.classifier.task,
        decisions=setup.decisions,
        scores=scores,
        source=source,
        steps=result.steps,
        data=setup.dataset.facts,
        proofs=proofs,
    )
    _keep_digests(folder, setup)
    base = source.to_json()
    versions = {"python": platform.python_version(), **{n: version(n) for n in RECORDED_VERSIONS}}
    draft = storage.Manifest(format=storage.FORMAT, files=[], versions=versions, base=base)
    # Where every minute is counted, ``tightfit report`` explains the mistakes later.
    explain = setup.config.train.minutes is None
    page = render(run.with_parts(manifest=draft), explain=explain, sealed=True)
    storage.write_text(folder.report, page)
    storage.seal(folder, versions, base)
    CheckpointStore(folder.checkpoints).clear()  # nothing is left to resume


def _keep_digests(folder: storage.RunFolder, setup: Setup) -> None:
    """Which texts the weights know, for whoever goes on from the run."""
    before = setup.dataset.learned
    if before is not None:
        own = text_digests(setup.dataset.train.texts)
        write_text_digests(folder.trained, np.concatenate([before, own]))
