"""What a classifier said of its validation rows: kept in the run, in a file that pandas reads.

Confidence is calibrated on it and the report is drawn from it, long after the rows are gone.
Shapes: N rows, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tightfit import storage
from tightfit.arrow import pa, pq
from tightfit.data.text_pair import TextPair, mapped
from tightfit.errors import ArtefactError
from tightfit.extras import ensure_train
from tightfit.tasks import Predictions, Task
from tightfit.tasks.labelled_rows import numbered
from tightfit.tasks.labelled_texts import LabelledTexts

if TYPE_CHECKING:
    from tightfit.metrics.calibration import Scale

KEPT_VALUES = 1_000_000
"""Logits that are kept, 4 MB: of more rows than that, a sample decides as well."""
KEPT_TEXTS = 40
"""Texts that are kept: those of the most confident mistakes."""
KEPT_IN_ALL = 20_000_000
"""Characters of all validation texts together that are kept whole; compressed, some 8 MB."""
KEPT_CHARACTERS = 1_000
"""Of each kept text."""


@dataclass(frozen=True)
class ValidationLogits:
    """Logits and targets, with the text where a mistake was among the most confident."""

    task: Task
    logits_NK: NDArray[np.float32]
    targets_N: NDArray[Any]
    """Class ids, or of several labels 0 and 1, (N, K)."""
    rows_N: NDArray[np.int64]
    """Position of each among the validation rows."""
    texts: tuple[str | None, ...]
    inputs: tuple[str | None, ...] = ()
    """The whole text of each row, for whoever goes on from the run; None where they are too long
    together, and in older runs."""
    weights_N: NDArray[np.float64] | None = None
    """How much each row counts; None is as much as every other."""

    @classmethod
    def gather(
        cls,
        task: Task,
        logits_NK: NDArray[np.float32],
        targets_N: NDArray[Any],
        texts: Sequence[str],
        *,
        weights_N: NDArray[np.float64] | None = None,
    ) -> ValidationLogits:
        """Keep what has a bounded size: all rows, or a fixed sample of very many."""
        rows_N = np.arange(len(targets_N))
        most = max(1, KEPT_VALUES // logits_NK.shape[1])
        if len(rows_N) > most:
            rows_N = np.sort(np.random.default_rng(0).choice(rows_N, most, replace=False))
        weights_N = None if weights_N is None else weights_N[rows_N]
        bare = cls(task, logits_NK[rows_N], targets_N[rows_N], rows_N, (), weights_N=weights_N)
        temperature = task.fit_temperature(bare.logits_NK, bare.targets_N, weights_N).value
        shown = set(bare.mistakes(temperature)[:KEPT_TEXTS])
        kept = tuple(
            mapped(texts[row], _cut) if i in shown else None
            for i, row in enumerate(rows_N.tolist())
        )
        return replace(bare, texts=kept, inputs=_whole([texts[row] for row in rows_N.tolist()]))

    @property
    def whole_rows(self) -> LabelledTexts:
        """The rows whose texts are kept whole."""
        whole = {row: text for row, text in enumerate(self.inputs) if text is not None}
        texts = list(whole.values())
        return LabelledTexts(self.targets_N[list(whole)], texts, alike_N=numbered(texts))

    def text(self, place: int) -> str | None:
        """The text of a row, at most its first characters; None where it was not kept."""
        whole = self.inputs[place] if self.inputs else None
        return self.texts[place] if whole is None else mapped(whole, _cut)

    def mistakes(
        self, temperature: Scale, thresholds: Mapping[int, float] | None = None
    ) -> list[int]:
        """Positions of the rows that were answered wrongly, the most confident first; of ratings
        all of them, the furthest off first."""
        if not self.task.calibrates:
            scores_N = self.task.row_scores(self.logits_NK, self.targets_N)
            return np.argsort(scores_N, kind="stable").tolist()
        confidence_N, right_N = self.confidences(temperature, thresholds)
        wrong = np.flatnonzero(~right_N)
        return wrong[np.argsort(-confidence_N[wrong], kind="stable")].tolist()

    def confidences(
        self, temperature: Scale, thresholds: Mapping[int, float] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The confidence in each row's answer, and whether the answer is right."""
        said = self.predictions(temperature, thresholds)
        return said.confidence, said.right(self.targets_N)

    def calibration_error(self, temperature: Scale) -> float:
        """How far confidence is from the truth on these rows, 0 to 1."""
        probabilities_NK = self.task.probabilities(self.logits_NK, temperature)
        return self.task.calibration_error(self.targets_N, probabilities_NK, self.weights_N)

    def predictions(
        self, temperature: Scale, thresholds: Mapping[int, float] | None = None
    ) -> Predictions:
        """What the classifier answers to these rows."""
        probabilities_NK = self.task.probabilities(self.logits_NK, temperature)
        return self.task.predictions(probabilities_NK, thresholds=thresholds or {})

    def __len__(self) -> int:
        return len(self.targets_N)

    def write(self, path: Path) -> None:
        """Write one Parquet file with the columns row, label, logits, text, input; of pairs
        text_pair and input_pair, too, and weight of rows that have weights.

        Raises:
            MachineError: it cannot be written.
        """
        columns = {
            "row": pa.array(self.rows_N),
            "label": _column(self.targets_N),
            "logits": _column(self.logits_NK),
            "text": pa.array(self.texts, pa.string()),
            "input": pa.array(self.inputs or [None] * len(self), pa.string()),
        }
        if self.weights_N is not None:
            columns["weight"] = pa.array(self.weights_N)
        for name, texts in (("text", self.texts), ("input", self.inputs)):
            if any(isinstance(each, TextPair) for each in texts):
                sides = zip(*map(_sides, texts), strict=True)
                both = (pa.array(side, pa.string()) for side in sides)
                columns |= dict(zip((name, f"{name}_pair"), both, strict=True))
        buffer = BytesIO()
        pq.write_table(pa.table(columns), buffer, compression="zstd")
        storage.write_bytes(path, buffer.getvalue())


def read_validation_logits(path: Path, task: Task) -> ValidationLogits | None:
    """What :meth:`ValidationLogits.write` wrote, or None where a run has no such file.

    Raises:
        ArtefactError: it is damaged.
    """
    if not path.is_file():
        return None
    ensure_train("what is made of validation rows, such as a level of error (max_error),")
    try:
        table = pq.read_table(path)
        logits_NK, targets_N = _array(table["logits"]), _array(table["label"])
        rows_N = table["row"].to_numpy()
    except (pa.ArrowException, OSError, AttributeError, KeyError) as error:
        raise ArtefactError(
            "the record of the validation rows cannot be read",
            seen=f"{path}: {error}",
            next_step="restore it from a copy, or train again",
        ) from error
    texts = _texts(table, "text")
    whole = "input" in table.column_names
    inputs = _texts(table, "input") if whole else (None,) * len(texts)
    weights_N = table["weight"].to_numpy() if "weight" in table.column_names else None
    return ValidationLogits(task, logits_NK, targets_N, rows_N, texts, inputs, weights_N)


def _column(values: NDArray[Any]) -> pa.Array:
    """A column of numbers, or of as many numbers in each row."""
    flat = pa.array(values.reshape(-1))
    return flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _array(column: pa.ChunkedArray) -> NDArray[Any]:
    """What :func:`_column` made a column of."""
    if not pa.types.is_fixed_size_list(column.type):
        return np.asarray(column.to_numpy())
    flat = column.combine_chunks().flatten().to_numpy()
    return np.asarray(flat.reshape(-1, column.type.list_size))


def _whole(texts: Sequence[str]) -> tuple[str | None, ...]:
    """The texts from the first on, as many as the limit allows."""
    left, kept = KEPT_IN_ALL, []
    for text in texts:
        left -= len(text)
        kept.append(mapped(text, _storable) if left >= 0 else None)
    return tuple(kept)


def _texts(table: pa.Table, name: str) -> tuple[str | None, ...]:
    """A column of texts, or of pairs where their second texts have one as well."""
    texts = table[name].to_pylist()
    if f"{name}_pair" not in table.column_names:
        return tuple(texts)
    both = zip(texts, table[f"{name}_pair"].to_pylist(), strict=True)
    return tuple(None if first is None else TextPair(first, second) for first, second in both)


def _sides(text: str | None) -> tuple[str | None, str | None]:
    """Both texts of a pair."""
    return (text.first, text.second) if isinstance(text, TextPair) else (None, None)


def _storable(text: str) -> str:
    # A lone surrogate, as a data frame may hold, has no place in a file.
    return text.encode("utf-8", "replace").decode()


def _cut(text: str) -> str:
    whole = _storable(text)
    return whole if len(whole) <= KEPT_CHARACTERS else whole[: KEPT_CHARACTERS - 1] + "…"
