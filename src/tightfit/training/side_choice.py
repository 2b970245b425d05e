"""``head.side=auto``: whether a side head is worth its parameters, and how much it counts.

Before a plan is made, two linear classifiers answer training rows that they did not see: one of
what the frozen encoder makes of a text, one of its characters. Where characters alone tell
as much, and more yet beside it, the encoder reads the texts poorly, and a share of the cap goes to
them. Where it reads them, adapters learn what characters tell: all of the cap is theirs. Of pairs
the second reads how both texts differ, which costs little: it is due where both together tell more
than the encoder, of classes while they have few rows.

Once all else is trained, rows that neither learned from say how much the side head's outputs count
beside the classifier's.

A row's logits are those of the classifier plus a factor times those of the side head: a weighted
mean of two log-probabilities, at some temperature. Ratings are a weighted mean of both.

Shapes: N rows, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightfit.budget.parts import SidePlan
from tightfit.config import ASKED, Config, Decision
from tightfit.data.label_strata import rows_a_class
from tightfit.data.readability import readability
from tightfit.data.tokens import Tokens
from tightfit.display import score_name
from tightfit.encoder import UnknownInside
from tightfit.errors import SettingsError
from tightfit.families import Pooling
from tightfit.methods import METHODS
from tightfit.metrics.calibration import fit_temperature, fitted_log_losses
from tightfit.model.locate import Source
from tightfit.model.pair_reader import PairReader
from tightfit.model.side_head import count_ngrams
from tightfit.tasks import Task
from tightfit.tasks.dataset import FEW_IN_ALL, Dataset
from tightfit.training.frozen_probe import (
    LEAST_ROWS,
    FrozenProbe,
    compared_words,
    gain_and_error,
    tokens_of,
)
from tightfit.training.long_text_choice import MANY_CUT
from tightfit.training.prepare import plan_for
from tightfit.training.side_solver import SideSolver

LEAST_NGRAMS, MOST_NGRAMS = 2**11, 2**15
"""Found with hashed buckets: fewer lose four points and more; twice as many gained 0.3 at most."""

LEAST_TEXTS = 32
"""With fewer, tuning has all rows right, and what characters add to that is chance: with 16 they
cost 3 to 8 points."""

SIDE_SHARE = 0.5
"""Of what the cap leaves beside the head, where ranks are open: the most that a side head takes."""

SURE, FAR_BEHIND = 2.0, 0.07
"""Standard errors by which characters must lower the log loss beside the encoder, and the share of
rows by which they may be behind it alone: encoders that read the texts have nine points more, and
in errors of few rows that is little."""

ASKED_CHARACTERS = 3
"""Of the n-grams by which that is asked: longer ones tell of words, which encoders read as well."""

MOST_PAIRS = 64
"""Of a class, on average, up to which a side head is due that reads how both texts differ."""

Outputs = NDArray[np.floating[Any]]
"""Of a head, ``(N, K)``."""

SHARES = np.linspace(0.0, 0.95, 20)
"""Of the side head in the mean of both log-probabilities, that are tried."""


def decide_side(
    probe: FrozenProbe, source: Source, pooling: Pooling, seconds: float | None = None
) -> Decision[int] | None:
    """How many n-grams a side head gets (of pairs, numbers), 0 for none; None where there is no
    choice.

    Args:
        probe: of the training's rows.
        source: the encoder.
        pooling: what the head reads of it.
        seconds: that deciding may take.

    Raises:
        SettingsError: one is asked for, and rows have not one class each.
        BudgetError: not even the head fits under the cap.
    """
    config, dataset = probe.config, probe.dataset
    unfit = _why_unfit(config, dataset)
    if config.head.side == "off" or (unfit and config.head.side == "auto"):
        return None
    if unfit:
        raise SettingsError(
            "a side head is offered for one label a text, and for pairs with a label or a rating",
            seen=f"head.side={config.head.side} with {unfit}",
            next_step="leave out head.side",
        )
    if config.head.side != "auto":
        return Decision(config.head.side, ASKED)
    needless = _why_too_few(probe, source) or _why_needless(config, dataset)
    if needless is not None:
        return Decision(0, needless)
    width = _affordable(config, source, dataset.task.outputs, pooling)
    try:
        pairs = _reader(probe, source) if config.data.pair else None
        least = LEAST_NGRAMS if pairs is None else pairs.width
        if width < least:
            return Decision(0, f"the cap leaves it {width:,} numbers of {least:,} that help")
        probe = probe if pairs else _beside_characters(probe, source)
        if seconds is not None:
            probe = probe.within(source, seconds)
        plan = SidePlan(width, dataset.task.outputs)
        if pairs is not None:
            plan = SidePlan(least, dataset.task.outputs, "pairs")
        return _probed(probe, source, plan, pooling=pooling, pairs=pairs)
    except UnknownInside as error:
        return Decision(0, error.what)


def _why_unfit(config: Config, dataset: Dataset) -> str | None:
    """The setting with which no side head goes, if there is one."""
    if config.data.pair and isinstance(config.head.side, int):
        return "data.pair=true, of which the encoder says how many numbers it reads"
    rated = config.data.pair and dataset.task.kind == "rating"
    fits = dataset.task.one_class or rated
    return None if fits else f"data.task={dataset.task.kind}"


def _why_too_few(probe: FrozenProbe, source: Source) -> str | None:
    """Why rows cannot tell whether a side head helps, or None.

    Up to :data:`FEW_IN_ALL` texts characters are ahead by chance in some draws, and cost ten points
    there. So few of them are for encoders that do not read the texts, as their tokens say.
    """
    dataset, pair = probe.dataset, probe.config.data.pair
    if len(dataset.train) < (LEAST_ROWS if pair else LEAST_TEXTS):
        return f"{len(dataset.train)} rows are too few to tell whether it helps"
    if pair or len(dataset.train) > FEW_IN_ALL:
        return None
    found = readability(probe.tokenizer(source), dataset.train.texts)
    if found.verdict != "reads":
        return None
    return f"{len(dataset.train)} rows are few, and the encoder reads them: {found}"


def _why_needless(config: Config, dataset: Dataset) -> str | None:
    """Why pairs need none, or could not keep it, or None."""
    if not config.data.pair:
        return None
    if METHODS[config.adapters.method].whole:
        return "no frozen encoder is kept where every weight trains"
    if not dataset.task.one_class:
        return None
    each = rows_a_class(dataset.train.targets.tolist())
    words = "pairs a class, on average, are enough for adapters to learn to compare"
    return f"{each:,.0f} {words}" if each > MOST_PAIRS else None


def _reader(probe: FrozenProbe, source: Source) -> PairReader:
    """What reads pairs as a probe reads its texts.

    Raises:
        UnknownInside: only ``transformers`` computes the encoder.
    """

    def tokens(texts: Sequence[str]) -> Tokens:
        return tokens_of(source, probe.tokenizer(source), texts, probe.max_length)

    return PairReader.of(source, tokens)


def _beside_characters(probe: FrozenProbe, source: Source) -> FrozenProbe:
    """The probe, reading as training does where it cuts many texts: of those characters are all."""
    many_cut = probe.tokens(source).truncated >= MANY_CUT * len(probe.rows_N)
    return probe.as_trained if many_cut else probe


def _affordable(config: Config, source: Source, labels: int, pooling: Pooling) -> int:
    """N-grams that the cap pays for: all that is left by ranks that are set, else a share."""
    bare = plan_for(config.with_values({"head.side": "off"}), source, labels, pooling=pooling)
    if bare.budget is None or bare.headroom is None:
        return MOST_NGRAMS
    open_ranks = config.adapters.rank is None and bool(bare.record.kinds)
    left = SIDE_SHARE * (bare.budget - bare.head) if open_ranks else bare.headroom
    return min(MOST_NGRAMS, max(0, int(left) // labels - 1))


def _probed(
    probe: FrozenProbe,
    source: Source,
    plan: SidePlan,
    *,
    pooling: Pooling,
    pairs: PairReader | None,
) -> Decision[int]:
    """Whether a linear classifier learns from it what it does not from the frozen encoder."""
    task, targets_N = probe.dataset.task, probe.sample.targets
    features_NF = probe.features(source, pooling)
    solver = SideSolver(
        plan,
        task,
        probe.sample,
        seed=probe.config.seed,
        longest=ASKED_CHARACTERS,
        pairs=pairs,
        progress=probe.progress,
    )
    encoder_NK = task.unseen(features_NF, probe.sample)
    side_NK = solver.unseen()
    factor = factor_of(task, encoder_NK, side_NK, targets_N)
    both_NK = mixed(task, encoder_NK, side_NK, factor)
    both_N, side_N, encoder_N = (
        task.row_scores(each_NK, targets_N) for each_NK in (both_NK, side_NK, encoder_NK)
    )
    if pairs is None:
        behind = float(encoder_N.mean() - side_N.mean())
        due = behind <= FAR_BEHIND and _lowers_loss(encoder_NK, both_NK, targets_N)
    else:
        due = _is_beyond(both_N, encoder_N)
    read = "characters" if pairs is None else "both texts apart"
    figures = {f"encoder and {read}": both_N, f"{read} alone": side_N, "encoder alone": encoder_N}
    told = compared_words(figures, probe.metric)
    if pairs is None and due:
        return Decision(count_ngrams(probe.dataset.train.texts, plan.width), told)
    return Decision(plan.width if due else 0, told)


def _lowers_loss(encoder_NK: Outputs, both_NK: Outputs, targets_N: NDArray[Any]) -> bool:
    without_N, with_it_N = (fitted_log_losses(each, targets_N) for each in (encoder_NK, both_NK))
    return _is_beyond(without_N, with_it_N, SURE)


def _is_beyond(
    more_N: NDArray[Any],
    less_N: NDArray[Any],
    errors: float = 1.0,
    weights_N: NDArray[np.float64] | None = None,
) -> bool:
    """Whether the mean of paired numbers is above another's by more than so many errors of it."""
    gain, error = gain_and_error(more_N, less_N, weights_N)
    return gain > errors * error


def weigh_side(
    task: Task,
    logits_NK: NDArray[np.float32],
    side_NK: NDArray[np.float64],
    targets_N: NDArray[Any],
    *,
    weights_N: NDArray[np.float64] | None = None,
) -> Decision[float]:
    """How much a side head counts beside what was trained, by rows that neither learned from.

    The factor is the one number that is chosen on them, as a temperature is. It is 0, and the side
    head left out, where the gain is within its error: other programs cannot follow it. Of classes
    the gain is that of the log loss: of 70 rows right answers cannot tell ten points.

    Args:
        task: what the outputs are of.
        logits_NK: of the classifier.
        side_NK: of the side head, for the same rows.
        targets_N: theirs.
        weights_N: how much each of these rows counts.
    """
    factor = factor_of(task, logits_NK, side_NK, targets_N, weights_N=weights_N)
    both_NK = mixed(task, logits_NK, side_NK, factor)
    judged = [task.row_scores(each, targets_N) for each in (both_NK, logits_NK)]
    rows = f"{len(targets_N):,} rows that neither saw"
    both = [np.average(each, weights=weights_N) for each in judged]
    if task.one_class:
        judged = [-fitted_log_losses(each, targets_N, weights_N) for each in (both_NK, logits_NK)]
        losses = (-np.average(each, weights=weights_N) for each in judged)
        told = "of {} {:.1%} are right with it, {:.1%} without".format(rows, *both)
        told += ", at a log loss of {:z.3f} and {:z.3f}".format(*losses)
    else:
        name = score_name(task.metric)
        told = "the {} of {} is {:.3f} with it, {:.3f} without".format(name, rows, *both)
    if _is_beyond(judged[0], judged[1], weights_N=weights_N):
        return Decision(factor, told)
    return Decision(0.0, told + (", within the error" if factor else "") + ": left out")


def kept_beside(task: Task, factor: float) -> float:
    """What a classifier's own outputs are multiplied by beside a side head's times a factor."""
    return 1.0 if task.one_class else 1.0 - factor


def mixed(task: Task, logits_NK: Outputs, side_NK: Outputs, factor: float) -> Outputs:
    """The outputs of a classifier, and those of a side head times a factor beside them."""
    return kept_beside(task, factor) * logits_NK + factor * side_NK


def factor_of(
    task: Task,
    logits_NK: Outputs,
    side_NK: Outputs,
    targets_N: NDArray[Any],
    *,
    weights_N: NDArray[np.float64] | None = None,
) -> float:
    """What the side head's outputs are multiplied by, for the least log loss of the sum.

    Each sum is judged at the temperature that suits it: how sharp it is can be mended later. Of
    ratings it is the side head's share of a mean, for the best score.
    """
    if not task.one_class:
        return max(
            SHARES.tolist(),
            key=lambda share: float(
                task.row_scores(mixed(task, logits_NK, side_NK, share), targets_N).mean()
            ),
        )
    own = fit_temperature(logits_NK, targets_N, weights_B=weights_N).value

    def loss(factor: float) -> float:
        both_NK = mixed(task, logits_NK, side_NK, factor)
        found = fit_temperature(both_NK, targets_N, weights_B=weights_N)
        return found.log_loss_after

    return min((own * float(share / (1 - share)) for share in SHARES), key=loss)
