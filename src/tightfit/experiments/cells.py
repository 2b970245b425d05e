"""The cells of a comparison: their settings, their rows, and the files that keep these."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from tightfit import storage
from tightfit.config import Config, load_config, nearest_setting, setting_names, typed
from tightfit.display import score_name, score_words
from tightfit.errors import ArtefactError, SettingsError, UsageError, did_you_mean
from tightfit.methods import METHODS
from tightfit.metrics.interval import Interval
from tightfit.progress import Progress

RECIPE = "tight"
"""Whose rows, seed and encoder all cells share, and which an ablation starts from."""

SHORT_NAMES = {
    "rank": "adapters.rank",
    "alpha": "adapters.alpha",
    "dropout": "adapters.dropout",
    "targets": "adapters.targets",
    "head": "head.kind",
    "layers": "adapters.layers",
    "lr": "optim.lr",
    "epochs": "optim.epochs",
    "budget": "budget.cap",
}
"""What ``--ablate`` calls the settings that are ablated most."""

SHARED = (
    "seed",
    "model.name",
    "model.candidates",
    "model.prefix",
    "data.validation_rows",
    "data.stratify",
    "data.split",
    "data.group_column",
    "data.labels",
    "data.text_column",
    "data.label_column",
    "data.missing_text",
    "train.folds",
    "train.minutes",
)
"""What is the same in every cell: with another value, rows, encoders or times would differ."""

ERRORS = ("mae", "rmse", "log_loss")
"""Scores that are the better, the lower they are."""

USUAL_SCORES = ("accuracy", "macro_f1")
"""Columns of the table where there is no row yet."""

Amount = Annotated[int, Field(ge=0)]


CELLS, RUNS = "cells", "runs"
"""What a comparison's folder holds: the rows of its cells, and their runs."""

MAJORITY, TFIDF = "majority class", "tf-idf + logistic regression"
EMBEDDINGS = "mean embeddings + logistic regression"
BASELINES = (MAJORITY, TFIDF, EMBEDDINGS)
RATED = {"mean rating": MAJORITY, "tf-idf + ridge": TFIDF, "mean embeddings + ridge": EMBEDDINGS}
"""What stands in their places for ratings."""


@dataclass(frozen=True)
class Cell:
    """One training of a comparison: its name in the table, a recipe, and settings on top."""

    name: str
    recipe: str
    settings: tuple[str, ...]


def _by(method: str) -> tuple[str, ...]:
    """Settings of a method, whatever is set for the cells with LoRA's matrices."""
    idle = METHODS[method].idle.items()
    return (f"adapters.method={method}", *(f"{name}={json.dumps(value)}" for name, value in idle))


PAPER = (
    "adapters.method=lora",
    "train.expect_dead=false",
    "budget.allocation=uniform",
    "budget.spend=all",
)

RECIPES = (
    Cell("head-only", "head-only", _by("none")),
    Cell(RECIPE, RECIPE, _by("lora")),
    Cell("paper", "paper", PAPER),
    *(
        Cell(name, RECIPE, (*_by(method), "head.side=off"))
        for name, method in {"VeRA": "vera", "IA3": "ia3", "bias tuning": "bias"}.items()
    ),
    # What --budget and --set say of the cap is for the others: this one has none.
    Cell("full fine-tuning", "full", (*_by("full"), "budget.cap=none")),
)
"""Each is what its name says, whatever is set for all of them."""


@dataclass(frozen=True)
class Row:
    """What one cell is worth on the validation rows.

    Attributes:
        name: of the cell.
        trainable: parameters, or coefficients.
        scores: those that are told first of this kind of target, with their intervals; the first
            is the one that counts.
        seconds: of training; of the baselines, of fitting and scoring together.
        bytes: of what would be shipped: the artefact's folder, or the baseline as a pickle.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str
    trainable: Amount
    scores: dict[str, Interval]
    seconds: float
    bytes: Amount

    @property
    def accuracy(self) -> Interval:
        """Of one label a text."""
        return self.scores["accuracy"]

    @property
    def merit(self) -> float:
        """The first score, the higher the better: of an error its negative."""
        name, first = next(iter(self.scores.items()))
        return -first.value if name in ERRORS else first.value

    def to_json(self) -> dict[str, Any]:
        """The fields, each score under its own name."""
        scores = {name: each.to_json() for name, each in self.scores.items()}
        return {
            "name": self.name,
            "trainable": self.trainable,
            **scores,
            "seconds": self.seconds,
            "bytes": self.bytes,
        }


_ROW = TypeAdapter(Row)


def ablated(ablations: Sequence[str]) -> tuple[Cell, ...]:
    """The recipe as it is, and one cell for each value of each ablation.

    Args:
        ablations: such as ``rank=1,2,4`` or ``adapters.targets=query,query+value``.

    Raises:
        SettingsError: an ablation is not of this form, or its key is unknown or shared.
    """
    plain = next(cell for cell in RECIPES if cell.name == RECIPE)
    cells = [plain]
    for text in ablations:
        key, equals, values = (part.strip() for part in text.partition("="))
        parts = [value.strip() for value in values.split(",")]
        if not equals or not all(parts):
            raise SettingsError(
                "this is not an ablation",
                seen=text,
                allowed="key=v1,v2",
                next_step="write it like --ablate rank=1,2,4",
            )
        setting = _setting(key)
        cells += [
            Cell(f"{key}={v}", RECIPE, (*plain.settings, f"{setting}={v.replace('+', ',')}"))
            for v in parts
        ]
    return tuple(dict.fromkeys(cells))


def beside(encoders: Sequence[str]) -> tuple[Cell, ...]:
    """The recipe on encoders that were at hand, too, and not chosen."""
    plain = next(cell for cell in RECIPES if cell.name == RECIPE)
    return tuple(
        Cell(
            f"{RECIPE}, {Path(name).name}",
            RECIPE,
            (*plain.settings, f"model.name={json.dumps(name)}", "model.prefix=auto"),
        )
        for name in encoders
    )


@dataclass(frozen=True)
class Wanted:
    """What a comparison may hold, and what was asked of it."""

    cells: tuple[Cell, ...]
    others: tuple[Cell, ...]
    """The recipe on encoders that may not be chosen."""
    baselines: tuple[str, ...]
    names: tuple[str, ...]
    """Of the rows that are asked for, in their order."""

    @classmethod
    def of(
        cls,
        config: Config,
        at_hand: Sequence[str],
        *,
        ablate: Sequence[str],
        only: Sequence[str],
    ) -> Wanted:
        """The rows of a comparison.

        Args:
            config: of the recipe.
            at_hand: encoders of which one is chosen.
            ablate: as ``compare`` takes it.
            only: likewise.

        Raises:
            SettingsError: an ablation is none.
            UsageError: no row has a name that was asked for.
        """
        cells = ablated(ablate) if ablate else RECIPES
        plain = tuple(RATED) if config.data.task == "rating" else BASELINES
        baselines = () if ablate else plain
        others = () if ablate or len(at_hand) == 1 else beside(at_hand)
        known = [*baselines, *(cell.name for cell in (*cells, *others))]
        return cls(cells, others, baselines, tuple(chosen_names(only, known)))


def configs_of(
    cells: Sequence[Cell], given: Mapping[str, object], config: Config
) -> dict[Cell, Config]:
    """The settings of each cell: its own over those that all share.

    Raises:
        SettingsError: a cell has a mistake in them.
    """
    shared = {**given, **shared_settings(config)}
    return {cell: load_config(cell.recipe, {**shared, **typed(cell.settings)}) for cell in cells}


def chosen_names(only: Sequence[str], names: Sequence[str]) -> list[str]:
    """The names of rows that were asked for, in the order of the table; all for none.

    Args:
        only: names, or beginnings that one row alone has, in any letter case.
        names: of all rows.

    Raises:
        UsageError: no row, or more than one, has such a name.
    """
    wanted = {_named(word, names) for word in only}
    return [name for name in names if not only or name in wanted]


def _named(word: str, names: Sequence[str]) -> str:
    known = {name.lower(): name for name in names}
    begun = [name for name in known if name.startswith(word.lower())]
    if word.lower() in known or len(begun) == 1:
        return known.get(word.lower()) or known[begun[0]]
    raise UsageError(
        "this comparison has no such row",
        seen=word,
        allowed=", ".join(names),
        next_step=did_you_mean(word, names, cutoff=0.4),
    )


def shared_settings(config: Config) -> dict[str, object]:
    """Values that give every recipe the rows and the seed of ``config``."""
    # Where rows are few the recipe tight has folds and holds none out, and paper some.
    rows = ("data.validation_rows", "data.stratify", "train.folds")
    names = ("seed", "model.name", "model.prefix", *rows)
    return {name: attrgetter(name)(config) for name in names}


def fingerprint(**parts: object) -> str:
    """SHA-256, in hex, of all that a cell's row depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def cell_name(name: str, key: str) -> str:
    """What the files of a cell with this fingerprint are called."""
    return f"{re.sub('[^a-z0-9.]+', '-', name.lower())}-{key[:16]}"


def write_row(path: Path, row: Row, key: str) -> None:
    """Keep a row, whole or not at all.

    Raises:
        MachineError: the disk is full, the folder may not be written, and the like.
    """
    storage.write_json(path, {"fingerprint": key, "row": asdict(row)})


def read_row(path: Path, name: str, key: str, progress: Progress) -> Row | None:
    """The row that was kept, or None where there is none, or none that can be used.

    Raises:
        MachineError: the file may not be read.
    """
    if not path.exists():
        return None
    try:
        kept = storage.read_json(path)
        row = _ROW.validate_python(kept["row"])
        if (kept["fingerprint"], row.name) == (key, name):
            return row
        fault = "is of another cell"
    except (ArtefactError, ValidationError, KeyError, TypeError):
        fault = "is damaged"
    progress.warn(f"{path} {fault}; {name} is computed again")
    return None


def _setting(key: str) -> str:
    """The dotted name that an ablation means."""
    setting = SHORT_NAMES.get(key, key)
    known = [name for name in (*SHORT_NAMES, *setting_names()) if name not in SHARED]
    if setting in known:
        return setting
    if setting in SHARED:
        raise SettingsError(
            "all cells of a comparison share this setting", seen=key, next_step=f"--set {key}=…"
        )
    raise SettingsError(
        "unknown key to ablate",
        seen=key,
        allowed=f"{', '.join(SHORT_NAMES)}, or the full name of a setting",
        next_step=nearest_setting(key, known),
    )


def markdown(rows: Sequence[Row], left_out: Mapping[str, str], scored: str) -> str:
    """The table, and below it what it lacks.

    Args:
        rows: in the order of the table.
        left_out: names of cells without a row, each with the reason.
        scored: what the scores are of, in words.
    """
    names = list(rows[0].scores) if rows else USUAL_SCORES
    scores = [f"{score_name(name)} (95% interval)" for name in names]
    headings = ["", "trainable", *scores, "seconds", "kB"]
    lines = [_line(headings), _line(["---", *["---:"] * (len(headings) - 1)])]
    lines += [_markdown_row(row) for row in rows]
    lines += ["", f"Each is scored on the same {scored}."]
    if left_out:
        lines += ["", *(f"Left out: {name}: {reason}." for name, reason in left_out.items())]
    return "\n".join(lines) + "\n"


def _markdown_row(row: Row) -> str:
    # A setting's value may hold the character that ends a cell.
    scores = [score_words(name, score) for name, score in row.scores.items()]
    size = f"{row.bytes / 1000:,.1f}"
    name = row.name.replace("|", "\\|")
    return _line([name, f"{row.trainable:,}", *scores, f"{row.seconds:,.1f}", size])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
