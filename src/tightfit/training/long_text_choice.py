"""``data.long_text=auto``: what is kept of texts that are too long, by a linear probe.

The frozen encoder reads a sample of the training rows once in each way. Other programs read heads
alone, and windows cost a pass each. So a way that costs more is taken where the probe is better
with it by more than the standard error of the difference.
"""

from __future__ import annotations

from tightfit.config import ASKED, Decision, KeptText
from tightfit.encoder import UnknownInside
from tightfit.model.locate import Source
from tightfit.training.frozen_probe import (
    LEAST_ROWS,
    FrozenProbe,
    Scores,
    compared_words,
    gain_and_error,
)

MANY_CUT = 0.05
"""Share of training texts that are cut from which on it is worth asking what is kept of them."""

MOST_TOKENS = 150_000
"""Of the sample in windows at most, so that choosing costs a small part of a training."""

WAYS: tuple[KeptText, ...] = ("head", "head+tail", "windows")
"""In the order of what they cost."""


def decide_long_text(
    probe: FrozenProbe, source: Source, seconds: float | None = None
) -> Decision[KeptText]:
    """What is kept of a long text; ``seconds`` are what choosing may take."""
    config = probe.config
    if config.data.long_text != "auto":
        return Decision(config.data.long_text, ASKED)
    if config.data.pair:
        return Decision("head", "a pair loses the end of its longer text")
    try:
        return _compared(probe, source, seconds)
    except UnknownInside as error:
        return Decision("head", error.what)


def _compared(probe: FrozenProbe, source: Source, seconds: float | None) -> Decision[KeptText]:
    if probe.max_length != probe.config.data.max_length:  # encoders are compared on shorter texts
        probe = FrozenProbe(probe.config, probe.dataset, probe.progress)
    heads, rows = probe.tokens(source), len(probe.rows_N)
    share = heads.truncated / max(1, rows)
    cut = f"{share:.1%} of the training texts are cut"
    if share < MANY_CUT:
        return Decision("head", cut)
    if rows < LEAST_ROWS:
        return Decision("head", f"{cut}, and {rows} rows are too few to compare it with more")
    most = len(probe.reading("windows").tokens(source).ids)
    probe = probe.first(max(LEAST_ROWS, int(rows * min(1.0, MOST_TOKENS / most))))
    if seconds is not None:
        probe = probe.within(source, seconds * len(heads.ids) / (2 * len(heads.ids) + most))
    found: dict[str, Scores] = {kept: probe.reading(kept).scores(source, "mean") for kept in WAYS}
    best, *dearer = WAYS
    for other in dearer:
        gain, error = gain_and_error(found[other], found[best])
        best = other if gain > error else best
    return Decision(best, f"{cut}; {compared_words(found, probe.metric)}")
