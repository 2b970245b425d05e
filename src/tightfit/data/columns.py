"""Where the texts and labels of rows stand, and what is made of their cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tightfit.config import Data, MissingLabel, MissingText, TaskKind
from tightfit.data.cell_text import DROP_TEXT, TAKE_EMPTY
from tightfit.data.table import MissingPart
from tightfit.data.text_files import FOUND_OUT, TextForm


@dataclass(frozen=True)
class Columns:
    """Which columns are read, and what is made of their cells."""

    text: tuple[str, ...] = ("text",)
    """Joined with a space."""
    label: str = "label"
    """Or several of one 0 or 1 each, joined by commas."""
    missing_text: MissingText = "refuse"
    missing_label: MissingLabel = "refuse"
    task: TaskKind = "auto"
    """What a label is."""
    separator: str = ""
    """Between several labels in one cell; empty finds it out."""
    form: TextForm = FOUND_OUT
    """How text files are read."""
    group: str = ""
    """Whose rows belong together; none is read where this is empty."""
    pair: bool = False
    """The columns of the text are two, and a row is a pair."""
    answering: bool = False
    """The rows are for a run that is there: none is left out, and whether a text is a pair is
    settled."""

    @property
    def mend_text(self) -> str:
        """The option that mends a command with rows without a text."""
        return TAKE_EMPTY if self.answering else DROP_TEXT

    @classmethod
    def of(
        cls,
        settings: Data,
        text: Sequence[str] | str | None = None,
        label: str | None = None,
        missing_text: MissingText | None = None,
    ) -> Columns:
        """Where texts and labels are: as the settings say, but for what is given beside them."""
        names = (text,) if isinstance(text, str) else text
        return cls(
            tuple(names or settings.text_column),
            label or settings.label_column,
            missing_text or settings.missing_text,
            settings.missing_label,
            settings.task,
            settings.label_separator,
            TextForm.of(settings),
            settings.group_column,
            settings.pair,
        )

    @property
    def gaps(self) -> dict[MissingPart, str]:
        """What a row is that lacks a text, or a label. Where labels are several, whoever reads them
        knows which cells are no answer."""
        several = self.task == "multi" and self.missing_label == "refuse"
        return {"text": self.missing_text, "label": "none" if several else self.missing_label}

    def to_answer(self, task: TaskKind, separator: str) -> Columns:
        """The same for a run's answers: what its labels are is known, and no row is left out."""
        missing: MissingText = "refuse" if self.missing_text == "drop" else self.missing_text
        known = replace(self, task=task, group="", missing_text=missing)
        return replace(known, separator=self.separator or separator, answering=True)
