"""A run in a form that others serve, compared with the run before it is kept.

Whatever its form (see ``formats``), the folder also holds ``labels.json``, a card, a program that
answers texts, and ``export.json`` with the longest text, the pad id, the temperature, thresholds
that ``evaluate`` kept, and the figures of the comparison.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightfit import storage
from tightfit.data.text_tokenizer import tokenise
from tightfit.data.tokens import Tokens
from tightfit.display import score_name
from tightfit.encoder.on_torch import Engine, all_logits
from tightfit.engines.engine import OnnxEngine, TorchEngine, in_own_unit
from tightfit.engines.parity import (
    ACCURACY_LOSS,
    Loss,
    Parity,
    compare,
    joined,
    loss_of,
    parity_of,
    probes,
    refuse_difference,
    spread,
)
from tightfit.errors import ProofError
from tightfit.exporting import onnx_graph
from tightfit.exporting.exported import ComparedRows, Exported, Int8
from tightfit.exporting.folder_files import ExportFolder
from tightfit.exporting.format_names import FACTS_FILE, LABELS_FILE, Format, check_format
from tightfit.exporting.formats import GRAPH_FILE, Encode, open_form, write_form
from tightfit.exporting.pair_graph import answers, put_side
from tightfit.exporting.vocabulary import Vocabulary, logits_of, narrowed, used_ids
from tightfit.model.adapters import base_model
from tightfit.progress import Progress
from tightfit.run import Run
from tightfit.tasks.label_set_thresholds import of_each_label

CLOSE = 0.005
"""Shares of equal labels that differ by less are about equal: a few rows of a sample."""

WARM_ROWS = 32


def export(
    run: Run,
    form: Format,
    folder: Path,
    rows: ComparedRows,
    *,
    portable: bool = True,
    used: bool = False,
    progress: Progress = Progress(),
) -> Exported:
    """Write a run in another form into an empty folder, and compare the two.

    Args:
        run: the run.
        form: which form.
        folder: to fill; the caller discards it after an error.
        rows: compared besides random batches: padded, unpadded, of length 1, of the full length.
        portable: it leaves this machine: int8 weights answer alike on every processor if any do,
            and graphs add what a side head of pairs gives. Else tightfit alone reads it.
        used: keep only the pieces of the vocabulary that these rows and the run's own use.
        progress: how to show progress.

    Raises:
        MissingExtraError: ONNX needs packages that are not installed.
        ProofError: the export does not answer as the run does.
        UsageError: there is no such form for this run.
    """
    check_format(form, run.plan)
    vocabulary = None
    if used:
        run, vocabulary = _narrowed(run, rows)
    with progress.track(f"writing {form}", 1):
        write_form(run, form, folder)
    into = ExportFolder(run, form, folder)
    if run.side is not None and into.side == "characters":
        run.side.write(folder)
    length = run.predictor.max_length
    engine, encode = open_form(form, folder, source=run.base, max_length=length)
    comparison = Comparison(run, rows, progress)
    comparison.check_tokens(encode)
    parity = comparison.parity(engine, strict=True)
    int8 = None
    if form == "onnx-int8":
        int8 = _quantise(folder / GRAPH_FILE, comparison, portable=portable)
        parity = comparison.parity(OnnxEngine.open(folder / GRAPH_FILE), strict=False)
    if into.side == "pairs" and portable:
        parity, int8 = _put_side(run, folder, comparison, parity, int8=int8)
    exported = Exported(
        parity,
        comparison.speed,
        int8,
        without_side=comparison.without_side() if into.side != "pairs" else None,
        heads_alone=comparison.heads_alone(run) if portable else None,
        vocabulary=vocabulary,
    )
    exported = replace(exported, caveats=into.caveats(exported, rows.name))
    storage.write_json(folder / LABELS_FILE, run.task.to_json())
    facts = _facts(into, rows, exported)
    if portable:
        facts |= into.recognised(engine)
        into.write_example()
        into.write_card(exported, rows.name)
    storage.write_json(folder / FACTS_FILE, facts)
    return exported


def _narrowed(run: Run, rows: ComparedRows) -> tuple[Run, Vocabulary]:
    """The run with the pieces of all its texts alone, and what rows beyond them lose.

    Raises:
        ProofError: it does not answer as before.
        UsageError: its vocabulary cannot be cut.
    """
    whole, length = run.classifier, run.predictor.max_length
    ids_V = used_ids(whole.tokenizer, [*rows.trained, *rows.texts])
    seen_V = used_ids(whole.tokenizer, rows.trained)
    read = tokenise(whole.tokenizer, rows.texts, length)
    outside = np.isin(read.ids, seen_V, invert=True)
    known, found = (narrowed(whole, each_V) for each_V in (seen_V, ids_V))
    beside = read if run.side is None else run.side.beside(read, rows.texts)
    known_NK, found_NK, whole_NK = (
        beside.with_side(logits_of(each, rows.texts, length)) for each in (known, found, whole)
    )
    refuse_difference({rows.name: parity_of(run.task, whole_NK, found_NK)})
    cost = loss_of(run.task, whole_NK, known_NK, rows.targets_N, temperature=run.temperature)
    pieces = base_model(whole.module).config.vocab_size
    told = Vocabulary(len(ids_V), pieces, float(outside.mean()), cost)
    return run.with_parts(classifier=found), told


class Comparison:
    """The run's answers on all rows, computed once, for any number of engines."""

    def __init__(self, run: Run, rows: ComparedRows, progress: Progress) -> None:
        classifier, length = run.classifier, run.predictor.max_length
        self._run = TorchEngine(classifier.module)
        self._rows, self._progress, self._task = rows, progress, classifier.task
        self._temperature = run.predictor.temperature
        self._tokens = tokenise(classifier.tokenizer, rows.texts, length)
        if run.side is not None:
            self._tokens = run.side.beside(self._tokens, rows.texts, progress)
        self._run_NK = self._all(self._run, "the run")
        self._probes = probes(
            vocabulary=base_model(classifier.module).config.vocab_size,
            pad_id=self._tokens.pad_id,
            max_length=length,
            segments=self._tokens.segments is not None,
        )
        self.score = score_name(classifier.task.metric)
        """What an export may lose of, as people call it."""
        self.speed = 0.0
        """Rows a second of the export whose parity was looked at last."""

    def check_tokens(self, encode: Encode) -> None:
        """The exported tokenizer must give the very tokens of the run's.

        Raises:
            ProofError: it does not.
        """
        tokens, sides = self._tokens, self._tokens.segments
        ends = zip(tokens.offsets, tokens.offsets[1:], strict=False)
        wanted = [
            (tokens.ids[a:b].tolist(), None if sides is None else sides[a:b].tolist())
            for a, b in ends
        ]
        both = zip(encode(self._rows.texts), wanted, strict=True)
        off = sum(theirs != ours for theirs, ours in both)
        if off:
            raise ProofError(
                "the exported tokenizer gives other tokens than the run's, and was not kept",
                seen=f"{off:,} of {len(wanted):,} texts",
                next_step="report this tokenizer",
            )

    def parity(self, engine: Engine, *, strict: bool) -> Parity:
        """Over all batches; with ``strict``, a difference beyond the tolerance is refused.

        Raises:
            ProofError: it is, and so nothing may be kept.
        """
        engine = in_own_unit(engine, self._task)
        found = compare(self._task, self._run, engine, self._probes)
        started = time.perf_counter()
        export_NK = self._all(engine, "the export")
        self.speed = len(self._tokens) / (time.perf_counter() - started)
        found[self._rows.name] = parity_of(self._task, self._run_NK, export_NK)
        if strict:
            refuse_difference(found)
        return joined(list(found.values()))

    def loss(self, engine: Engine) -> Loss:
        """What accuracy the engine loses on the rows."""
        return self._loss(self._all(in_own_unit(engine, self._task), "the export in int8"))

    def without_side(self) -> Loss | None:
        """What is lost on the rows where what a side head adds is left out."""
        if self._tokens.added_NK is None:
            return None
        return self._loss(self._tokens.without_side(self._run_NK))

    def heads_alone(self, run: Run) -> Loss | None:
        """What is lost on the rows where the run reads more than the heads of long texts."""
        tokens, kept, texts = self._tokens, run.decisions.long_text.value, self._rows.texts
        full = np.flatnonzero(tokens.lengths == tokens.max_length).tolist()
        if kept == "head" or not full:
            return None
        more = tokenise(run.classifier.tokenizer, texts, tokens.max_length, long_text=kept)
        beside = replace(more, added_NK=tokens.added_NK, kept=tokens.kept).select(full)
        whole_NK = self._run_NK.copy()
        whole_NK[full] = self._all(self._run, "all that the run reads", beside)
        return self._loss(self._run_NK, whole_NK)

    def _loss(self, export_NK: NDArray[np.float32], run_NK: Any = None) -> Loss:
        both = self._run_NK if run_NK is None else run_NK, export_NK
        return loss_of(self._task, *both, self._rows.targets_N, temperature=self._temperature)

    def answers(self, folder: Path, single_length: int) -> tuple[Parity, Loss]:
        """How a graph with a side head of pairs answers the rows, and what that costs."""
        texts, (scale, mean) = self._rows.texts, self._task.unit
        with self._progress.track("predicting with its side head", len(texts)) as bar:
            started = time.perf_counter()
            found_NK = answers(folder, texts, single_length, advance=bar.advance)
        self.speed = len(texts) / (time.perf_counter() - started)
        own_NK = ((found_NK - mean) / scale).astype(np.float32)
        return parity_of(self._task, self._run_NK, own_NK), self._loss(own_NK)

    def trial(self, engine: Engine) -> tuple[float, float]:
        """The share of equal labels, and rows a second, on a sample of the rows."""
        engine, rows = in_own_unit(engine, self._task), spread(len(self._tokens))
        tokens = self._tokens.select(rows)
        # What is allocated and chosen at first sight is no part of an engine's speed.
        all_logits(engine, tokens.select(range(min(len(rows), WARM_ROWS))))
        started = time.perf_counter()
        theirs_NK = all_logits(engine, tokens)
        speed = len(rows) / (time.perf_counter() - started)
        return parity_of(self._task, self._run_NK[rows], theirs_NK).agreement, speed

    def _all(self, engine: Engine, who: str, tokens: Tokens | None = None) -> NDArray[np.float32]:
        tokens = self._tokens if tokens is None else tokens
        with self._progress.track(f"predicting with {who}", len(tokens.flat)) as bar:
            return all_logits(engine, tokens, advance=bar.advance)


def _put_side(
    run: Run, folder: Path, comparison: Comparison, parity: Parity, *, int8: Int8 | None
) -> tuple[Parity, Int8 | None]:
    """A side head of pairs put into the graph, and its answers compared again.

    Raises:
        ProofError: they are others than the run's.
    """
    graph, chosen = folder / GRAPH_FILE, None
    if int8 is not None:
        chosen = next(each for each in onnx_graph.VARIANTS if each.name == int8.variant)
    put_side(run, graph, chosen)
    found, loss = comparison.answers(folder, run.decisions.max_length.value)
    if chosen is None:
        refuse_difference({"pairs and their side head": found})
    elif loss.accuracy_loss > ACCURACY_LOSS:
        raise _too_lossy({chosen.name: loss}, comparison.score)
    else:
        int8 = Int8(**vars(loss), variant=chosen.name)
    worst = max(parity.max_abs_difference, found.max_abs_difference)
    return Parity(worst, min(parity.agreement, found.agreement), parity.rows), int8


def _quantise(graph: Path, comparison: Comparison, *, portable: bool) -> Int8:
    """Put the best int8 graph that keeps the accuracy in place of the one in fp32.

    Raises:
        ProofError: none does.
    """
    losses: dict[str, Loss] = {}
    for variant, path in _ranked(graph, comparison, portable=portable):
        loss = losses[variant.name] = comparison.loss(OnnxEngine.open(path))
        if loss.accuracy_loss <= ACCURACY_LOSS:
            path.replace(graph)
            for other in set(graph.parent.glob("*.onnx")) - {graph}:
                other.unlink()
            return Int8(**vars(loss), variant=variant.name)
    raise _too_lossy(losses, comparison.score)


def _too_lossy(losses: Mapping[str, Loss], score: str) -> ProofError:
    return ProofError(
        f"int8 costs too much {score} on these rows, and was not kept",
        seen="; ".join(
            f"{name}: {100 * loss.accuracy_loss:.2f} points" for name, loss in losses.items()
        ),
        allowed=f"{100 * ACCURACY_LOSS:g} points",
        next_step="use --format onnx, or give more labelled rows with --data",
    )


def _ranked(
    graph: Path, comparison: Comparison, *, portable: bool
) -> list[tuple[onnx_graph.Variant, Path]]:
    """The int8 graphs, best first: by equal labels, and where those are about equal by speed."""
    tried = [
        (variant, path, *comparison.trial(OnnxEngine.open(path)))
        for variant, path in onnx_graph.quantised(graph)
    ]
    close = max(agreement for *_, agreement, _ in tried) - CLOSE
    tried.sort(key=lambda each: (portable and not each[0].portable, each[2] < close, -each[3]))
    return [(variant, path) for variant, path, *_ in tried]


def _answering(run: Run, exported: Exported) -> dict[str, Any]:
    """What a program makes answers of, besides the logits."""
    if not run.task.calibrates:
        # The run's intervals promise nothing of answers that lack a part.
        return {"reach": None if exported.without_side else run.predictor.reach}
    found: dict[str, Any] = {"temperature": run.predictor.temperature}
    if run.task.one_class:
        # Those that ``evaluate`` kept.
        found["thresholds"] = {run.task.names[k]: x for k, x in run.thresholds.items()}
    else:
        found["thresholds"] = of_each_label(run.thresholds, run.task.outputs)
        found["separator"] = run.task.separator
    return found


def _facts(into: ExportFolder, rows: ComparedRows, exported: Exported) -> dict[str, Any]:
    run, pairs = into.run, into.side == "pairs"
    return {
        "format": into.form,
        "base_model": run.base.public_name,
        "max_length": run.predictor.max_length,
        **({"single_max_length": run.decisions.max_length.value} if pairs else {}),
        "pad_id": int(run.classifier.tokenizer.pad_token_id),
        "pair": run.config.data.pair,
        **_answering(run, exported),
        "compared_on": rows.name,
        **exported.to_json(),
    }
