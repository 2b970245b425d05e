"""``Run``: the one reader of a run, sealed in a folder or held in memory.

Each part is read when it is first asked for, once: its scores wait for no torch and no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import cached_property, partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from tightfit import storage
from tightfit.budget.parameter_plan import Plan
from tightfit.config import Config, Decisions, MissingText, Settings, read_settings, with_reading
from tightfit.digests import file_sha256
from tightfit.display import Shown
from tightfit.extras import ensure_train
from tightfit.progress import Progress
from tightfit.random_states import keep_random_states
from tightfit.storage.files import parsed
from tightfit.tasks import Predictions, Task, need_one_class, read_task

if TYPE_CHECKING:
    from tightfit.cascade.two_stage import Cascade
    from tightfit.data.columns import Columns
    from tightfit.data.facts import DataFacts
    from tightfit.encoder import LogitsOfTexts
    from tightfit.engines.leave_one_out import Word
    from tightfit.engines.predictor import AnswerOptions, Predictor
    from tightfit.metrics.calibration import Scale
    from tightfit.metrics.conformal import Reach
    from tightfit.model.classifier import Classifier
    from tightfit.model.locate import Source
    from tightfit.model.side_head import SideHead
    from tightfit.tasks.calibrate import Calibration
    from tightfit.tasks.chosen_threshold import ChosenThreshold
    from tightfit.tasks.validation_logits import ValidationLogits
    from tightfit.training.summary import Evaluated, Metrics


class Run(Shown):
    """A finished run: what it was made from, what it is worth, and its predictions.

    A part whose file is missing or damaged raises an ArtefactError when it is asked for.
    """

    def __init__(
        self,
        path: str | PathLike[str] | None,
        *,
        max_length: int | None = None,
        max_error: float | None = None,
        thresholds: Mapping[Any, float] | None = None,
        **parts: Any,
    ) -> None:
        """A run as it lies in a folder, nothing of it read or checked.

        Args:
            path: the folder; None where every part that will be asked for is among ``parts``.
            max_length: longest text to read, in tokens; None takes the run's own.
            max_error: the share of wrong answers not to be exceeded, with 95% confidence; texts of
                which the classifier is not sure enough count as not ``answered``. None answers all.
            thresholds: from which probability on a label is answered, by its name or value; none of
                a label leaves it the most probable. None takes those that ``evaluate`` kept.
            parts: what is known already, under the names of the properties.
        """
        self._path = None if path is None else Path(path)
        self.max_length, self.max_error, self.asked_thresholds = max_length, max_error, thresholds
        vars(self).update(parts)

    @classmethod
    def open(cls, path: str | PathLike[str], **options: Unpack[AnswerOptions]) -> Run:
        """A sealed run, every byte of it checked; nothing is loaded yet.

        Raises:
            ArtefactError: not a run, not finished, or a file is missing, changed or added.
            MachineError: a file may not be read.
        """
        storage.open_run(Path(path))
        return cls(path, **options)

    @classmethod
    def load(cls, path: str | PathLike[str], **options: Unpack[AnswerOptions]) -> Run:
        """As :meth:`open`, with the classifier loaded at once.

        Raises:
            ArtefactError: the run is incomplete or damaged, or its base model has changed.
            UsageError: its rows cannot show so small an error, or a threshold is of no label.
            ModelError: its base model cannot be found.
            SettingsError: the encoder has not so many positions.
        """
        run = cls.open(path, **options)
        _ = run.predictor
        return run

    def with_parts(self, **parts: Any) -> Run:
        """The same run with other parts; what was read before is kept."""
        vars(other := copy(self)).update(parts)
        return other

    @property
    def path(self) -> Path:
        """The run folder, which a run in memory has not."""
        assert self._path is not None, "a run in memory has the parts that it was given, no others"
        return self._path

    def __fspath__(self) -> str:
        """Its folder: a run may be given wherever the path of one is taken."""
        return str(self.path)

    @property
    def folder(self) -> storage.RunFolder:
        """Where its files are."""
        return storage.RunFolder(self.path)

    @cached_property
    def manifest(self) -> storage.Manifest:
        """Versions of the libraries, identity of the base model, and digests of all files."""
        return storage.read_manifest(self.folder)

    @cached_property
    def identity(self) -> str:
        """A digest that stands for all of the run."""
        return file_sha256(self.folder.manifest)

    @cached_property
    def _settings(self) -> tuple[Config, Decisions]:
        """Of either format of run folders."""
        path = self.folder.decisions
        decisions = storage.read_json(path) if path.is_file() else None
        return read_settings(storage.read_bytes(self.folder.config).decode(), decisions)

    @cached_property
    def config(self) -> Config:
        """Every setting."""
        return self._settings[0]

    @cached_property
    def decisions(self) -> Decisions:
        """What was decided automatically, with the reasons."""
        return self._settings[1]

    @cached_property
    def plan(self) -> Plan:
        """Layers, ranks and the head, with their prices."""
        return Plan.from_json(storage.read_json(self.folder.plan))

    @cached_property
    def task(self) -> Task:
        """What an answer is."""
        return read_task(storage.read_json(self.folder.labels))

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their ids."""
        return self.task.names

    @cached_property
    def data(self) -> DataFacts:
        """Which rows were used."""
        from tightfit.data.facts import DataFacts

        return parsed(DataFacts, storage.read_json(self.folder.data), self.folder.data)

    @cached_property
    def base(self) -> Source:
        """The base model, found here: the very weights that the run was trained on.

        Raises:
            ModelError: it cannot be found.
            ArtefactError: it has changed since.
        """
        from tightfit.model.locate import Source, find_recorded

        if self.plan.record.whole:
            name = self.manifest.base["name"]
            return Source(name, self.folder.model, name)
        return find_recorded(self.manifest.base)

    @property
    def artefact(self) -> Path:
        """The folder of what trained: adapters and head, or the whole model."""
        return self.folder.model if self.plan.record.whole else self.folder.adapter

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """A row for each evaluation while training."""
        return storage.read_json_lines(self.folder.history)

    @cached_property
    def metrics(self) -> Metrics:
        """What training took, and the scores on the validation rows; an imported run has none."""
        from tightfit.training.summary import read_metrics

        return read_metrics(self.folder.metrics, self.task, lambda: self.history)

    @cached_property
    def proofs(self) -> dict[str, dict[str, Any]]:
        """Each proof with its numbers."""
        return storage.read_json(self.folder.proofs)

    @cached_property
    def validation(self) -> ValidationLogits | None:
        """What the classifier said of its validation rows; None where that was not kept."""
        from tightfit.tasks.validation_logits import read_validation_logits

        return read_validation_logits(self.folder.validation, self.task)

    @cached_property
    def calibration(self) -> Calibration | None:
        """The temperature; fitted anew where it is not on record, None where it cannot be."""
        from tightfit.tasks.calibrate import calibration_of

        mixed = self.plan.side is not None
        return calibration_of(self.folder, self.task, lambda: self.validation, mixed=mixed)

    @cached_property
    def evaluations(self) -> list[Evaluated]:
        """What ``evaluate`` found on other rows since the run was sealed."""
        from tightfit.training.summary import read_evaluations

        return read_evaluations(self.folder, self.task)

    @cached_property
    def cascade(self) -> Cascade:
        """The linear model beside it, and from where on it may answer in its place.

        Raises:
            UsageError: none was made. ArtefactError: it is damaged, or belongs to another run.
        """
        from tightfit.cascade.two_stage import CASCADE, cascade_of_run

        need_one_class(self.task, "a cascade")
        return cascade_of_run(self.folder.derived / CASCADE, self.path, self.identity)

    @cached_property
    def cascade_facts(self) -> dict[str, Any] | None:
        """Figures of its cascade, where one was made."""
        from tightfit.cascade.two_stage import CASCADE, read_cascade_facts

        return read_cascade_facts(self.folder.derived / CASCADE)

    @cached_property
    def temperature(self) -> Scale:
        """What logits are divided by, so that probabilities can be believed."""
        return 1.0 if self.calibration is None else self.calibration.temperature

    @cached_property
    def intervals(self) -> Reach | None:
        """Of ratings: how far intervals reach, and what they cover; from the validation rows."""
        from tightfit.tasks.calibrate import intervals_of

        return intervals_of(self.folder, self.task, lambda: self.validation)

    @cached_property
    def threshold(self) -> float:
        """The least confidence of an answer, so that no more than ``max_error`` are wrong."""
        from tightfit.tasks.calibrate import choose_threshold

        if self.max_error is None:
            return 0.0
        need_one_class(self.task, "a level of error (max_error)")
        levels = self.temperature, self.max_error, self.thresholds
        return choose_threshold(self.validation, *levels).value

    @cached_property
    def thresholds(self) -> dict[int, float]:
        """From which probability on a label is answered, by its id; of most labels nothing."""
        from tightfit.tasks.label_thresholds import thresholds_by_id

        kept = {each.label: each.threshold for each in self.chosen_thresholds}
        if not self.asked_thresholds:  # none were asked for, or that there be none
            return thresholds_by_id(self.task, kept if self.asked_thresholds is None else {})
        asked = thresholds_by_id(self.task, self.asked_thresholds)
        return asked if self.task.one_class else {**thresholds_by_id(self.task, kept), **asked}

    @cached_property
    def chosen_thresholds(self) -> tuple[ChosenThreshold, ...]:
        """What ``evaluate`` chose since the run was sealed, with the figures."""
        from tightfit.tasks.label_thresholds import read_chosen

        return () if self._path is None else read_chosen(self.folder)

    @cached_property
    @keep_random_states()
    def classifier(self) -> Classifier:
        """The model as ``transformers`` and ``peft`` make it, for exports and proofs."""
        from tightfit.model.artefact import load_artefact

        return load_artefact(self.artefact, self.base, self.plan, self.task)

    @cached_property
    def model(self) -> LogitsOfTexts:
        """What reads texts and computes logits: from files alone where the inside is known."""
        from tightfit.encoder import UnknownInside, open_classifier

        most = self.config.predict.padded_tokens
        try:
            return open_classifier(self.artefact, self.base.folder, padded_tokens=most)
        except UnknownInside:
            ensure_train("an encoder whose inside only transformers knows")
            from tightfit.engines.engine import through_transformers
            from tightfit.model.encoders import longest_text

            longest = longest_text(self.base, self.classifier.tokenizer)
            return through_transformers(self.classifier, longest, most)

    @cached_property
    def side(self) -> SideHead | None:
        """What reads the texts beside it, where there is such a head."""
        from tightfit.model.side_head import read_side

        length = self.decisions.max_length.value
        tokens = partial(self.model.tokens, max_length=length)
        return read_side(self.artefact, self.plan, self.base, tokens)

    @cached_property
    def predictor(self) -> Predictor:
        """What answers texts, as :meth:`load` makes it."""
        from tightfit.engines.predictor import Predictor, check_max_length

        decided, sure = self.decisions, (self.temperature, self.threshold)
        length = self.max_length or decided.predict_max_length.value
        told = check_max_length(length, self.model.longest), *sure, decided.long_text.value
        reach = self.intervals.value if self.intervals else None
        return Predictor(self.model, self.task, *told, self.thresholds, reach, self.side)

    def predict(self, texts: Any, progress: Progress | None = None) -> Predictions:
        """Labels and probabilities of the texts, in their order.

        Args:
            texts: one string is one text; or a list, generator, array, Series or Arrow column of
                strings; or a frame, Arrow table or data set with the run's own text columns. Of a
                run on pairs, one tuple is one pair, and a list holds tuples.
            progress: how to show progress; None is silent.

        Raises:
            DataError: a text is missing or no string, or the column of the text is.
        """
        return self.predictor.predict(self._texts(texts), progress or Progress())

    def _texts(self, given: Any) -> list[str]:
        from tightfit.data.given_texts import texts_of

        return texts_of(given, self.columns, pair=self.config.data.pair)

    def explain(
        self, texts: Any, most_words: int | None = None
    ) -> tuple[Predictions, list[tuple[Word, ...]]]:
        """The answers to texts, and what each hangs on: its words are left out in turn.

        Of a text with more words than ``most_words`` (None is 200), neighbours go together.
        """
        from tightfit.engines.leave_one_out import MOST_WORDS, explain

        return explain(self.predictor, self._texts(texts), most_words or MOST_WORDS)

    def with_cascade(self) -> Run:
        """The same run, its cascade's linear model answering the rows that it is sure of.

        Raises:
            UsageError: no cascade was made for it, or it has a ``max_error`` or thresholds.
            ArtefactError: the cascade is damaged.
        """
        ensure_train("a cascade")
        from tightfit.cascade.two_stage import CascadePredictor

        return self.with_parts(predictor=CascadePredictor.over(self.predictor, self.cascade))

    def columns(
        self,
        text_column: Sequence[str] | str | None = None,
        label_column: str | None = None,
        missing_text: MissingText | None = None,
        settings: Settings = (),
    ) -> Columns:
        """Where and how new data is read: as in training, unless told otherwise."""
        from tightfit.data.columns import Columns

        data = with_reading(self.config, settings).data
        given = Columns.of(data, text_column, label_column, missing_text)
        return given.to_answer(self.task.kind, self.task.separator)

    def shown(self) -> dict[str, object]:
        """Where it is, what it tells apart, and how well."""
        more = f", … {len(self.labels)} in all" if len(self.labels) > 5 else ""
        told: dict[str, object] = {"path": self._path, "labels": ", ".join(self.labels[:5]) + more}
        if "metrics" in vars(self) or (self._path and self.folder.metrics.is_file()):
            told |= self.metrics.shown(self.task.metric)
        return told | {"parameters": f"{self.plan.total:,}"}
