"""``tightfit train``: from rows to a sealed run."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import set_seed
from scipy.special import softmax

from tightfit import storage
from tightfit.budget.parameter_plan import Plan
from tightfit.config import DEFAULT_RECIPE, Config
from tightfit.data.batches import length_histogram
from tightfit.engines.engine import all_logits, torch_engine
from tightfit.metrics.scores import Scores, score
from tightfit.model.adapters import adapter_pairs
from tightfit.model.artefact import load_artefact, save_artefact
from tightfit.model.classifier import count_built, predict_logits
from tightfit.model.encoders import load_tokenizer
from tightfit.model.locate import Source, locate
from tightfit.model.model_card import write_card
from tightfit.model.proofs import Proof, movement, round_trip
from tightfit.progress import Progress, RichProgress
from tightfit.reporting.page import render
from tightfit.run import Run
from tightfit.tasks.calibrate import DERIVED_NAME, calibrate
from tightfit.tasks.validation_logits import ValidationLogits
from tightfit.training.checkpoint import CheckpointStore
from tightfit.training.distributed_worker import Told, check_parallel, follow, watch_over
from tightfit.training.importance import decide_plan
from tightfit.training.loop import Loop
from tightfit.training.parallel import Peers, join_peers
from tightfit.training.prepare import Dataset, fit_lengths, gather, make_setup, tell_about
from tightfit.training.resume import RunStart
from tightfit.training.setup import Fitted, HistoryRow, Setup
from tightfit.training.signals import stop_on_signals
from tightfit.training.time_budget import TimeLimit, fit_into
from tightfit.training.tracking import check_tracker, log_row, make_accelerator
from tightfit.verbs.plan import settings_of

ROUND_TRIP_ROWS = 64
"""Validation rows on which the artefact must answer as the trained model does."""

RECORDED_VERSIONS = ("tightfit", "torch", "transformers", "peft", "accelerate", "tokenizers")


@dataclass(frozen=True)
class TrainResult:
    """What a finished training is worth, and where it lies."""

    run: Path
    summary: dict[str, Any]
    """The keys of the ``train`` contract, without ``run``; none in a process that only helped."""

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit train --json`` prints."""
        return {"run": str(self.run), **self.summary}


def train(
    data: Any,
    *,
    validation: Any = None,
    model: str | None = None,
    recipe: str = DEFAULT_RECIPE,
    budget: int | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    max_steps: int | None = None,
    limit: int | None = None,
    minutes: float | None = None,
    started: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
    text_column: Sequence[str] | str | None = None,
    label_column: str | None = None,
    settings: Sequence[str] = (),
    progress: Progress | None = None,
) -> TrainResult:
    """Train a classifier inside a budget, prove that it learned, and seal the run.

    Args:
        data: a path, ``hf:NAME``, ``sample``, a data frame or a ``datasets.Dataset``.
        validation: rows to validate on, in any of these forms; None holds some of ``data`` out.
        model: Hub name, folder, or the embedded model; None takes the recipe's.
        recipe: where the settings start from.
        budget: most trainable parameters allowed; None takes the recipe's cap.
        out: the run folder; None takes the next ``runs/NNN``.
        seed: of everything that is drawn at random.
        max_steps: end after so many optimiser steps, and shorten the schedule with them.
        limit: train on a stratified sample of this many rows.
        minutes: fit the training into this wall clock of the whole call, final scoring excluded.
        started: when that clock began, by :func:`time.monotonic`; None is now.
        resume: go on from the run's newest checkpoint; a finished run is left as it is.
        overwrite: replace a run that is there.
        text_column: column, or columns to join with a space.
        label_column: column of the labels.
        settings: dotted assignments such as ``optim.lr=1e-3``.
        progress: how to speak to people; None speaks on stderr.

    Raises:
        TightfitError: its subclasses tell what is wrong; nothing half-written is left behind.
    """
    progress, began = progress or RichProgress(), time.monotonic() if started is None else started
    config = settings_of(
        recipe,
        settings,
        model=model,
        budget=budget,
        seed=seed,
        max_steps=max_steps,
        minutes=minutes,
        text_column=text_column,
        label_column=label_column,
    )
    peers = join_peers()
    check_parallel(config, peers)
    if peers.rank > 0:
        return TrainResult(follow(config, gather(config, data, validation, limit), peers), {})
    path = Path(out) if out is not None else storage.next_path()
    begin = RunStart(path, resume=resume, overwrite=overwrite)
    if begin.finished:
        progress.say(f"{path} is complete; nothing to resume")
        return read_result(path)
    if not resume:
        storage.check_may_create(path, overwrite=overwrite)
    check_tracker(config)
    _announce(config, progress)
    with storage.lock_run(path):
        if begin.finished:  # by a process that held it until now
            return read_result(path)
        dataset = gather(config, data, validation, limit)
        tell_about(dataset, progress)
        return _train(begin, config, dataset, peers, began=began, progress=progress)


def _train(
    begin: RunStart,
    config: Config,
    dataset: Dataset,
    peers: Peers,
    *,
    began: float,
    progress: Progress,
) -> TrainResult:
    """Train into a folder that this process holds."""
    stored = begin.stored_config()
    source = locate(config.model.name)
    set_seed(config.seed)  # here as well: deciding by importance builds a model
    if stored is None:
        plan = decide_plan(config, dataset, source, progress)
    else:
        config = config.model_copy(update={"choices": stored.choices})
        lowered, _ = fit_lengths(config, source, load_tokenizer(source))
        begin.check_same(lowered, dataset, stored)
        plan = Plan.from_json(storage.read_json(begin.folder.plan))
    reason = f": {plan.why}" if plan.why else ""
    progress.say(f"{plan.total:,} parameters will train in {source.name}{reason}")
    set_seed(config.seed)
    setup, facts = make_setup(config, dataset, source, plan, progress=progress)
    if config.train.minutes is not None:
        setup = fit_into(setup, TimeLimit(config.train.minutes, began), progress)
        set_seed(config.seed)
    facts["tokens"]["lengths"] = length_histogram(setup.train.tokens.lengths)
    data_facts = {**dataset.facts, **facts}
    resume = stored is not None
    folder = begin.reopen(data_facts) if resume else begin.create(setup, dataset, data_facts)
    peers.share(Told(folder.root, plan.to_json(), setup.config.to_toml(), resume))
    fit = _fit(folder, setup, source, peers, resume=resume, progress=progress)
    return _finish(folder, setup, source, fit=fit, texts=dataset.validation_texts)


def read_result(path: Path) -> TrainResult:
    """The result of a finished run.

    Raises:
        ArtefactError: the run is incomplete or damaged.
    """
    folder = storage.open_run(path)
    return TrainResult(path, storage.read_json(folder.metrics)["train"])


def _announce(config: Config, progress: Progress) -> None:
    if config.budget.cap is None:
        progress.warn(
            f"recipe {config.recipe}: no cap holds; every trainable weight is counted only"
        )
    if config.train.expect_dead:
        progress.warn(
            f"recipe {config.recipe} leaves every adapter dead on purpose, to reproduce the "
            "published number; use recipe paper for adapters that learn"
        )


@dataclass(frozen=True)
class _Fit:
    """A training that is over, proven and saved, but not scored and sealed."""

    fitted: Fitted
    proofs: dict[str, dict[str, Any]]
    artefact: Path


def _fit(
    folder: storage.RunFolder,
    setup: Setup,
    source: Source,
    peers: Peers,
    *,
    resume: bool,
    progress: Progress,
) -> _Fit:
    """Train, save and prove."""
    expect_dead = setup.config.train.expect_dead
    start = setup.classifier.state()
    watch = watch_over(setup, source)
    accelerator = make_accelerator(setup.config, folder.derived / "tracking")
    with stop_on_signals() as stop:
        store = CheckpointStore(folder.checkpoints)
        loop = Loop(setup, store, watch, progress=progress, stop=stop, peers=peers)
        loop.on_row = lambda row: _keep_row(folder, loop.history, accelerator, row)
        try:
            fitted = loop.fit(resume=resume)
            gradients = watch.finish()
        finally:
            accelerator.end_training()
            storage.write_json(folder.proofs, {"gradients": watch.report().to_json()})
    pairs = adapter_pairs(setup.classifier.module)
    end = setup.classifier.state()
    # VeRA's d may stand still, as A may: b alone changes the weight.
    exempt = {*watch.exempt, *watch.late}
    moved = movement(start, end, pairs, exempt=exempt, expect_dead=expect_dead)
    artefact = folder.model if setup.classifier.plan.method == "full" else folder.adapter
    saved = save_artefact(setup.classifier, artefact)
    proofs = {
        "gates": _gates(setup, source, loop.optimizer_parameters, saved).to_json(),
        "gradients": gradients.to_json(),
        "movement": moved.to_json(),
        "round_trip": _round_trip(setup, artefact, source).to_json(),
    }
    storage.write_json(folder.proofs, proofs)
    return _Fit(fitted, proofs, artefact)


def _finish(
    folder: storage.RunFolder, setup: Setup, source: Source, *, fit: _Fit, texts: Sequence[str]
) -> TrainResult:
    """Score, calibrate, tell about it, and seal."""
    validation_logits, scores = _score_validation(setup, texts)
    validation_logits.write(folder.validation)
    storage.write_derived(folder, DERIVED_NAME, calibrate(validation_logits).to_json())
    summary = _summary(setup, fit.fitted, scores, fit.proofs)
    storage.write_json(folder.metrics, {"train": summary, "validation": scores.to_json()})
    write_card(
        fit.artefact,
        setup.config,
        setup.classifier.plan,
        setup.classifier.label_names,
        scores=scores.to_json(),
        source=source,
        steps=fit.fitted.steps,
        data=storage.read_json(folder.data),
        proofs=fit.proofs,
    )
    base = {"name": source.name, "public_name": source.public_name, "sha256": source.digest()}
    versions = _versions()
    draft = storage.Manifest(format=storage.FORMAT, files=[], versions=versions, base=base)
    storage.write_text(folder.report, render(Run(folder.root, manifest=draft)))
    storage.seal(folder, versions, base)
    return TrainResult(folder.root, summary)


def _keep_row(
    folder: storage.RunFolder, history: list[HistoryRow], accelerator: Accelerator, row: HistoryRow
) -> None:
    storage.write_text(folder.history, "".join(json.dumps(each) + "\n" for each in history))
    log_row(accelerator, row)


def _gates(setup: Setup, source: Source, optimizer: int, saved: int) -> Proof:
    """The four counts; each was compared with the plan where it was made."""
    plan = setup.classifier.plan
    shapes = source.shapes(plan.num_labels)
    # What a head of low rank does without.
    spared = sum(
        shapes.hidden * plan.num_labels - rank * (shapes.hidden + plan.num_labels)
        for rank in plan.head_ranks.values()
    )
    counts = {
        "plan": plan.total,
        "built": count_built(setup.classifier),
        "optimizer": optimizer,
        "saved": saved,
        "cap": plan.budget,
        "frozen": 0 if plan.method == "full" else shapes.parameters - plan.head - spared,
    }
    return Proof("gates", ok=True, numbers=counts)


def _round_trip(setup: Setup, artefact: Path, source: Source) -> Proof:
    trained = setup.classifier
    tokens = setup.validation.tokens.select(
        range(min(ROUND_TRIP_ROWS, len(setup.validation.tokens)))
    )
    anew = load_artefact(artefact, source, trained.plan, trained.label_names)
    anew.module.to(trained.device)
    batch = setup.config.train.eval_batch
    return round_trip(
        predict_logits(trained, tokens, batch=batch),
        predict_logits(anew, tokens, batch=batch),
        labels=(trained.label_names, anew.label_names),
    )


def _score_validation(setup: Setup, texts: Sequence[str]) -> tuple[ValidationLogits, Scores]:
    """The best weights on the validation rows, in fp32."""
    logits_NK = all_logits(torch_engine(setup.classifier.module), setup.validation.tokens)
    labels, names = setup.validation.labels, setup.classifier.label_names
    scores = score(labels, softmax(logits_NK, axis=1), names)
    return ValidationLogits.gather(logits_NK, labels, texts), scores


def _summary(
    setup: Setup, fitted: Fitted, scores: Scores, proofs: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    counters = fitted.counters
    verdicts = {
        name: {key: proof[key] for key in ("ok", "expected") if key in proof}
        for name, proof in proofs.items()
    }
    return {
        "total": setup.classifier.plan.total,
        "accuracy": scores.accuracy.value,
        "macro_f1": scores.macro_f1.value,
        "best_step": counters.best_step,
        "steps": fitted.steps,
        "epochs": fitted.steps / setup.schedule.steps_per_epoch,
        "examples": counters.rows,
        "seconds": counters.seconds,
        "examples_per_second": counters.rows / counters.train_seconds,
        "tokens_per_second": counters.tokens / counters.train_seconds,
        "proofs": verdicts,
    }


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{n: version(n) for n in RECORDED_VERSIONS}}
