"""Recipes, baselines and ablations on the same rows, in one table."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightfit import storage
from tightfit.config import Config
from tightfit.data.text_tokenizer import TextTokenizer
from tightfit.errors import BudgetError, Interrupted, ProofError, SettingsError
from tightfit.experiments.baselines import Embed, run_baseline
from tightfit.experiments.cells import (
    CELLS,
    EMBEDDINGS,
    RATED,
    RECIPE,
    RECIPES,
    RUNS,
    Cell,
    Row,
    Wanted,
    beside,
    cell_name,
    configs_of,
    fingerprint,
    markdown,
    read_row,
    write_row,
)
from tightfit.families import FAMILIES
from tightfit.model.locate import Source, locate
from tightfit.progress import Once, Progress
from tightfit.run import Run
from tightfit.tasks.dataset import Dataset, read_dataset
from tightfit.training.encoder_choice import choose_encoder
from tightfit.training.frozen_probe import both_features, tokens_of
from tightfit.training.prepare import plan_for
from tightfit.training.request import TrainRequest
from tightfit.training.time_budget import TimeLimit
from tightfit.verbs.forecast import forecast
from tightfit.verbs.origin import ReadRequest
from tightfit.verbs.run_training import run_training
from tightfit.verbs.train_result import TrainResult, read_result

RESULT_NAMES = ("comparison.json", "comparison.md")
"""Its table, for programs and for people."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """The rows of a comparison in their order, and the cells that have none, with the reason."""

    folder: Path
    validation_rows: int
    rows: tuple[Row, ...]
    left_out: Mapping[str, str]
    runs: Mapping[str, Path] = field(default_factory=dict)
    """The folder of each row that is a run, by the row's name."""
    folds: int | None = None
    """Parts of the cross-validation that the scores come from; None where rows are held out."""

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit compare --json`` prints."""
        rows = [row.to_json() for row in self.rows]
        runs = {name: str(path) for name, path in self.runs.items()}
        return {**vars(self), "folder": str(self.folder), "rows": rows, "runs": runs}

    @property
    def scored_rows(self) -> str:
        """What the scores are of, in words."""
        if self.folds is None:
            return f"{self.validation_rows:,} validation rows"
        return f"{self.validation_rows:,} rows in a cross-validation"

    @property
    def best(self) -> str | None:
        """The row whose run has the best first score; None where no row is a run."""
        runs = [row for row in self.rows if row.name in self.runs]
        return max(runs, key=lambda row: row.merit).name if runs else None

    def __repr__(self) -> str:
        return markdown(self.rows, self.left_out, self.scored_rows)

    _repr_markdown_ = __repr__  # what a notebook shows


@dataclass(frozen=True)
class _Job:
    """One cell: what its row depends on, how to get it, and how long that takes."""

    name: str
    key: str
    run: Callable[[], Row]
    seconds: Callable[[], float]
    """A forecast; only asked for where time is short."""
    within: Callable[[float], Row] | None = None
    """The same cut to fit so many minutes, where that is possible and is no cell to be kept."""


def compared(
    asked: TrainRequest,
    given: Mapping[str, object],
    wanted: Wanted,
    *,
    folder: Path,
    minutes: float | None,
    progress: Progress,
) -> Comparison:
    """Train recipes and baselines, or an ablation; see :func:`tightfit.verbs.compare.compare`.

    Args:
        asked: recipe ``tight`` on these rows.
        given: what was asked of every cell, as typed values by dotted name.
        wanted: which rows the table may have, and which are asked for.
        folder: of the comparison, which may be taken.
        minutes: as ``compare`` takes it.
        progress: how to speak to people.
    """
    progress = Once(progress)
    cells, others, baselines = wanted.cells, wanted.others, wanted.baselines
    dataset = read_dataset(asked.config, asked.data, asked.validation, asked.limit)
    limit = None if minutes is None else TimeLimit(minutes, asked.started)
    chosen = choose_encoder(asked.config, dataset, limit, progress)
    source, config = chosen.source, asked.config.with_values(chosen.settings)
    own = beside([source.name])
    names = [RECIPE if name == own[0].name else name for name in wanted.names]
    others = tuple(cell for cell in others if cell not in own)
    configs = configs_of((*cells, *others), given, config)
    sources = {cell: _encoder(each, source) for cell, each in configs.items()}
    left_out = _impossible(configs, sources, dataset.task.outputs)
    facts = {
        "train_fingerprint": dataset.facts.train_fingerprint,
        "validation_fingerprint": dataset.facts.validation_fingerprint,
        "labels": dataset.task.names,
    }
    kind = source.shapes(dataset.task.outputs).model_type
    if baselines and FAMILIES[kind].inside is None:
        unread = {name for name in baselines if RATED.get(name, name) == EMBEDDINGS}
        left_out |= dict.fromkeys(unread, f"{kind} has blocks that only transformers computes")
        baselines = tuple(name for name in baselines if name not in unread)
    embed = partial(_mean_embeddings, source, config.data.max_length)
    reads = {"encoder": source.digest(), "prefix": source.prefix, "length": config.data.max_length}
    of_words = {**facts, **reads}
    jobs = [_baseline(name, dataset, of_words, embed) for name in baselines]
    for cell, settled in configs.items():
        if cell.name not in left_out:
            # Without defaults, so that a cell outlives settings that did not exist when it ran.
            values = settled.model_dump(mode="json", exclude_defaults=True)
            key = fingerprint(**facts, settings=values, encoder=sources[cell].digest())
            request = replace(asked, config=settled)
            jobs.append(_training(cell.name, key, folder, request=request, progress=progress))
    for part in (CELLS, RUNS):
        storage.make_folder(folder / part)
    progress.say(f"the comparison is in {folder}")
    with _kept_on_interrupt(folder):
        return _run_all(
            jobs,
            names,
            Comparison(folder, len(dataset.validation), (), left_out, folds=dataset.facts.folds),
            deadline=None if minutes is None else asked.started + 60 * minutes,
            progress=progress,
        )


def _encoder(config: Config, chosen: Source) -> Source:
    """That of a cell: the one that was chosen, or another that it names."""
    name = config.model.name
    return chosen if name == chosen.name else locate(name)


def _run_all(
    jobs: Sequence[_Job],
    names: Sequence[str],
    found: Comparison,
    *,
    deadline: float | None,
    progress: Progress,
) -> Comparison:
    """Run what was asked for, not run before and fits into the time.

    The table is kept after each cell; all that is finished is in it.
    """
    for number, job in enumerate(jobs, 1):
        path = found.folder / CELLS / f"{cell_name(job.name, job.key)}.json"
        row = read_row(path, job.name, job.key, progress)
        if row is None and job.name not in names:
            continue
        if row is None:
            made = _made(job, path, deadline, f"{number} of {len(jobs)}", progress=progress)
            if isinstance(made, str):
                progress.say(f"{job.name} is left out: {made}")
                found = replace(found, left_out={**found.left_out, job.name: made})
                continue
            row = made
        else:
            progress.say(f"{number} of {len(jobs)}: {job.name} was finished before")
        runs = {**found.runs, **_run_of(found.folder, job)}
        found = replace(found, rows=(*found.rows, row), runs=runs)
        _write(found)
    _write(found)
    if not found.rows:
        progress.warn(
            "no row was finished, so that the table is empty; each is named with the reason"
        )
    return found


def _run_of(folder: Path, job: _Job) -> dict[str, Path]:
    """The folder of a cell's run by its name, else of the one cut last; empty where none is."""
    whole = folder / RUNS / cell_name(job.name, job.key)
    found = [whole, *sorted(whole.parent.glob(f"{whole.name}-cut-*"), reverse=True)]
    finished = [path for path in found if storage.RunFolder(path).sealed]
    return {job.name: finished[0]} if finished else {}


def _made(
    job: _Job, path: Path, deadline: float | None, place: str, *, progress: Progress
) -> Row | str:
    """The row of a cell, which is kept where it is not cut short, or why there is none."""
    reason, left = _no_time(job, deadline), _minutes_left(deadline)
    try:
        if reason is None:
            progress.say(f"{place}: {job.name}")
            row = job.run()
            write_row(path, row, job.key)
            return row
        if job.within is not None and left > 0:
            progress.say(f"{place}: {job.name}, cut to fit: {reason}")
            return job.within(left)
    except ProofError as error:  # it diverged, say; that is a result of its own
        return error.what
    return reason


def _write(found: Comparison) -> None:
    """The table so far, for programs and for people."""
    as_json, as_markdown = (found.folder / name for name in RESULT_NAMES)
    storage.write_json(as_json, found.to_json())
    storage.write_text(as_markdown, repr(found))


def _no_time(job: _Job, deadline: float | None) -> str | None:
    """Why a cell cannot be finished in time, or None where it can."""
    if deadline is None:
        return None
    if deadline <= time.monotonic():
        return "no time was left"
    needed, left = job.seconds() / 60, _minutes_left(deadline)
    if needed <= left:
        return None
    return f"it would take about {needed:.2g} minutes, and {max(left, 0):.2g} were left"


def _minutes_left(deadline: float | None) -> float:
    return math.inf if deadline is None else (deadline - time.monotonic()) / 60


def _mean_embeddings(source: Source, max_length: int, texts: Sequence[str]) -> NDArray[np.float32]:
    """Of length 1."""
    tokens = tokens_of(source, TextTokenizer.of(source.folder), texts, max_length)
    _, mean_NF = both_features(source, tokens, Progress())
    return mean_NF / np.linalg.norm(mean_NF, axis=1, keepdims=True)


def _baseline(name: str, dataset: Dataset, facts: Mapping[str, Any], embed: Embed) -> _Job:
    key = fingerprint(**facts, baseline=name)
    return _Job(name, key, lambda: run_baseline(name, dataset, embed), lambda: 0.0)


def _training(
    name: str, key: str, folder: Path, *, request: TrainRequest, progress: Progress
) -> _Job:
    """A cell that trains, in a run folder of its own, from a checkpoint where there is one."""
    run_folder = folder / RUNS / cell_name(name, key)

    def run(request: TrainRequest = request, run_folder: Path = run_folder) -> Row:
        if storage.RunFolder(run_folder).sealed:
            return _row(name, read_result(run_folder))
        read = ReadRequest.read(replace(request, started=time.monotonic()), progress)
        result = run_training(read, run_folder, resume=True, overwrite=False, progress=progress)
        return _row(name, result)

    def seconds() -> float:
        now, silence = replace(request, started=time.monotonic()), Progress()
        return 60 * forecast(ReadRequest.read(now, silence), silence).minutes

    def within(minutes: float) -> Row:
        config = request.config.with_values({"train.minutes": minutes})
        cut = run_folder.with_name(f"{run_folder.name}-cut-{time.monotonic_ns()}")
        return run(replace(request, config=config), cut)

    return _Job(name, key, run, seconds, within if name == RECIPE else None)


def _row(name: str, result: TrainResult) -> Row:
    """What a finished run is worth."""
    run = Run.open(result.run)
    scores = run.metrics.validation
    assert scores is not None, "what is compared was trained on rows"
    return Row(
        name=name,
        trainable=result.total,
        scores={name: each for name, each in scores.headline().items() if each},
        seconds=result.seconds,
        bytes=sum(file.stat().st_size for file in run.artefact.rglob("*") if file.is_file()),
    )


def _impossible(
    configs: Mapping[Cell, Config], sources: Mapping[Cell, Source], num_labels: int
) -> dict[str, str]:
    """The cells whose plan cannot be made, each with the reason.

    Raises:
        BudgetError: the recipe itself does not fit, so that there is nothing to compare.
        SettingsError: it, or a value that was asked for, does not suit the model.
    """
    over = {}
    for cell, config in configs.items():
        try:
            plan_for(config, sources[cell], num_labels)
        except (BudgetError, SettingsError) as error:
            # A model may lack what a baseline needs, such as biases; that is nobody's mistake.
            mistaken = isinstance(error, SettingsError) and cell not in RECIPES
            if cell.name == RECIPE or mistaken:
                raise
            over[cell.name] = error.what
    return over


@contextmanager
def _kept_on_interrupt(folder: Path) -> Iterator[None]:
    """Say how to go on, with this folder and not with the run of a single cell."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        code = error.exit_code if isinstance(error, Interrupted) else 128 + signal.SIGINT
        raise Interrupted(
            "the comparison was interrupted; finished cells are kept",
            signal_number=code - 128,
            next_step=f"give the same command with --out {folder} to go on",
        ) from error
