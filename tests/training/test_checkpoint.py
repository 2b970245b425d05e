"""Checkpoints: every tensor comes back, damage is told, and a full disk leaves no half."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tightfit.errors import ArtefactError, MachineError
from tightfit.training import checkpoint as module
from tightfit.training.checkpoint import (
    DIGESTS,
    STATE,
    TENSORS,
    Checkpoint,
    CheckpointStore,
    pack_optimizer,
    random_states,
    restore_random_states,
    unpack_optimizer,
)


def made_up() -> Checkpoint:
    """Tensors of several types and shapes, one of them not contiguous, and plain values."""
    torch.manual_seed(0)
    tensors = {
        "trainable/a.weight": torch.randn(3, 4).T,
        "optimizer/0/step": torch.tensor(7.0),
        "random/cpu": torch.get_rng_state(),
        "best/half": torch.randn(2).bfloat16(),
        "best/empty": torch.zeros(0),
    }
    return Checkpoint(tensors, {"step": 7, "history": [{"loss": 0.1 + 0.2, "none": None}]})


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    """A store in a folder that does not exist yet."""
    return CheckpointStore(tmp_path / "run" / "checkpoints")


def names(store: CheckpointStore) -> list[str]:
    """What lies in the store's folder."""
    return sorted(path.name for path in store.folder.iterdir())


def test_every_tensor_and_value_comes_back(store: CheckpointStore) -> None:
    """Bit for bit, types and shapes included."""
    store.save(7, made_up())
    found = store.load()
    assert found is not None
    assert found.state == made_up().state
    assert found.tensors.keys() == made_up().tensors.keys()
    for name, tensor in made_up().tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor), name


def test_a_group_is_taken_by_its_prefix() -> None:
    """The whole first part, and the rest of the name as it was."""
    checkpoint = Checkpoint({"best/a/b": torch.ones(1), "bestial/a": torch.ones(1)}, {})
    assert list(checkpoint.group("best")) == ["a/b"]


def test_nothing_is_found_before_the_first(store: CheckpointStore) -> None:
    """Also when the folder is not there."""
    assert store.load() is None


def test_older_ones_are_removed(store: CheckpointStore) -> None:
    """After the newer one is complete."""
    for step in (5, 10, 200):
        store.save(step, made_up())
    assert names(store) == ["step-00000200"]


def test_the_newest_is_loaded(store: CheckpointStore) -> None:
    """By number: names are padded so that they sort."""
    for step in (9, 10, 100):
        store.save(step, Checkpoint({}, {"step": step}))
    found = store.load()
    assert found is not None
    assert found.state["step"] == 100


def test_a_step_can_be_written_again(store: CheckpointStore) -> None:
    """Whoever resumes from it may be stopped at the same step."""
    store.save(5, Checkpoint({}, {"again": False}))
    store.save(5, Checkpoint({}, {"again": True}))
    found = store.load()
    assert found is not None
    assert found.state == {"again": True}


def test_no_pickle_is_written(store: CheckpointStore) -> None:
    """Tensors in safetensors, the rest in JSON."""
    store.save(1, made_up())
    folder = store.folder / "step-00000001"
    assert sorted(path.name for path in folder.iterdir()) == [DIGESTS, STATE, TENSORS]
    assert json.loads((folder / STATE).read_text()) == made_up().state


@pytest.mark.parametrize("name", [TENSORS, STATE, DIGESTS])
@pytest.mark.parametrize("fault", ["missing", "cut", "empty", "noise", "one bit"])
def test_damage_is_told(name: str, fault: str, store: CheckpointStore) -> None:
    """Whatever happened to a file, with the way out."""
    store.save(3, made_up())
    file = store.folder / "step-00000003" / name
    content = file.read_bytes()
    spoilt = {"cut": content[:-9], "empty": b"", "noise": b"\xff" * 64}
    spoilt["one bit"] = content[:-4] + bytes([content[-4] ^ 1]) + content[-3:]
    file.unlink()
    if fault in spoilt:
        file.write_bytes(spoilt[fault])
    with pytest.raises(ArtefactError, match="the checkpoint is damaged") as caught:
        store.load()
    assert "step-00000003" in str(caught.value.seen)
    assert "--overwrite" in str(caught.value.next_step)


def full_disk(*args: Any, **kwargs: Any) -> None:
    """What the system says when no byte is left."""
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["save_file", "Path.write_text", "Path.rename"])
def test_a_full_disk_leaves_the_older_checkpoint(
    where: str, store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whatever point it is full; no part of the new one stays."""
    store.save(1, made_up())
    monkeypatch.setattr(f"{module.__name__}.{where}", full_disk)
    with pytest.raises(MachineError, match="could not be written") as caught:
        store.save(2, made_up())
    monkeypatch.undo()
    assert "No space left on device" in str(caught.value)
    assert "resume=True" in str(caught.value)
    assert names(store) == ["step-00000001"]
    assert store.load() is not None


def test_a_folder_that_cannot_be_made_is_a_fault_of_the_machine(tmp_path: Path) -> None:
    """Such as one below a file."""
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match="could not be written"):
        CheckpointStore(tmp_path / "file" / "checkpoints").save(1, made_up())


def test_what_a_crash_left_half_written_is_passed_over(store: CheckpointStore) -> None:
    """It is neither loaded nor in the way."""
    store.save(1, made_up())
    (store.folder / "step-00000002.partial").mkdir()
    found = store.load()
    assert found is not None
    assert found.state["step"] == 7
    store.save(2, made_up())
    assert names(store) == ["step-00000002"]


def test_clearing_removes_the_folder(store: CheckpointStore) -> None:
    """And may be repeated."""
    store.save(1, made_up())
    store.clear()
    store.clear()
    assert store.load() is None


def trained(steps: int) -> tuple[list[nn.Parameter], torch.optim.AdamW]:
    """Two tensors and their optimiser, after some steps of made-up gradients."""
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(3, 2)), nn.Parameter(torch.randn(2))]
    optimizer = torch.optim.AdamW(
        [{"params": parameters[:1], "weight_decay": 0.1}, {"params": parameters[1:]}], lr=0.1
    )
    advance(parameters, optimizer, range(steps))
    return parameters, optimizer


def advance(parameters: list[nn.Parameter], optimizer: torch.optim.AdamW, steps: range) -> None:
    """Take the given steps; each has gradients of its own."""
    for step in steps:
        for parameter in parameters:
            parameter.grad = torch.full_like(parameter, 1.0 + step)
        optimizer.step()


def test_an_optimiser_goes_on_bit_for_bit(store: CheckpointStore) -> None:
    """Three steps, saved, loaded into a fresh optimiser, and four more: as seven at once."""
    straight, _ = trained(7)
    parameters, optimizer = trained(3)
    store.save(
        3, Checkpoint({f"optimizer/{n}": t for n, t in pack_optimizer(optimizer).items()}, {})
    )
    found = store.load()
    assert found is not None
    fresh = torch.optim.AdamW([{"params": [p]} for p in parameters], lr=0.1)
    fresh.param_groups[0]["weight_decay"] = 0.1
    unpack_optimizer(fresh, found.group("optimizer"))
    advance(parameters, fresh, range(3, 7))
    assert all(torch.equal(a, b) for a, b in zip(parameters, straight, strict=True))


def test_an_optimiser_before_its_first_step_is_empty(store: CheckpointStore) -> None:
    """There is nothing to keep, and putting nothing back does no harm."""
    _, optimizer = trained(0)
    assert pack_optimizer(optimizer) == {}
    unpack_optimizer(optimizer, {})
    assert optimizer.state_dict()["state"] == {}


def test_random_numbers_go_on_where_they_were() -> None:
    """What would have been drawn is drawn."""
    torch.manual_seed(3)
    torch.rand(5)
    states = random_states()
    wanted = torch.rand(5)
    restore_random_states(states)
    assert torch.equal(torch.rand(5), wanted)


def test_random_numbers_of_another_machines_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun on the CPU or with fewer GPUs, a training goes on; each GPU gets what is its own."""
    restored = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, i: restored.append((i, state)))
    cpu, first = torch.get_rng_state(), torch.zeros(1)
    restore_random_states({"cpu": cpu})
    restore_random_states({"cpu": cpu, "cuda0": first, "cuda7": first})
    assert restored == [(0, first)]
