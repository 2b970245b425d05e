"""A training on the names of labels: a sealed run without one row that has a label."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from accelerate.utils import set_seed

from tightfit import storage
from tightfit.errors import BudgetError, SettingsError
from tightfit.model.artefact import save_artefact
from tightfit.progress import Progress
from tightfit.run import Run
from tightfit.tasks.labelled_texts import LabelledTexts
from tightfit.training.encoder_choice import choose_encoder
from tightfit.training.frozen_probe import LEAST_ROWS
from tightfit.training.importance import HEAD_ALONE
from tightfit.training.label_names import name_texts
from tightfit.training.long_text_choice import decide_long_text
from tightfit.training.objective import why_unsolved
from tightfit.training.pooling_choice import decide_pooling
from tightfit.training.prepare import plan_for, prepare
from tightfit.training.resume import RunStart, write_decided
from tightfit.training.setup import Setup
from tightfit.training.solve import head_is_solved, solve_head
from tightfit.verbs.origin import ReadRequest
from tightfit.verbs.sealing import gates, proof_summary, round_trip_of, seal_trained
from tightfit.verbs.train_result import TrainResult, read_result


def train_on_names(
    read: ReadRequest, path: Path, *, resume: bool, overwrite: bool, progress: Progress
) -> TrainResult:
    """Do what was asked for; see :func:`tightfit.verbs.train.train`."""
    start, begun = RunStart(path, resume=resume, overwrite=overwrite), time.monotonic()
    with storage.lock_output(path), start.keeping(progress):
        if start.finished:  # by a process that held it until now
            return read_result(path)
        stored = start.stored()
        if stored is not None:
            start.check_same(read.request.config, read.dataset, stored)
        setup = _setup(read, progress)
        if stored is None:
            start.create(setup)
        else:  # nothing has been learned that would be lost
            write_decided(start.folder, setup)
        folder = start.folder
        storage.write_text(folder.history, "")
        solve_head(setup, frozen=True)
        saved = save_artefact(setup.classifier, folder.adapter)
        parameters = setup.classifier.plan.total
        found = {
            "gates": gates(setup, parameters, saved),
            "head_solved": head_is_solved(setup, frozen=True),
            "round_trip": round_trip_of(setup, folder.adapter),
        }
        proofs = {name: proof.to_json() for name, proof in found.items()}
        storage.write_json(folder.proofs, proofs)
        result = TrainResult(
            run=path,
            task=setup.classifier.task.kind,
            total=parameters,
            scores={"accuracy": None, "macro_f1": None},
            metric=setup.classifier.task.metric,
            start=None,
            best_step=0,
            steps=0,
            epochs=0.0,
            examples=len(setup.train.targets) + len(setup.dataset.pool_texts),
            seconds=time.monotonic() - begun,
            examples_per_second=0.0,
            tokens_per_second=0.0,
            proofs=proof_summary(proofs),
            source=None,
        )
        run = Run(path, base=setup.source)
        progress.say("how good it is nobody knows: no row has a label; 'tightfit evaluate' tells")
        seal_trained(run, setup, result, None, proofs=proofs, artefact=folder.adapter)
        return result


def _setup(read: ReadRequest, progress: Progress) -> Setup:
    """The frozen encoder, and a head that is to be solved on a sentence for each label.

    Raises:
        BudgetError: the head does not fit under the cap.
        SettingsError: the head is none that can be solved.
    """
    config = read.request.config
    sentences = name_texts(config, read.dataset)
    facts = replace(read.dataset.facts, sentences=tuple(sentences))
    dataset = replace(read.dataset, facts=facts)
    # No sentence can tell which encoder is better, but each whether it reads them.
    few = sentences[: LEAST_ROWS - 1]
    as_rows = replace(dataset, train=LabelledTexts(np.arange(len(few)), few))
    encoder = choose_encoder(config, as_rows, None, progress)
    source, pooling = encoder.source, decide_pooling(encoder.probe, encoder.source)
    alone = config.with_values(HEAD_ALONE)
    plan = plan_for(alone, source, dataset.task.outputs, pooling=pooling.value)
    if len(plan.head_layers) == 1 and plan.head_layers[0].rank is not None:
        raise BudgetError(
            "the cap is smaller than the head that is made of label names",
            seen=plan.why,
            next_step="raise the cap (--budget)",
        )
    if unfit := why_unsolved(plan):
        raise SettingsError(
            "no head can be made of label names here",
            seen=unfit,
            next_step="set head.kind=linear, or choose the embedded model",
        )
    plan = replace(plan, why="no adapters: there are no rows to learn from")
    progress.say(f"{plan.total:,} parameters in {source.name} are solved: {plan.why}")
    set_seed(config.seed)
    long_text = decide_long_text(encoder.probe, source)
    chosen = {**encoder.decisions, "pooling": pooling, "long_text": long_text}
    return prepare(config, dataset, source, plan, chosen=chosen, progress=progress)
