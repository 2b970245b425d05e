"""``tightfit predict`` and :class:`Run`: from a sealed run to predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tightfit import storage
from tightfit.batch_predict.shard import WHOLE, Shard
from tightfit.batch_predict.stream import STREAM_ROWS, check_out, predict_stream
from tightfit.budget.parameter_plan import Plan
from tightfit.cascade.make_cascade import cascade_of
from tightfit.cascade.two_stage import CascadePredictor
from tightfit.config import Config, Decisions, MissingText
from tightfit.data.sources import Columns, count_rows, iter_texts
from tightfit.engines.engine import torch_engine
from tightfit.engines.predictor import Predictor, check_max_length
from tightfit.engines.selection import LIBRARY_OF, Asked, EngineName
from tightfit.errors import ArtefactError, UsageError
from tightfit.exporting.engine_choice import open_engine
from tightfit.exporting.formats import Subject
from tightfit.model.artefact import load_artefact
from tightfit.model.encoders import longest_text
from tightfit.model.locate import Source, file_sha256, locate
from tightfit.progress import Progress, RichProgress
from tightfit.tasks import LabelFormat, Predictions, Task, read_task
from tightfit.tasks.calibrate import choose_threshold, read_calibration
from tightfit.tasks.settings_in import settings_in
from tightfit.tasks.validation_logits import read_validation_logits


@dataclass(frozen=True)
class Run:
    """A finished run, loaded and ready to predict."""

    path: Path
    config: Config
    decisions: Decisions
    plan: Plan
    predictor: Predictor

    @classmethod
    def load(
        cls, path: str | Path, *, max_length: int | None = None, max_error: float | None = None
    ) -> Run:
        """Open a sealed run, check every byte of it, and load its classifier.

        Args:
            path: the run folder.
            max_length: longest text to read, in tokens; None takes the run's own.
            max_error: the share of wrong answers not to be exceeded, with 95% confidence; texts
                of which the classifier is not sure enough count as not ``answered``. None
                answers all.

        Raises:
            ArtefactError: the run is incomplete or damaged, or its base model has changed.
            UsageError: its validation rows cannot show so small an error.
            ModelError: its base model cannot be found.
            SettingsError: the encoder has not so many positions.
        """
        folder = storage.open_run(Path(path))
        task = read_task(storage.read_json(folder.labels))
        temperature, threshold = _confidence(folder, task, max_error)
        config, decisions = settings_in(folder)
        plan = Plan.from_json(storage.read_json(folder.plan))
        full = plan.record.whole
        source = (
            Source(config.model.name, folder.model, config.model.name) if full else _base(folder)
        )
        artefact = folder.model if full else folder.adapter
        length = max_length or decisions.predict_max_length.value
        classifier = load_artefact(artefact, source, plan, task)
        check_max_length(length, longest_text(source, classifier.tokenizer))
        engine = torch_engine(classifier.module)
        predictor = Predictor(
            classifier, length, temperature, threshold, decisions.long_text.value, engine=engine
        )
        return cls(Path(path), config, decisions, plan, predictor)

    @property
    def task(self) -> Task:
        """What an answer is."""
        return self.predictor.task

    def predict(self, texts: Sequence[str], progress: Progress | None = None) -> Predictions:
        """Labels and probabilities of the texts, in their order."""
        return self.predictor.predict(texts, progress)

    def with_cascade(self) -> Run:
        """The same run, its cascade's linear model answering the rows that it is sure of.

        Raises:
            UsageError: no cascade was made for it, or it was loaded with a ``max_error``.
            ArtefactError: the cascade is damaged.
        """
        if self.predictor.threshold:
            raise UsageError(
                "a cascade and a level of error (max_error) exclude each other",
                next_step="leave one of the two out",
            )
        cascade = cascade_of(storage.RunFolder(self.path))
        return replace(self, predictor=CascadePredictor.over(self.predictor, cascade))

    def columns(
        self,
        text_column: Sequence[str] | str | None = None,
        label_column: str | None = None,
        missing_text: MissingText | None = None,
    ) -> Columns:
        """Where texts and labels are in new data: as in training, unless told otherwise."""
        data = self.config.data
        names = text_column.split(",") if isinstance(text_column, str) else text_column
        return Columns(
            tuple(names or data.text_column),
            label_column or data.label_column,
            missing_text or data.missing_text,
        )


@dataclass(frozen=True)
class PredictResult:
    """What was written."""

    out: Path
    rows: int
    truncated: int
    """Texts longer than the classifier reads."""
    abstained: int = 0
    """Texts left without a label, to keep the error under the level that was asked for."""
    threshold: float = 0.0
    """The least confidence of an answer."""
    engine: EngineName = "torch"
    """What computed."""
    by_linear: int = 0
    """Texts that the linear model of a cascade answered."""
    seconds: float = 0.0
    """From the first row that is read to the last that is written."""

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit predict --json`` prints."""
        return {**asdict(self), "out": str(self.out)}


def predict(
    run: str | Path,
    data: Any,
    out: str | Path,
    *,
    probabilities: bool = False,
    escape_formulas: bool = False,
    label_format: LabelFormat = "id",
    max_length: int | None = None,
    max_error: float | None = None,
    text_column: Sequence[str] | str | None = None,
    missing_text: MissingText | None = None,
    shard: str | None = None,
    engine: Asked = "torch",
    cascade: bool = False,
    progress: Progress | None = None,
) -> PredictResult:
    """Predict every row of a file into a CSV, JSONL or Parquet file.

    What ends early, by a kill or a fault, keeps its finished chunks in ``OUT.partial``, and the
    same call goes on from there; the file is then the same to the byte.

    Args:
        run: a run folder.
        data: anything that ``train`` takes; labels are not looked at.
        out: the file to write; it appears when it is complete.
        probabilities: add one column a label; they are calibrated on the run's validation rows.
        escape_formulas: in a CSV, put an apostrophe before label names that a spreadsheet would
            run as formulas.
        label_format: the label's position, or its name.
        max_length: longest text to read, in tokens.
        max_error: leave a text without a label where that is needed to keep the share of wrong
            labels under this level, with 95% confidence.
        text_column: column, or columns to join with a space.
        missing_text: what a row without a text is, ``refuse`` a fault or ``empty`` an empty text;
            None takes the run's own setting.
        shard: ``3/8`` predicts the third of eight shares of the rows, under their own IDs.
        engine: what computes; ``auto`` measures those that are installed on a sample of the rows,
            and takes the fastest that agrees with PyTorch in fp32. Any but ``torch`` keeps its
            graph and figures in the run's ``derived/``.
        cascade: let the linear model that ``make_cascade`` made answer the rows it is sure of.
        progress: how to speak to people; None speaks on stderr.

    Raises:
        TightfitError: its subclasses tell what is wrong; no output file is left half-written.
    """
    progress = progress or RichProgress()
    check_out(Path(out), escape_formulas=escape_formulas)
    share = WHOLE if shard is None else Shard.parse(shard)
    loaded = Run.load(run, max_length=max_length, max_error=max_error)
    columns = loaded.columns(text_column, missing_text=missing_text)
    used: EngineName = "torch"
    first: list[str] = []
    if engine != "torch":
        first = next(iter(iter_texts(data, columns, STREAM_ROWS)), [])
    if first:
        loaded, used = _with_engine(loaded, engine, first, progress)
    if cascade:
        loaded = loaded.with_cascade()
    written = predict_stream(
        loaded.predictor,
        iter_texts(data, columns, STREAM_ROWS),
        Path(out),
        label_format=label_format,
        probabilities=probabilities,
        escape_formulas=escape_formulas,
        total=count_rows(data),
        shard=share,
        job=_job(loaded, used),
        progress=progress,
    )
    threshold = loaded.predictor.threshold
    return PredictResult(Path(out), threshold=threshold, engine=used, **asdict(written))


def subject_of(run: Run) -> Subject:
    """What the exporting functions need of a loaded run."""
    folder = storage.RunFolder(run.path)
    if run.plan.record.whole:
        name = run.config.model.name
        source, artefact = Source(name, folder.model, name), folder.model
    else:
        source = locate(storage.read_manifest(folder).base["name"])
        artefact = folder.adapter
    return Subject(run.predictor, source, artefact)


def _with_engine(
    run: Run, asked: Asked, texts: Sequence[str], progress: Progress
) -> tuple[Run, EngineName]:
    """The run, predicting with the engine asked for, or with the fastest."""
    folder = storage.RunFolder(run.path)
    engine, name = open_engine(subject_of(run), folder, asked, texts, progress=progress)
    return replace(run, predictor=replace(run.predictor, engine=engine)), name


def _job(run: Run, engine: EngineName) -> dict[str, object]:
    """What predictions depend on, besides the texts; the manifest stands for the whole run."""
    libraries = ["torch", "transformers", "tightfit"]
    libraries += [LIBRARY_OF[engine]] if engine in LIBRARY_OF else []
    first = run.predictor
    return {
        "run": file_sha256(storage.RunFolder(run.path).manifest),
        "engine": engine,
        "cascade": first.cascade.identity if isinstance(first, CascadePredictor) else None,
        "max_length": run.predictor.max_length,
        "temperature": run.predictor.temperature,
        "versions": {name: version(name) for name in libraries},
    }


def _confidence(
    folder: storage.RunFolder, task: Task, max_error: float | None
) -> tuple[float, float]:
    """The temperature of a run, and the least confidence of an answer."""
    calibration = read_calibration(folder, task)
    temperature = 1.0 if calibration is None else calibration.temperature
    if max_error is None:
        return temperature, 0.0
    validation_logits = read_validation_logits(folder.validation, task)
    return temperature, choose_threshold(validation_logits, temperature, max_error).value


def _base(folder: storage.RunFolder) -> Source:
    """The base model that the run was trained on, the very same weights."""
    recorded = storage.read_manifest(folder).base
    # A folder may have been named from where training was started, and this be elsewhere.
    here = Path(recorded["name"]).is_dir()
    source = locate(recorded["name" if here else "public_name"])
    if source.digest() != recorded["sha256"]:
        raise ArtefactError(
            "the base model has changed since the run was made",
            seen=f"{source.folder}: other weights",
            allowed=f"weights with digest {recorded['sha256'][:16]}…",
            next_step=f"put back the {recorded['public_name']} that the run was trained on",
        )
    return source
