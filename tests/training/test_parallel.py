"""What the processes of one training hand each other; whole trainings are in ``tests/faults``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from tests.toy_setups import toy_job, toy_settings
from tightfit.errors import ArtefactError, MachineError, SettingsError
from tightfit.progress import Progress
from tightfit.training.callbacks import EarlyStop
from tightfit.training.cross_validate import cross_validate
from tightfit.training.distributed_worker import Orders, train_along
from tightfit.training.loop import Loop
from tightfit.training.parallel import Group, Peers, check_parallel, join_peers
from tightfit.training.setup import Counters


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Iterator[Group]:
    """The messages of a group, in one process: it hears itself."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    found = join_peers()
    assert isinstance(found, Group)
    yield found
    if dist.is_initialized():
        dist.destroy_process_group()


def test_alone_by_itself() -> None:
    """Without torchrun nothing is handed to anybody."""
    peers = join_peers()
    assert (type(peers), peers.rank, peers.size) == (Peers, 0, 1)
    assert (peers.rows_of([3, 1, 2]), peers.agree(None), peers.agree(2)) == ([3, 1, 2], None, 2)


@pytest.mark.parametrize("rows", [[], [4], [5, 3, 9, 1, 7]])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_each_row_goes_to_one_process(rows: list[int], size: int) -> None:
    """None twice, none left out, and none has two more than another."""
    shares = []
    for rank in range(size):
        peers = Peers()
        peers.rank, peers.size = rank, size
        shares.append(peers.rows_of(rows))
    assert sorted(row for share in shares for row in share) == sorted(rows)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_gradients_come_back_in_their_places(group: Group) -> None:
    """A tensor without one gets zeros, so that the optimiser steps alike everywhere."""
    parameters = [nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(4))]
    parameters[0].grad = torch.arange(6.0).view(2, 3)
    group.add_gradients(parameters)
    assert torch.equal(parameters[0].grad, torch.arange(6.0).view(2, 3))
    assert parameters[1].grad is not None
    assert torch.equal(parameters[1].grad, torch.zeros(4))


def test_counts_add_to_what_was_there(group: Group) -> None:
    """Whole numbers stay whole, and times are nobody else's."""
    before = Counters(rows=5, tokens=50, loss_sum=1.5, score_sum=2, summed=5, seconds=1.0)
    now = Counters(rows=2**40, tokens=60, loss_sum=2.0, score_sum=3, summed=9, seconds=7.0)
    group.add_counts(now, before)
    assert now == Counters(rows=2**40, tokens=60, loss_sum=2.0, score_sum=3, summed=9, seconds=7.0)
    assert isinstance(now.rows, int)


def test_rows_are_gathered_in_their_order(group: Group) -> None:
    """As one process would have them."""
    values_NK = np.arange(8, dtype=np.float32).reshape(4, 2)
    for peers in (group, Peers()):
        assert np.array_equal(peers.gather(values_NK[peers.rows_of(range(4))], 4), values_NK)


def test_random_states_are_each_ones_own(group: Group) -> None:
    """Restored, the same numbers follow."""
    states = group.random_states()
    first = torch.rand(3)
    group.restore_random_states(states)
    assert torch.equal(torch.rand(3), first)
    assert list(states) == ["peer0.cpu"]


def test_another_number_of_processes_is_refused(group: Group) -> None:
    """One cannot go on with the random numbers of two, nor two with those of one."""
    for peers, states in (
        (Peers(), {"peer0.cpu": torch.get_rng_state()}),
        (group, Peers().random_states()),
        (group, {"peer0.cpu": torch.get_rng_state(), "peer1.cpu": torch.get_rng_state()}),
    ):
        with pytest.raises(ArtefactError, match="another number of processes"):
            peers.restore_random_states(states)


def test_a_silent_peer_is_a_fault_of_the_machine(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 9 and the way on, not a traceback of the network."""

    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("Connection closed by peer\nand a hundred lines more")

    monkeypatch.setattr(dist, "all_reduce", broken)
    with pytest.raises(MachineError, match="does not answer any more") as caught:
        group.agree(1)
    assert caught.value.seen == "Connection closed by peer"
    assert "resume=True" in str(caught.value)


def test_minutes_need_one_process(bert: Path) -> None:
    """What is timed there is the step of one."""
    two = Peers()
    two.size = 2
    config = toy_settings(bert, "train.minutes=5")
    check_parallel(config, Peers())
    with pytest.raises(SettingsError, match="minutes=… times the steps of one process"):
        check_parallel(config, two)


def test_a_worker_ends_and_scores_after_the_same_steps(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stops early stops alone otherwise, and leaves the others to wait for it."""
    setup = cross_validate(toy_job(bert, "train.folds=2", "train.patience=1"), Progress())
    loops: list[Loop] = []
    monkeypatch.setattr(Loop, "fit", lambda loop: loops.append(loop))
    orders = Orders(tmp_path, setup.classifier.plan, setup.decisions, setup.out_of_fold)
    peers = Peers()
    monkeypatch.setattr(peers, "share", lambda _: orders)
    train_along(setup.config, setup.dataset, peers)
    (loop,) = loops
    assert loop.state.setup.out_of_fold is setup.out_of_fold
    assert not loop.state.setup.chooses
    assert any(isinstance(each, EarlyStop) for each in loop.callbacks)
