"""Which engine to predict with: measured on the user's own rows, never assumed.

Every engine answers a sample of the rows. One that answers otherwise than PyTorch in fp32 is out;
of the others the fastest is taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tightfit.data.tokens import Tokens
from tightfit.encoder.on_torch import Engine, all_logits
from tightfit.engines.engine_names import AskedEngine, EngineName
from tightfit.engines.parity import (
    ACCURACY_LOSS,
    TOLERANCE,
    Parity,
    loss_of,
    parity_of,
)
from tightfit.errors import MissingExtraError, ProofError, SettingsError
from tightfit.metrics.calibration import Scale
from tightfit.tasks import Task

EXACT: tuple[EngineName, ...] = ("torch", "onnx", "ray")
"""Engines that compute in fp32, whose logits must be the same; of the others, the labels."""

AGREEMENT = 0.98
"""Least share of equal labels with which ``auto`` takes an engine that does not compute in fp32."""

ENOUGH_ROWS = 100
"""With fewer rows one label alone decides whether such an engine agrees, so ``auto`` leaves it."""

ROUNDS = 2
"""How often each engine answers the sample, in turn, once it has been compared; its best time
counts."""

Open = Callable[[], Engine]
"""Loads an engine; a SettingsError or ProofError is the reason why there is none."""


@dataclass(frozen=True)
class Measured:
    """What one engine did on the sample."""

    name: EngineName
    verdict: str
    """Why it was taken, or was not."""
    agrees: bool = False
    rows_per_second: float | None = None
    """Tokens to logits; None where there is no such engine, or it does not agree."""
    agreement: float | None = None
    """Share of rows with the label that PyTorch gives them in fp32."""
    max_abs_difference: float | None = None
    """Of any logit."""


@dataclass(frozen=True)
class Choice:
    """The engine that is taken, and what it was measured against."""

    name: EngineName
    rows: int
    """Of the sample."""
    measured: tuple[Measured, ...]

    def of(self, name: str) -> Measured:
        """What the engine of this name did."""
        return next(each for each in self.measured if each.name == name)

    def table(self) -> list[str]:
        """A line an engine, for people."""
        lines = [f"{'engine':<11}{'rows/s':>8}{'same labels':>13}  on {self.rows:,} of your rows"]
        for each in self.measured:
            speed = "" if each.rows_per_second is None else f"{each.rows_per_second:,.1f}"
            same = "" if each.agreement is None else f"{each.agreement:.1%}"
            lines.append(f"{each.name:<11}{speed:>8}{same:>13}  {each.verdict}")
        return lines


def choose(
    engines: Mapping[EngineName, Open],
    tokens: Tokens,
    task: Task,
    *,
    asked: AskedEngine = "auto",
    temperature: Scale = 1.0,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Choice, Engine]:
    """Measure engines on a sample of the rows, and take the fastest of those that agree.

    Args:
        engines: how to load each; ``torch`` is among them, and the others are compared with it.
        tokens: the sample, at least one row.
        task: what an answer is.
        asked: an engine that is to be taken, fast or slow, if only it agrees.
        temperature: of the run, for the loss of accuracy that is to be expected.
        clock: tells seconds.

    Raises:
        ProofError: the engine asked for does not agree.
        TightfitError: it cannot be loaded.
    """
    own = engines["torch"]()
    own_NK = all_logits(own, tokens)
    opened: dict[EngineName, Engine] = {"torch": own}
    found = {"torch": Measured("torch", "", agrees=True, agreement=1.0, max_abs_difference=0.0)}
    for name in engines:
        if name == "torch":
            continue
        try:
            engine = engines[name]()
        except (SettingsError, ProofError) as error:
            if name == asked:
                raise
            found[name] = Measured(name, _in_a_line(error))
            continue
        theirs_NK = all_logits(engine, tokens)
        parity = parity_of(task, own_NK, theirs_NK)
        loss = loss_of(task, own_NK, theirs_NK, temperature=temperature).accuracy_loss
        fault = _fault(name, parity, loss, asked=name == asked)
        found[name] = _compared(name, parity, fault)
        if found[name].agrees:
            opened[name] = engine
        elif name == asked:
            raise _disagrees(found[name])
    seconds = _seconds(opened, tokens, clock)
    best = min(seconds, key=lambda name: seconds[name]) if asked == "auto" else asked
    for name, taken in seconds.items():
        found[name] = replace(
            found[name], rows_per_second=len(tokens) / taken, verdict=_verdict(name, best, asked)
        )
    return Choice(best, len(tokens), tuple(found[name] for name in engines)), opened[best]


def _compared(name: EngineName, parity: Parity, fault: str | None) -> Measured:
    return Measured(
        name,
        fault or "",
        agrees=fault is None,
        agreement=parity.agreement,
        max_abs_difference=parity.max_abs_difference,
    )


def _fault(name: EngineName, parity: Parity, loss: float, *, asked: bool) -> str | None:
    """Why an engine may not stand in for PyTorch in fp32, or None.

    Who asked for one that does not compute in fp32 has to bear that labels flip where two are
    about as likely, as long as that costs no accuracy.
    """
    if name in EXACT:
        off = parity.max_abs_difference
        return None if off <= TOLERANCE else f"logits are off by {off:.2g}"
    if not asked and parity.rows < ENOUGH_ROWS:
        return f"{parity.rows:,} rows are too few to compare labels; {ENOUGH_ROWS} are needed"
    if not asked and parity.agreement < AGREEMENT:
        return f"less than {AGREEMENT:.0%} of the labels agree"
    if loss > ACCURACY_LOSS:
        return f"accuracy is to be expected {100 * loss:.2f} points lower"
    return None


def _seconds(
    engines: Mapping[EngineName, Engine], tokens: Tokens, clock: Callable[[], float]
) -> dict[EngineName, float]:
    """The best time of each, measured in turn so that a busy moment slows all alike."""
    best = dict.fromkeys(engines, float("inf"))
    for _ in range(ROUNDS):
        for name, engine in engines.items():
            started = clock()
            all_logits(engine, tokens)
            best[name] = min(best[name], clock() - started)
    return best


def _verdict(name: EngineName, best: EngineName, asked: AskedEngine) -> str:
    if name != best:
        return "slower" if asked == "auto" else "not asked for"
    return "the fastest that agrees" if asked == "auto" else "asked for"


def _disagrees(found: Measured) -> ProofError:
    return ProofError(
        f"the predictions of engine {found.name} differ from the run's, so it is not used",
        seen=found.verdict,
        next_step="use --engine torch, or auto for the fastest that agrees",
    )


def _in_a_line(error: SettingsError | ProofError) -> str:
    if isinstance(error, MissingExtraError):
        return f"{error.seen}: {error.next_step}"
    return error.what if error.seen is None else f"{error.what}: {error.seen}"
