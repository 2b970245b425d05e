"""The frozen-prefix cache: the same losses, never a foreign file, never half a file."""

from __future__ import annotations

import errno
import mmap
import signal
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import torch

from tests.fixtures import Encoders
from tests.toy_setups import TEXTS, Notes, ToyLoop, toy_classifier, toy_job, toy_loop
from tightfit.config import Decision
from tightfit.data.batches import collate
from tightfit.data.text_tokenizer import tokenise
from tightfit.data.tokens import Tokens
from tightfit.errors import Interrupted
from tightfit.families import COMPUTED
from tightfit.model import prefix
from tightfit.model.lean import LeanEncoder
from tightfit.model.prefix import fingerprint, prefix_bytes, store_prefix
from tightfit.training.prefix_cache import PREFIX_FOLDER
from tightfit.training.setup import Setup

UPPER = ["adapters.layers=1", "optim.epochs=3", "train.eval_every=1", "optim.lr=1e-2"]
"""One of two layers is frozen; every step is evaluated."""


def encoder_of(folder: Path, *settings: str, dtype: torch.dtype = torch.float32) -> LeanEncoder:
    """A toy with adapters in its upper layer, unless told otherwise."""
    module = toy_classifier(folder, *(settings or ("adapters.layers=1",))).module
    return LeanEncoder(module.eval(), dtype)


def tokens_of(folder: Path, texts: list[str] = TEXTS, length: int = 32) -> Tokens:
    """Rows of several lengths."""
    return tokenise(toy_classifier(folder).tokenizer, texts, length)


def stored_file(folder: Path) -> Path:
    """The only file in a folder."""
    (found,) = folder.iterdir()
    return found


# --- states ----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", COMPUTED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_stored_states_give_the_logits_of_computed_ones(
    family: str, dtype: torch.dtype, encoders: Encoders, tmp_path: Path
) -> None:
    """Padded batches in any order: bf16 to its own rounding, fp32 to that of fp16."""
    encoder, tokens = encoder_of(encoders(family), dtype=dtype), tokens_of(encoders(family))
    states = store_prefix(encoder, tokens, tmp_path, batch=3)
    for rows in ([2, 0, 3], [1], [3, 2, 1, 0]):
        batch = collate(tokens, rows)
        tolerance = 2e-3 if dtype == torch.float32 else 2e-2
        expected, found = (
            encoder.logits(batch),
            encoder.head(encoder.pooled(states.of(batch), batch)),
        )
        torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)


def test_each_row_has_its_own_states_and_zeros_at_padding(bert: Path, tmp_path: Path) -> None:
    """Against the prefix of each row alone, which has no padding."""
    encoder, tokens = encoder_of(bert), tokens_of(bert)
    x_BLH = store_prefix(encoder, tokens, tmp_path, batch=2).of(collate(tokens, range(4)))
    assert x_BLH.dtype == torch.float16
    for row, length in enumerate(tokens.lengths):
        alone = encoder.prefix(collate(tokens, [row]))[0]
        torch.testing.assert_close(x_BLH[row, :length].float(), alone, atol=2e-3, rtol=1e-3)
        assert not x_BLH[row, length:].any()


def test_a_head_alone_keeps_one_state_a_row(bert: Path, tmp_path: Path) -> None:
    """The first token's, since no layer is left that reads the others."""
    encoder, tokens = encoder_of(bert, "adapters.method=none"), tokens_of(bert)
    states = store_prefix(encoder, tokens, tmp_path, batch=2)
    assert prefix_bytes(encoder, tokens) == 4 * 32 * 2
    batch = collate(tokens, [3, 0])
    torch.testing.assert_close(
        encoder.pooled(states.of(batch), batch),
        encoder.pooled(encoder.prefix(batch), batch),
        atol=2e-3,
        rtol=2e-3,
    )


def test_the_file_is_ragged(bert: Path, tmp_path: Path) -> None:
    """A state for every token and none for padding, two bytes a number."""
    encoder, tokens = encoder_of(bert), tokens_of(bert)
    store_prefix(encoder, tokens, tmp_path, batch=4)
    size = int(tokens.lengths.sum()) * 32 * 2
    assert prefix_bytes(encoder, tokens) == size
    assert stored_file(tmp_path).stat().st_size == 64 + size


def test_states_are_read_through_a_memory_map(bert: Path, tmp_path: Path) -> None:
    """A batch takes the memory of its own states, not of all: 2 rows of 400, 1% with the rest."""
    encoder, tokens = encoder_of(bert), tokens_of(bert, TEXTS * 100)
    states = store_prefix(encoder, tokens, tmp_path, batch=64)
    assert isinstance(states._map, mmap.mmap)
    batch = collate(tokens, [7, 201])
    tracemalloc.start()
    states.of(batch)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < prefix_bytes(encoder, tokens) / 20


# --- whose states they are -------------------------------------------------------------------


def other_model(encoder: LeanEncoder, tokens: Tokens) -> tuple[LeanEncoder, Tokens]:
    """One frozen weight differs."""
    weight = next(p for p in encoder.model.base_model.parameters() if not p.requires_grad)
    weight.data[0] += 1
    return encoder, tokens


def other_ids(encoder: LeanEncoder, tokens: Tokens) -> tuple[LeanEncoder, Tokens]:
    """Another tokenizer, or another text: one id differs."""
    ids = tokens.ids.copy()
    ids[3] += 1
    return encoder, replace(tokens, ids=ids)


def other_rows(encoder: LeanEncoder, tokens: Tokens) -> tuple[LeanEncoder, Tokens]:
    """The same texts in another order."""
    return encoder, tokens.select([1, 0, 2, 3])


def other_format(encoder: LeanEncoder, tokens: Tokens) -> tuple[LeanEncoder, Tokens]:
    """The same sizes in bf16."""
    return LeanEncoder(encoder.model, torch.bfloat16), tokens


def other_depth(encoder: LeanEncoder, tokens: Tokens) -> tuple[LeanEncoder, Tokens]:
    """A plan that begins lower."""
    encoder.frozen_depth = 0
    return encoder, tokens


@pytest.mark.parametrize("change", [other_model, other_ids, other_rows, other_format, other_depth])
def test_states_of_another_run_are_never_used(
    change: Callable[..., tuple[LeanEncoder, Tokens]], bert: Path, tmp_path: Path
) -> None:
    """The fingerprint differs, and so does the file; both are right for their own."""
    encoder, tokens = encoder_of(bert), tokens_of(bert)
    store_prefix(encoder, tokens, tmp_path, batch=4)
    before, first = fingerprint(encoder, tokens), stored_file(tmp_path)
    encoder, tokens = change(encoder, tokens)
    assert fingerprint(encoder, tokens) != before
    batch = collate(tokens, range(4))
    found = store_prefix(encoder, tokens, tmp_path, batch=4).of(batch)
    expected = encoder.prefix(batch) * batch.mask_BL[..., None]
    torch.testing.assert_close(found.float(), expected.float(), atol=2e-2, rtol=2e-3)
    assert len(list(tmp_path.iterdir())) == 2
    assert first.exists()


@pytest.mark.parametrize("damage", ["fingerprint", "short", "long"])
def test_a_file_that_is_not_what_its_name_says_is_written_anew(
    damage: str, bert: Path, tmp_path: Path
) -> None:
    """Renamed, cut off, or longer than the rows."""
    encoder, tokens = encoder_of(bert), tokens_of(bert)
    store_prefix(encoder, tokens, tmp_path, batch=4)
    file = stored_file(tmp_path)
    whole = file.read_bytes()
    spoilt = {"fingerprint": b"0" * 64 + b"\0" * (len(whole) - 64), "short": whole[:-2]}
    file.write_bytes(spoilt.get(damage, whole + b"\0\0"))
    store_prefix(encoder, tokens, tmp_path, batch=4)
    assert file.read_bytes() == whole


def test_states_that_are_there_are_not_computed_again(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second call only opens the file, and still counts the rows."""
    encoder, tokens = encoder_of(bert), tokens_of(bert)
    store_prefix(encoder, tokens, tmp_path, batch=4)
    monkeypatch.delattr(LeanEncoder, "prefix")
    told: list[int] = []
    store_prefix(encoder, tokens, tmp_path, batch=4, advance=told.append)
    assert told == [4]


# --- training --------------------------------------------------------------------------------


def trained(
    setup: Setup, folder: Path, *, resume: bool = False, progress: Notes | None = None
) -> tuple[ToyLoop, list[dict[str, Any]]]:
    """The loop after training, and its history without times."""
    loop = toy_loop(setup, folder, progress=progress or Notes())
    rows = loop.fit(resume=resume).history
    return loop, [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def assert_close(one: list[dict[str, Any]], other: list[dict[str, Any]], tolerance: float) -> None:
    """The same rows of history, losses to a tolerance."""
    assert len(one) == len(other)
    for first, second in zip(one, other, strict=True):
        assert first.keys() == second.keys()
        for key in ("step", "epoch", "lr", "rows", "tokens"):
            assert first[key] == second[key]
        for key in ("train_loss", "eval_loss"):
            assert first[key] == pytest.approx(second[key], abs=tolerance)


@pytest.mark.parametrize("plan", ["adapters.layers=1", "adapters.method=none"])
def test_training_from_stored_states_is_the_same_training(
    plan: str, bert: Path, tmp_path: Path
) -> None:
    """Nine steps over three epochs; losses agree to the rounding of fp16."""
    setup = toy_job(bert, *UPPER, plan)
    assert setup.decisions.prefix_cache == Decision("on", ANY)
    cached, kept = trained(setup, tmp_path / "auto")
    setup = toy_job(bert, *UPPER, plan, "train.prefix_cache=off")
    uncached, computed = trained(setup, tmp_path / "off")
    assert_close(kept, computed, 1e-3)
    assert cached.setup.train.states is not None
    assert uncached.setup.train.states is None
    assert 0 < cached.counters.prefix_seconds < cached.counters.train_seconds
    assert uncached.counters.prefix_seconds == 0


def test_the_frozen_layers_run_once_for_each_row(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of training and of validation, however many epochs and evaluations there are."""
    seen: list[int] = []
    whole = LeanEncoder.prefix

    def counted(encoder: LeanEncoder, batch: Any) -> torch.Tensor:
        seen.append(len(batch.ids_BL))
        return whole(encoder, batch)

    monkeypatch.setattr(LeanEncoder, "prefix", counted)
    trained(toy_job(bert, *UPPER), tmp_path)
    assert sum(seen) == 64


def test_stored_states_go_when_training_is_over(bert: Path, tmp_path: Path) -> None:
    """They are large, and the sealed run has no use for them."""
    loop = toy_loop(toy_job(bert, *UPPER), tmp_path)
    there: list[int] = []
    loop.on_row = lambda row: there.append(len(list((tmp_path / PREFIX_FOLDER).iterdir())))
    loop.fit()
    assert set(there) == {2}
    assert not (tmp_path / PREFIX_FOLDER).exists()


def full_disk(*args: Any) -> None:
    """What a disk without space answers."""
    raise OSError(errno.ENOSPC, "No space left on device")


def full_after_a_while(*args: Any) -> Iterator[memoryview]:
    """Some states can be written, the rest cannot."""
    yield memoryview(b"\0\0")
    full_disk()


class FullOnce:
    """Refuses the first time; checkpoints, which come later, find space."""

    def __init__(self) -> None:
        self.left = 1

    def __call__(self, *args: Any) -> None:
        """Write nothing, with an error or without."""
        self.left -= 1
        if self.left == 0:
            full_disk()


@pytest.mark.parametrize(
    ("place", "broken"),
    [
        ("os.posix_fallocate", full_disk),
        ("_computed", full_after_a_while),
        ("os.fsync", FullOnce()),
    ],
)
def test_a_full_disk_means_no_cache_and_one_warning(
    place: str, broken: Any, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training goes on with the very losses of a run without a cache; nothing is left over."""
    _, computed = trained(toy_job(bert, *UPPER, "train.prefix_cache=off"), tmp_path / "off")
    progress = Notes()
    with monkeypatch.context() as patch:
        patch.setattr(f"{prefix.__name__}.{place}", broken, raising=True)
        loop, history = trained(toy_job(bert, *UPPER), tmp_path / "full", progress=progress)
    assert history == computed
    assert len(progress.warned) == 1
    assert "could not be stored (No space left on device); every epoch" in progress.warned[0]
    assert loop.setup.train.states is loop.setup.validation.states is None
    assert not (tmp_path / "full" / PREFIX_FOLDER).exists()


def last_state(loop: ToyLoop) -> dict[str, torch.Tensor]:
    """Everything that training goes on from, as it was after the last step."""
    checkpoint = loop.store.load()
    assert checkpoint is not None
    return checkpoint.tensors


def asking(loop: ToyLoop, step: int) -> ToyLoop:
    """The same loop, which is asked to stop at the evaluation after a step."""

    def ask(row: dict[str, Any]) -> None:
        if row["step"] == step:
            loop.stop.signal = signal.SIGTERM

    loop.on_row = ask
    return loop


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("step", [1, 4])
def test_a_stopped_run_resumes_from_stored_states(
    step: int, lost: bool, bert: Path, tmp_path: Path
) -> None:
    """To the bit, whether the files are still there or have to be made again."""
    straight, expected = trained(toy_job(bert, *UPPER), tmp_path / "straight")
    with pytest.raises(Interrupted, match=f"after step {step} of 9"):
        asking(toy_loop(toy_job(bert, *UPPER), tmp_path / "stopped"), step).fit()
    files = list((tmp_path / "stopped" / PREFIX_FOLDER).iterdir())
    assert len(files) == 2
    for file in files if lost else []:
        file.unlink()
    again, history = trained(toy_job(bert, *UPPER), tmp_path / "stopped", resume=True)
    assert history == expected
    torch.testing.assert_close(last_state(again), last_state(straight), rtol=0, atol=0)


def test_computing_the_states_can_be_stopped(bert: Path, tmp_path: Path) -> None:
    """It may take minutes; no half file is left, and resuming begins at the start."""
    loop = toy_loop(toy_job(bert, *UPPER), tmp_path)
    loop.stop.signal = signal.SIGTERM
    with pytest.raises(Interrupted, match="before the first step") as caught:
        loop.fit()
    assert caught.value.exit_code == 143
    assert list((tmp_path / PREFIX_FOLDER).iterdir()) == []
    fitted = toy_loop(toy_job(bert, *UPPER), tmp_path).fit(resume=True)
    assert [row["step"] for row in fitted.history] == list(range(10))


# --- whether they are kept at all ------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "value", "reason"),
    [
        (UPPER, "on", "1 layers, "),
        ([*UPPER, "adapters.method=none"], "on", "2 layers, 4.1e-06 GB in float16, computed once"),
        ([*UPPER, "train.prefix_cache=off"], "off", "asked for"),
        ([*UPPER, "train.forward=own"], "off", "only the lean forward pass"),
        ([*UPPER, "adapters.layers=all"], "off", "the lowest layer has an adapter"),
        ([*UPPER, "optim.epochs=1"], "off", "no row is seen twice"),
        ([*UPPER, "train.max_steps=3"], "off", "no row is seen twice"),
        ([*UPPER, "train.max_steps=4"], "on", "computed once"),
        ([*UPPER, "train.prefix_cache_gb=1e-6"], "off", "more than train.prefix_cache_gb=1e-06"),
        ([*UPPER, "train.precision=bf16"], "on", "in bfloat16"),
    ],
)
def test_whether_states_are_kept_is_decided_once_with_a_reason(
    settings: list[str], value: str, reason: str, bert: Path
) -> None:
    """On record, and said wherever layers are frozen below the adapters."""
    progress = Notes()
    setup = toy_job(bert, *settings, progress=progress)
    choice = setup.decisions.prefix_cache
    assert choice is not None
    assert (choice.value, reason in choice.reason) == (value, True), choice.reason
    said = [text for text in progress.said if text.startswith("keeping what the frozen")]
    frozen = setup.lean is not None and setup.lean.frozen_depth > 0
    assert len(said) == frozen
    assert all(choice.reason in text for text in said)


def test_the_choice_on_record_is_kept(bert: Path, tmp_path: Path) -> None:
    """A resumed run goes on as it began, whatever it would choose today."""
    setup = toy_job(bert, *UPPER)
    off: Decision[Any] = Decision("off", "the disk was full")
    setup = replace(setup, decisions=replace(setup.decisions, prefix_cache=off))
    loop, _ = trained(setup, tmp_path)
    assert loop.setup.train.states is None
