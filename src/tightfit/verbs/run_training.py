"""A training from its request to a sealed run: the order of things."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import set_seed
from numpy.typing import NDArray

from tightfit import storage
from tightfit.config import Config
from tightfit.metrics.interval import TaskScores
from tightfit.model.adapters import adapter_pairs
from tightfit.model.artefact import count_saved, save_artefact
from tightfit.model.proofs import movement
from tightfit.progress import Progress
from tightfit.run import Run
from tightfit.tasks.calibrate import keep_calibration
from tightfit.tasks.label_thresholds import keep_usual
from tightfit.tasks.validation_logits import ValidationLogits
from tightfit.training.blend import choose_blend
from tightfit.training.callbacks import (
    BusyMachine,
    Callback,
    CheckpointSaver,
    DivergenceWarning,
    EarlyStop,
    HistoryFile,
    ProgressBar,
    write_history,
)
from tightfit.training.checkpoint import CheckpointStore
from tightfit.training.continued_start import start_from
from tightfit.training.cross_validate import cross_validate
from tightfit.training.distributed_worker import Orders, train_along
from tightfit.training.divergence import prove_no_regression
from tightfit.training.encoder_choice import recorded_encoder
from tightfit.training.frugal import choose_frugally, trainings_to_choose
from tightfit.training.gradients import watch_over
from tightfit.training.keep_start import choose_by_folds
from tightfit.training.loop import Loop
from tightfit.training.parallel import Peers, check_parallel, join_peers
from tightfit.training.prepare import prepare
from tightfit.training.resume import RunStart, write_decided
from tightfit.training.setup import Fitted, Rows, Setup
from tightfit.training.side_choice import kept_beside, mixed, weigh_side
from tightfit.training.signals import stop_on_signals
from tightfit.training.solve import head_is_solved
from tightfit.training.time_budget import TimeBudget, TimeLimit, fit_into
from tightfit.training.tracking import open_tracker
from tightfit.verbs.chosen import Chosen, choose_plan
from tightfit.verbs.origin import Origin, ReadRequest
from tightfit.verbs.sealing import gates, proof_summary, round_trip_of, seal_trained
from tightfit.verbs.train_result import TrainResult, read_result


def run_training(
    read: ReadRequest, path: Path, *, resume: bool, overwrite: bool, progress: Progress
) -> TrainResult:
    """Do what was asked for; see :func:`tightfit.verbs.train.train`."""
    config, peers = read.request.config, join_peers()
    check_parallel(config, peers)
    if peers.rank > 0:
        train_along(config, read.dataset, peers)
        return peers.share(None)
    start, busy = RunStart(path, resume=resume, overwrite=overwrite), BusyMachine(progress)
    _announce(config, progress)
    with storage.lock_output(path), start.keeping(progress):
        if start.finished:  # by a process that held it until now
            return read_result(path)
        setup, folder = _begin(read, start, peers=peers, progress=progress)
        listeners = [busy, *_listeners(folder, progress)]
        trained = _fit(folder, setup, peers, listeners, start=start, progress=progress)
        return peers.share(_finish(folder, trained, read.origin, progress=progress))


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


def _begin(
    read: ReadRequest, start: RunStart, *, peers: Peers, progress: Progress
) -> tuple[Setup, storage.RunFolder]:
    """Decide, or take over what an unfinished run decided, and hold the folder ready."""
    request, dataset, origin = read.request, read.dataset, read.origin
    config, limit = request.config, None
    if config.train.minutes is not None:
        limit = TimeLimit(config.train.minutes, request.started)
        limit.check()
    stored = start.stored()
    if stored is None:
        chosen, decided = choose_plan(read, progress), None
    else:
        start.check_same(config, dataset, stored)
        decided = stored.decisions
        chosen = Chosen(recorded_encoder(config, decided), stored.plan, {})
    source, plan = chosen.source, chosen.plan
    reason = f": {plan.why}" if plan.why else ""
    progress.say(f"{plan.total:,} parameters will train in {source.name}{reason}")
    set_seed(config.seed)
    setup = prepare(
        config,
        dataset,
        source,
        plan,
        decided=decided,
        chosen=chosen.decisions,
        progress=progress,
    )
    if origin is not None:
        start_from(setup, origin.run.classifier, progress)
    if setup.side is not None:
        _ = setup.side.features  # those of pairs show a bar of their own
        with progress.work("side head"):  # now, so that a time limit knows what is left
            _ = setup.side.head
    if limit is not None:
        setup, _ = fit_into(setup, limit, progress)
        set_seed(config.seed)
    if trainings_to_choose(setup):
        setup = choose_frugally(setup, progress)
    if dataset.folds is not None:
        # What an unfinished run did not choose, as others before it did not, is not chosen now: its
        # checkpoint is of the plan that it began with.
        setup = (choose_by_folds if stored is None else cross_validate)(setup, progress)
        if limit is not None and setup.objective == "contrastive" and limit.left <= 0:
            progress.warn(
                f"no time is left of {limit.told}; one training more takes all its steps, since "
                "the scores are those of such trainings"
            )
    folder = start.create(setup) if stored is None else start.folder
    plan = setup.classifier.plan
    peers.share(Orders(folder.checkpoints, plan, setup.decisions, setup.out_of_fold))
    return setup, folder


@dataclass(frozen=True)
class _Trained:
    """A training that is over, proven and saved, but not scored and sealed."""

    setup: Setup
    fitted: Fitted
    optimizer_parameters: int
    proofs: dict[str, dict[str, Any]]
    artefact: Path


def _fit(
    folder: storage.RunFolder,
    setup: Setup,
    peers: Peers,
    listeners: list[Callback],
    *,
    start: RunStart,
    progress: Progress,
) -> _Trained:
    """Train, save and prove."""
    before = setup.classifier.state()
    watch = watch_over(setup)
    store = CheckpointStore(folder.checkpoints)
    with (
        stop_on_signals() as stop,
        open_tracker(setup.config, folder.derived / "tracking") as tracker,
    ):
        loop = Loop(
            setup,
            watch,
            [*listeners, tracker, CheckpointSaver(store)],
            scratch=folder.checkpoints,
            progress=progress,
            stop=stop,
            peers=peers,
        )
        try:
            fitted = loop.fit(store.load() if start.resume else None)
            gradients = watch.finish()
        finally:
            storage.write_json(folder.proofs, {"gradients": watch.report().to_json()})
    made = loop.state.setup.decisions
    setup = setup.with_decisions(max_steps=made.max_steps, head=made.head)
    setup, fitted = choose_blend(setup, before, fitted, progress)
    write_history(folder.history, fitted.history)  # of the weights that are kept
    write_decided(folder, setup)
    progress.say("training is over: what is kept is saved, loaded anew, proven and scored")
    regression = prove_no_regression(setup, fitted, progress)
    # VeRA's d may stand still, as A may: b alone changes the weight.
    moved = movement(
        before,
        setup.classifier.state(),
        adapter_pairs(setup.classifier.module),
        exempt={*watch.exempt, *watch.late},
        expect_dead=setup.config.train.expect_dead,
        kept_start=regression.numbers["kept_start"],
    )
    artefact = folder.model if setup.classifier.plan.record.whole else folder.adapter
    save_artefact(setup.classifier, artefact)
    proofs = {
        "gradients": gradients.to_json(),
        "movement": moved.to_json(),
        "no_regression": regression.to_json(),
        "round_trip": round_trip_of(setup, artefact).to_json(),
    }
    if setup.solves:
        at_start = setup.objective == "probe" or regression.numbers["kept_start"]
        proofs["head_solved"] = head_is_solved(setup, frozen=at_start).to_json()
    return _Trained(setup, fitted, loop.optimizer_parameters, proofs, artefact)


def _listeners(folder: storage.RunFolder, progress: Progress) -> list[Callback]:
    """What shows and keeps a training, in the order in which each hears of an event."""
    return [
        HistoryFile(folder.history),
        DivergenceWarning(progress),
        TimeBudget(progress),
        EarlyStop(progress),
        ProgressBar(progress),
    ]


def _finish(
    folder: storage.RunFolder, trained: _Trained, origin: Origin | None, *, progress: Progress
) -> TrainResult:
    """Weigh the side head, count, score, calibrate, tell about it, and seal."""
    setup = trained.setup
    run = Run(folder.root, base=setup.source)
    rows = setup.scored_rows()
    held = setup.validation.select(rows)
    logits_NK = _unseen_logits(setup, run, held, rows)
    if setup.side is not None:
        setup, logits_NK = _with_side(folder, trained, held, logits_NK, rows=rows)
        trained = replace(trained, setup=setup)
        run = run.with_parts(plan=setup.plan, decisions=setup.decisions)
        assert setup.decisions.side_factor is not None
        progress.say(f"side head: {setup.decisions.side_factor.reason}")
    saved = count_saved(setup.plan, trained.artefact)
    trained.proofs["gates"] = gates(setup, trained.optimizer_parameters, saved).to_json()
    storage.write_json(folder.proofs, trained.proofs)
    validation_logits, scores = _score_validation(setup, held, logits_NK, rows)
    length, continued = setup.decisions.max_length.value, None
    if origin is not None:
        continued = origin.compared(setup.dataset, validation_logits, length)
    validation_logits.write(folder.validation)
    keep_calibration(folder, validation_logits, mixed=setup.side is not None)
    keep_usual(folder, validation_logits)
    result = replace(_result(folder.root, trained, scores), continued=continued)
    seal_trained(run, setup, result, scores, proofs=trained.proofs, artefact=trained.artefact)
    return result


def _unseen_logits(setup: Setup, run: Run, held: Rows, rows: list[int]) -> NDArray[np.float32]:
    """What was saved says of the validation rows or a sample of them, in fp32; or of each row what
    did not see it."""
    if setup.out_of_fold is not None:
        return setup.out_of_fold.trained.logits_NK[rows]
    return run.model.logits(held.tokens)


def _with_side(
    folder: storage.RunFolder,
    trained: _Trained,
    held: Rows,
    logits_NK: NDArray[np.float32],
    *,
    rows: list[int],
) -> tuple[Setup, NDArray[np.float32]]:
    """The setup with the side head saved and proven, or left out; and logits with what it adds.

    Raises:
        ProofError: it is not solved.
    """
    setup, solver = trained.setup, trained.setup.side
    assert solver is not None
    if setup.out_of_fold is None:
        texts = setup.dataset.validation.texts
        side_NK = solver.head.logits([texts[row] for row in rows]).astype(np.float64)
    else:
        side_NK = solver.unseen()[rows]
    task = setup.classifier.task
    factor = weigh_side(task, logits_NK, side_NK, held.targets, weights_N=held.weights_N)
    setup = setup.with_decisions(side_factor=factor)
    if factor.value:
        head = solver.head.times(factor.value, kept=kept_beside(task, factor.value))
        head.write(trained.artefact)
        trained.proofs["side_solved"] = solver.is_solved(head, factor.value).to_json()
        logits_NK = mixed(task, logits_NK, side_NK, factor.value).astype(np.float32)
    else:
        setup = replace(setup, side=None)
    write_decided(folder, setup)
    return setup, logits_NK


def _score_validation(
    setup: Setup, held: Rows, logits_NK: NDArray[np.float32], rows: list[int]
) -> tuple[ValidationLogits, TaskScores]:
    """All scores on the rows of which these are the logits."""
    task, targets_N, weights_N = setup.classifier.task, held.targets, held.weights_N
    scores = task.score(targets_N, task.probabilities(logits_NK), None, weights_N)
    texts = [setup.dataset.validation.texts[row] for row in rows]
    found = ValidationLogits.gather(task, logits_NK, targets_N, texts, weights_N=weights_N)
    return replace(found, rows_N=np.asarray(rows)[found.rows_N]), scores


def _result(run: Path, trained: _Trained, scores: TaskScores) -> TrainResult:
    setup, fitted, counters = trained.setup, trained.fitted, trained.fitted.counters
    metric = setup.classifier.task.metric
    return TrainResult(
        run=run,
        task=setup.classifier.task.kind,
        total=setup.plan.total,
        scores={k: None if each is None else each.value for k, each in scores.headline().items()},
        metric=metric,
        start=fitted.history[0][f"eval_{metric}"],
        best_step=counters.best_step,
        steps=fitted.steps,
        epochs=setup.schedule.epochs(fitted.steps),
        examples=counters.rows,
        seconds=counters.seconds,
        examples_per_second=counters.per_second(counters.rows),
        tokens_per_second=counters.per_second(counters.tokens),
        proofs=proof_summary(trained.proofs),
        source="validation" if setup.out_of_fold is None else "cross_validation",
    )
