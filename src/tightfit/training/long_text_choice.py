"""``data.long_text=auto``: whether tails of long texts are read as well, by a linear probe.

The frozen encoder reads a sample of the training rows both ways. Other programs read heads alone,
so tails are read where the probe is better with them by more than the standard error of the
difference. Windows are for those who ask: what a frozen encoder gains by them was lost in training,
which takes every window for a row (docs/experiments/long-texts.md).
"""

from __future__ import annotations

from tightfit.config import ASKED, Decision, KeptText
from tightfit.encoder import UnknownInside
from tightfit.model.locate import Source
from tightfit.training.frozen_probe import (
    LEAST_ROWS,
    FrozenProbe,
    compared_words,
    gain_and_error,
)

MANY_CUT = 0.05
"""Share of training texts that are cut from which on it is worth asking what is kept of them."""


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
        return _compared(probe.as_trained, source, seconds)
    except UnknownInside as error:
        return Decision("head", error.what)


def _compared(probe: FrozenProbe, source: Source, seconds: float | None) -> Decision[KeptText]:
    rows = len(probe.rows_N)
    share = probe.tokens(source).truncated / max(1, rows)
    cut = f"{share:.1%} of the training texts are cut"
    if share < MANY_CUT:
        return Decision("head", cut)
    if rows < LEAST_ROWS:
        return Decision("head", f"{cut}, and {rows} rows are too few to tell whether tails help")
    if seconds is not None:
        probe = probe.within(source, seconds / 2)
    heads_N, both_N = (probe.reading(kept).scores(source, "mean") for kept in ("head", "head+tail"))
    told = compared_words({"heads": heads_N, "heads and tails": both_N}, probe.metric)
    gain, error = gain_and_error(both_N, heads_N)
    return Decision("head+tail" if gain > error else "head", f"{cut}; {told}")
