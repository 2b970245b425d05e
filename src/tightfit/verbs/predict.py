"""``tightfit predict``: a file of rows to a file of labels."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any

from tightfit.batch_predict.input_rows import Records, kept_columns, read_records
from tightfit.batch_predict.shard import WHOLE, Shard
from tightfit.batch_predict.stream import STREAM_ROWS, Form, Written, check_out, predict_stream
from tightfit.config import Config, MissingText, Settings
from tightfit.data.given_texts import as_source
from tightfit.data.output_paths import check_new_file, check_not_input
from tightfit.data.sources import check_source, open_rows
from tightfit.display import Shown
from tightfit.engines.engine_names import LIBRARY_OF, AskedEngine, EngineName
from tightfit.errors import UsageError
from tightfit.extras import ensure_train, installed_version
from tightfit.model.unread_texts import unlike_training
from tightfit.progress import Progress, RichProgress
from tightfit.run import Run
from tightfit.tasks import LabelFormat, need_labels, need_one_class
from tightfit.tasks.label_thresholds import threshold_words


@dataclass(frozen=True, repr=False, kw_only=True)
class PredictResult(Shown, Written):
    """What was written, where, and by what."""

    out: Path
    threshold: float = 0.0
    """The least confidence of an answer."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """From which probability on a label is answered."""
    engine: EngineName = "torch"
    """What computed."""

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit predict --json`` prints."""
        told = asdict(self)
        return {"out": str(told.pop("out")), **told}

    def shown(self) -> dict[str, object]:
        """Where the labels are, of how many rows, and by what."""
        return {"out": self.out, "rows": f"{self.rows:,}", "engine": self.engine}


def predict(
    run: str | PathLike[str],
    data: Any,
    out: str | Path | None = None,
    *,
    keep: Sequence[str] | str = (),
    id_column: str | None = None,
    probabilities: bool = False,
    escape_formulas: bool = False,
    label_format: LabelFormat | None = None,
    submission: bool = False,
    overwrite: bool = False,
    max_length: int | None = None,
    max_error: float | None = None,
    thresholds: Mapping[Any, float] | None = None,
    text_column: Sequence[str] | str | None = None,
    missing_text: MissingText | None = None,
    settings: Settings = (),
    shard: str | None = None,
    engine: AskedEngine = "torch",
    cascade: bool = False,
    progress: Progress | None = None,
) -> PredictResult:
    """Predict every row of a file into a CSV, JSONL or Parquet file.

    Its columns are ``id``, those that are kept, ``label`` and ``confidence``. What ends early, by a
    kill or a fault, keeps its finished chunks in ``OUT.partial``, and the same call goes on from
    there; the file is then the same to the byte.

    Args:
        run: a run folder, or a run in one.
        data: anything that ``train`` takes, or texts; labels are not looked at.
        out: the file to write; it appears when it is complete. It is never one of the inputs.
        keep: columns of ``data`` to hand on, or ``"all"``; one that is named like a column of the
            answer gets ``given_`` before its name.
        id_column: the column of ids; None takes one named ``id``, in any case, else the rows' own
            numbers from 0.
        probabilities: add one column a label, named by it; they are calibrated on the run's
            validation rows.
        escape_formulas: in a CSV, put an apostrophe before cells that a spreadsheet would run as
            formulas.
        label_format: the label as it stood in the training rows (``value``, which is meant by
            None), its position, or its name.
        submission: write the competition's form instead, ``ID,Label``: the row's number, and the
            position of its class.
        overwrite: replace a file that is there already.
        max_length: longest text to read, in tokens.
        max_error: leave a text without a label where that is needed to keep the share of wrong
            labels under this level, with 95% confidence.
        thresholds: from which probability on a label is answered, by its name or value: where none
            of these is reached, the most probable of the others is. None takes those that
            ``evaluate`` kept, and an empty mapping none.
        text_column: column, or columns to join with a space; of a run on pairs, its two columns.
        missing_text: what a row without a text is, ``refuse`` a fault or ``empty`` an empty text;
            None takes the run's own setting.
        settings: how a text file is read: ``data.encoding``, ``data.delimiter``, ``data.quoting``,
            as assignments or by name; else as in training.
        shard: ``3/8`` predicts the third of eight shares of the rows, under their own numbers.
        engine: what computes; ``auto`` measures those that are installed on a sample of the rows,
            and takes the fastest that agrees with PyTorch in fp32. Any but ``torch`` keeps its
            graph and figures in the run's ``derived/``.
        cascade: let the linear model that ``make_cascade`` made answer the rows it is sure of.
        progress: how to speak to people; None speaks on stderr.

    Raises:
        TightfitError: its subclasses tell what is wrong; no output file is left half-written.
    """
    progress, out = progress or RichProgress(), _named(out)
    asked: dict[str, object] = {"--keep": keep, "--id-column": id_column}
    asked |= {"--probabilities": probabilities, "--label-format": label_format}
    _check_form(submission, asked)
    form = Form(label_format or "value", probabilities, submission, escape_formulas)
    check_out(out, escape_formulas=escape_formulas)
    check_not_input(out, data, run)
    check_new_file(out, overwrite=overwrite)
    if engine != "torch":
        ensure_train(f"the engine {engine}")
    share = WHOLE if shard is None else Shard.parse(shard)
    loaded = _open(run, max_length=max_length, max_error=max_error, thresholds=thresholds)
    _check_answers(loaded, form)
    columns = loaded.columns(text_column, missing_text=missing_text, settings=settings)
    check_source(data, columns, labelled=False, progress=progress)
    source = as_source(data, lambda: columns, pair=columns.pair)
    rows, columns = open_rows(source, columns)
    text, _ = rows.choose(columns.text, None)
    kept = {}
    if not submission:
        own = form.own(loaded.task)
        kept = kept_columns(rows, text, keep=keep, id_column=id_column, taken=own)
    _tell_thresholds(loaded, progress, kept=thresholds is None)
    _ = loaded.predictor  # before a row is read
    first, records = read_records(rows, columns, kept, STREAM_ROWS)
    loaded, records, used = _with_engine(loaded, engine, records, progress)
    if cascade:
        loaded = loaded.with_cascade()
    written = predict_stream(
        loaded.predictor,
        records,
        out,
        replace(form, kept=first),
        total=None if rows.count is None else share.rows(rows.count, STREAM_ROWS),
        shard=share,
        job=_job(loaded, used),
        progress=progress,
    )
    if used in ("torch", "torch-bf16"):
        _tell_device(loaded.config, progress)
    return PredictResult(
        **vars(written),
        out=out,
        threshold=loaded.predictor.threshold,
        thresholds={loaded.labels[label]: value for label, value in loaded.thresholds.items()},
        engine=used,
    )


def _named(out: str | Path | None) -> Path:
    """The file to write, which only a call from Python can lack."""
    if out is None:
        raise UsageError(
            "predict writes a file, and there is none to write",
            next_step="give out='predictions.csv', or call Run.load(run).predict(texts)",
        )
    return Path(out)


def _open(run: str | PathLike[str], **options: Any) -> Run:
    """The sealed run; one that is given as such keeps its options where none are given anew."""
    if isinstance(run, Run):
        own = {"max_length": run.max_length, "max_error": run.max_error}
        given = {name: value for name, value in options.items() if value is not None}
        options = {**own, "thresholds": run.asked_thresholds, **given}
    return Run.open(run, **options)


def _check_form(submission: bool, others: Mapping[str, object]) -> None:
    """The competition's form has no place for anything else."""
    stray = [option for option, value in others.items() if value]
    if submission and stray:
        raise UsageError(
            f"--submission and {stray[0]} exclude each other",
            allowed="ID,Label: the row's number from 0, and the position of its class",
            next_step="leave one of the two out",
        )


def _check_answers(run: Run, form: Form) -> None:
    """What is asked of the answers must be in them."""
    if form.submission:
        need_one_class(run.task, "--submission")
    if form.probabilities:
        need_labels(run.task, "a column of probabilities (--probabilities)")


def _tell_thresholds(run: Run, progress: Progress, *, kept: bool) -> None:
    if run.thresholds and (run.task.one_class or not kept):
        progress.say(threshold_words(run.task, run.thresholds, kept=kept))


def _tell_device(config: Config, progress: Progress) -> None:
    """Of a GPU; torch is not asked where nothing has needed it."""
    if "torch" not in sys.modules:
        return
    from tightfit.data.gpu import best_device

    if best_device().type == "cuda":
        most = config.predict.padded_tokens
        size = f"of at most {most:,} tokens, padding included" if most else "by its free memory"
        progress.say(f"predicted on the GPU, in batches {size} (predict.padded_tokens)")


def _with_engine(
    run: Run, asked: AskedEngine, records: Iterator[Records], progress: Progress
) -> tuple[Run, Iterator[Records], EngineName]:
    """The run, predicting with the engine asked for, or with the fastest on the first rows; warns
    where the encoder cannot read these."""
    first = next(records, None)
    if first is None:
        return run, records, "torch"
    unread = unlike_training(run.artefact, run.folder.data, first.texts)
    if unread is not None:
        progress.warn(unread)
    if asked == "torch":
        return run, chain([first], records), asked
    from tightfit.engines.engine import EngineModel
    from tightfit.exporting.engine_choice import open_engine

    engine, name = open_engine(run, asked, first.texts, progress=progress)
    model = EngineModel(run.model.tokens, run.model.longest, engine)
    run = run.with_parts(predictor=replace(run.predictor, model=model))
    return run, chain([first], records), name


def _job(run: Run, engine: EngineName) -> dict[str, object]:
    """What predictions depend on, besides the texts; the manifest stands for the whole run."""
    libraries = ["torch", "transformers", "tightfit"]
    libraries += [LIBRARY_OF[engine]] if engine in LIBRARY_OF else []
    first = run.predictor
    return {
        "run": run.identity,
        "engine": engine,
        # Asked of the object: its class would bring SciPy along.
        "cascade": first.cascade.identity if hasattr(first, "cascade") else None,
        "max_length": run.predictor.max_length,
        "temperature": run.predictor.temperature,
        "versions": {name: installed_version(name) for name in libraries},
    }
