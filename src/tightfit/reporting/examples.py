"""The rows behind the run: classes, lengths, what to beware of, and the worst mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tightfit.data.facts import SplitFacts, TokenFacts
from tightfit.data.text_pair import JOINT, TextPair
from tightfit.display import percent
from tightfit.engines.leave_one_out import PAGE_TEXTS, PAGE_WORDS, Word
from tightfit.errors import MissingExtraError, ModelError
from tightfit.reporting.drawing import Chart, histogram, nice_range, x_axis, y_axis
from tightfit.run import Run

BETWEEN = " ⟷ "
"""Between the texts of a pair."""

LISTED = 20
"""Labels, and mistakes, that are shown of very many."""
FEW_ROWS = 200
"""From fewer validation rows the interval of an accuracy of 90% is over 8 points wide."""
TELLING = 0.15
"""Share of the strongest word's effect from which on a word is coloured."""
MANY_CUT = 0.05
"""Share of cut texts that deserves a word."""


UNREAD = {"head": "their ends were never read", "head+tail": "their middles were never read"}
"""What is lost of a long text; windows lose nothing."""


@dataclass(frozen=True)
class Balance:
    """Training rows of one label."""

    name: str
    rows: int
    share: float
    """Of the largest label's rows."""


@dataclass(frozen=True)
class Part:
    """A piece of a text, and whether it speaks for the answer given, ``for``, or ``against``."""

    text: str
    tone: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that the classifier was sure of."""

    text: str
    true: str
    predicted: str
    confidence: float | None
    """None of ratings, which have none."""
    row: int
    """Position among the validation rows, from 0."""
    parts: tuple[Part, ...]
    """The text in pieces, those coloured that the answer hangs on; one piece where nobody asked."""


@dataclass(frozen=True)
class Rows:
    """What the page tells about the rows."""

    words: str
    warnings: tuple[str, ...]
    balance: tuple[Balance, ...]
    labels_left_out: int
    lengths: Chart | None
    mistakes: tuple[Mistake, ...]
    wrong: int
    """Rows with a wrong answer, of those on record."""
    explained: int
    """How many of the mistakes show the words that they hang on."""
    not_explained: str | None
    """Why none do, though that was asked for."""


def rows(run: Run, *, explain: bool) -> Rows:
    """The rows of a run; ``explain`` has its worst mistakes read again, a word left out each time.

    Where the base model is not at hand the page says so.
    """
    wrong = _wrong(run)
    mistakes, reason = _mistakes(run, wrong), None
    explained = 0
    if explain and mistakes and run.task.one_class:
        try:
            read = _explained(run, mistakes[:PAGE_TEXTS])
            mistakes = (*read, *mistakes[PAGE_TEXTS:])
            explained = sum(len(each.parts) > 1 for each in read)
            # Of a cross-validation the rows were answered by trainings that did not see them.
            reason = None if explained else "the finished model answers these texts otherwise"
        except (ModelError, MissingExtraError) as error:
            reason = error.what
    counts = run.data.train_counts
    ordered = sorted(counts.items(), key=lambda item: -item[1]) if len(counts) > LISTED else None
    shown = ordered[:LISTED] if ordered else list(counts.items())
    largest = max([*counts.values(), 1])
    return Rows(
        words=_words(run),
        warnings=tuple(warnings(run)),
        balance=tuple(Balance(name, count, count / largest) for name, count in shown),
        labels_left_out=len(counts) - len(shown),
        lengths=_lengths(run.data.tokens, windows=run.decisions.long_text.value == "windows"),
        mistakes=mistakes,
        wrong=len(wrong),
        explained=explained,
        not_explained=reason,
    )


def warnings(run: Run) -> list[str]:
    """What to beware of in these rows, one sentence each."""
    data = run.data
    # Those of the data checks, then what only the finished run can tell.
    found = [_sentence(each) for each in (*data.warnings, data.note) if each]
    if data.sentences:
        return found
    labels = run.metrics.validation.each_label()
    if data.validation_rows < FEW_ROWS:
        found.append(
            f"Only {data.validation_rows:,} validation rows: the interval at the top is wide"
            + (", and so are those of the labels." if labels else ".")
        )
    untested = [each.name for each in labels if not each.support]
    if untested:
        found.append(f"No validation row is labelled {', '.join(untested[:LISTED])}.")
    tokens = data.tokens
    cut = tokens.truncated / max(data.train_rows, 1) if tokens else 0.0
    if tokens and cut >= MANY_CUT and run.decisions.long_text.value in UNREAD:
        found.append(
            f"{percent(cut)} of the training texts are longer than "
            f"{tokens.max_length} tokens; {UNREAD[run.decisions.long_text.value]}."
        )
    return found


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")


def _words(run: Run) -> str:
    data = run.data
    if data.sentences:
        pool = f", and {data.unlabelled:,} texts without a label" * bool(data.unlabelled)
        unknown = (
            ""
            if run.evaluations
            else " How good the answers are is unknown until rows with labels "
            "are given to evaluate."
        )
        return (
            f"No row with a label: {len(data.sentences):,} sentences, one a label{pool}.{unknown}"
        )
    held = f"from {data.validation_source}"
    if data.held_out:
        held = f"held out of it {_how(data.split)}".rstrip()
    if data.folds is not None:
        held = f"the same ones: each by trainings without it, in {data.folds} parts"
    limit = f" (a sample, --limit {data.limit:,})" if data.limit else ""
    return (
        f"{data.train_rows:,} rows of {data.source} to train on{limit}, and "
        f"{data.validation_rows:,} to validate on, {held}.{_kept(run)}"
    )


def _kept(run: Run) -> str:
    """What became of what the run knew that was gone on from."""
    found = run.metrics.train.continued
    if found is None:
        return ""
    words = f" The training goes on from {found.run}"
    if found.words is None:
        return f"{words}; no row shows what became of what that knew."
    whose = "of its" if found.kept_apart else "new"
    return (
        f"{words}. Of {found.rows:,} {whose} validation rows that neither trained on are right: "
        f"{found.words}."
    )


def _how(split: SplitFacts | None) -> str:
    """How rows were held out; older runs do not say."""
    if split is None:
        return ""
    if split.by == "group":
        column = f"column {split.group_column}" if split.group_column else "likeness of texts"
        return f"in whole groups, by {column}"
    return {"random": "at random", "last": "from its end"}[split.by]


def _lengths(tokens: TokenFacts | None, *, windows: bool) -> Chart | None:
    """Texts, or their windows, by tokens; the last bin is set off where texts were cut into it."""
    if tokens is None or tokens.lengths is None:
        return None
    edges, counts = tokens.lengths.edges, tokens.lengths.counts
    cut, what = tokens.truncated, "windows" if windows else "texts"
    across = x_axis("tokens", nice_range([0, edges[-1]], floor=0, ceiling=edges[-1]))
    up = y_axis(what, nice_range([0, max([*counts, 1])], floor=0))
    longest = tokens.max_length
    bars = histogram(
        across,
        up,
        edges,
        counts,
        tone=lambda start, end: "alert" if cut and start <= longest < end else "accent",
        hint=lambda count, start, end: f"{count:,} {what} of {start} to {end - 1} tokens",
    )
    words = "No text was cut."
    if windows:
        words = f"A text of more than {tokens.max_length} tokens is read in several windows."
    elif cut:
        words = f"{cut:,} texts of more than {tokens.max_length} tokens are in the last bar."
    return Chart(
        title="Length of the training texts",
        about=f"{what} by tokens, {tokens.mean:.0f} on average. {words}",
        x=across,
        y=up,
        bars=bars,
        note=f"{tokens.mean:.0f} tokens on average. {words}",
    )


def _thresholds(run: Run) -> Mapping[int, float]:
    """By which the rows of this page are answered: of one label a row without any, see the scores;
    of several each label has its own from the start."""
    return {} if run.task.one_class else run.thresholds


def _wrong(run: Run) -> list[int]:
    """Places of the validation rows that are answered wrongly, the surest first."""
    rows = run.validation
    return [] if rows is None else rows.mistakes(run.temperature, _thresholds(run))


def _mistakes(run: Run, wrong: Sequence[int]) -> tuple[Mistake, ...]:
    rows, shown = run.validation, wrong[:LISTED]
    if rows is None:
        return ()
    said = rows.predictions(run.temperature, _thresholds(run)).select(shown)
    sure = said.confidence.tolist() if rows.task.calibrates else [None] * len(shown)
    told = zip(shown, rows.task.words(rows.targets_N[shown]), said.words(), sure, strict=True)
    return tuple(
        Mistake(text, true, predicted, confidence, int(rows.rows_N[place]), _parts(text, ()))
        for place, true, predicted, confidence in told
        if (text := rows.text(place)) is not None
    )


def _explained(run: Run, mistakes: Sequence[Mistake]) -> list[Mistake]:
    """Mistakes with their words weighed; as they are where the kept text is answered otherwise."""
    said, reasons = run.explain([each.text for each in mistakes], PAGE_WORDS)
    told = zip(mistakes, said.ids, reasons, strict=True)
    return [
        replace(each, parts=_parts(each.text, words))
        if run.labels[answer] == each.predicted
        else each
        for each, answer, words in told
    ]


def _parts(text: str, words: Sequence[Word]) -> tuple[Part, ...]:
    most = max((abs(word.effect) for word in words), default=0.0)
    parts, end = [], 0
    for word in words:
        if abs(word.effect) < TELLING * most or not most:
            continue
        tone = "for" if word.effect > 0 else "against"
        hint = f"{word.effect:+.2f}: {percent(word.without)} sure without it"
        parts += [Part(text[end : word.start]), Part(word.text, tone, hint)]
        end = word.start + len(word.text)
    parts.append(Part(text[end:]))
    if not isinstance(text, TextPair):
        return tuple(parts)
    return tuple(replace(part, text=part.text.replace(JOINT, BETWEEN)) for part in parts)
