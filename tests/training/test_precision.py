"""The number format is decided beforehand, with a reason."""

from __future__ import annotations

import pytest
import torch

from tests.fixtures import Encoders
from tests.toy_setups import toy_classifier
from tightfit.training import precision
from tightfit.training.precision import Precision, autocast_gain, bf16_gain, decide_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("asked", "given", "reason"),
    [
        ("fp32", "fp32", "asked for"),
        ("bf16", "bf16", "asked for"),
        ("fp16", "fp32", "a CPU only emulates it"),
    ],
)
def test_on_a_cpu(asked: str, given: str, reason: str) -> None:
    """fp16 falls back, and says so; bf16 is taken at the user's word."""
    precision = decide_precision(asked, CPU)
    assert precision.format == given
    assert reason in precision.reason


@pytest.mark.parametrize(("gain", "given"), [(2.4, "bf16"), (1.1, "fp32"), (0.01, "fp32")])
def test_bf16_is_taken_where_it_is_measured_to_be_faster(
    gain: float, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor without bf16 emulates it, at a small fraction of the speed."""
    monkeypatch.setattr("tightfit.training.precision.bf16_gain", lambda: gain)
    precision = decide_precision("auto", CPU)
    assert precision.format == given
    assert f"multiplies bf16 {gain:.1f} times as fast" in precision.reason


@pytest.mark.parametrize(
    ("products", "steps", "given", "told"),
    [
        (2.1, [1.24], "bf16", "2.1 times as fast as fp32, and takes steps of this model 1.2 times"),
        (2.1, [0.9], "fp32", "2.1 times as fast as fp32, and takes steps of this model 0.9 times"),
        (0.1, [], "fp32", "0.1 times as fast as fp32"),
    ],
)
def test_steps_under_autocast_are_measured_where_products_gain(
    products: float, steps: list[float], given: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor that emulates bf16 is not made to take a step in it."""
    monkeypatch.setattr("tightfit.training.precision.bf16_gain", lambda: products)
    precision = decide_precision("auto", CPU, step_gain=steps.pop)
    assert (precision.format, steps) == (given, [])
    assert told in precision.reason


@pytest.mark.parametrize("family", ["modernbert", "deberta-v2", "roberta"])
def test_timing_steps_leaves_nothing_behind(family: str, encoders: Encoders) -> None:
    """No gradient, no weight and no random number; rows are no longer than the encoder's."""
    classifier = toy_classifier(encoders(family), "train.forward=own")
    before, random = classifier.state(), torch.get_rng_state()
    assert autocast_gain(classifier, 8) > 0
    assert all(p.grad is None for p in classifier.module.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    torch.testing.assert_close(classifier.state(), before, rtol=0, atol=0)


def test_the_gain_is_a_ratio_of_two_measured_times() -> None:
    """Whatever the processor, both products run and take time."""
    assert bf16_gain() > 0


def test_times_are_those_of_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a second one computes would be counted later, in the other's turn."""
    clock, before = iter(range(1000)), torch.get_num_threads()
    monkeypatch.setattr("time.thread_time", lambda: float(next(clock)))
    seen = []
    torch.set_num_threads(2)
    try:
        gain = precision._times_as_fast(
            lambda: seen.append(torch.get_num_threads()), lambda: next(clock), 8
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}
    assert gain == 0.5  # a tick of the thread's clock a turn, and two


@pytest.mark.parametrize(("has_bf16", "given"), [(True, "bf16"), (False, "fp16")])
def test_on_a_gpu_auto_takes_bf16_where_it_is_computed(
    has_bf16: bool, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bf16 needs no loss scaling, so it comes first; emulated bf16 does not count."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: has_bf16)
    assert decide_precision("auto", torch.device("cuda")).format == given


@pytest.mark.parametrize(
    ("asked", "has_bf16", "given", "reason"),
    [
        ("fp16", True, "fp16", "asked for"),
        ("bf16", True, "bf16", "asked for"),
        ("bf16", False, "fp32", "this cuda device has none"),
    ],
)
def test_on_a_gpu_the_user_decides(
    asked: str, has_bf16: bool, given: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as the device can."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: has_bf16)
    precision = decide_precision(asked, torch.device("cuda"))
    assert precision.format == given
    assert reason in precision.reason


def test_autocast_sets_the_format_of_products() -> None:
    """fp32 leaves products alone; the others change their result type."""
    x = torch.ones(2, 2)
    types = {}
    for name in ("fp32", "bf16", "fp16"):
        with Precision(name, "test").autocast(CPU):
            types[name] = (x @ x).dtype
    assert types == {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def test_only_fp16_scales_the_loss() -> None:
    """bf16 has fp32's range, and fp32 needs no help."""
    assert Precision("fp16", "").scaler(CPU).is_enabled()
    assert not Precision("bf16", "").scaler(CPU).is_enabled()
    assert not Precision("fp32", "").scaler(CPU).is_enabled()
