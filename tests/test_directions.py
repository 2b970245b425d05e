"""A starts where the activations are: against a PCA by hand, in every family, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sklearn.decomposition import PCA

from tests.toy_jobs import Notes, toy_job, toy_loop
from tests.toys import SMALL
from tightfit.data.batches import collate
from tightfit.model.adapters import adapter_pairs, base_model
from tightfit.training import directions
from tightfit.training.directions import start_at_directions
from tightfit.training.job import Job
from tightfit.training.pace import rehearse

EVA = "adapters.init=eva"
EVERYWHERE = "adapters.targets=query,key,value,attention-output,mlp-in,mlp-out"
FUSED = {"modernbert": "adapters.targets=query,attention-output,mlp-in,mlp-out"}


def inputs_of(job: Job, name: str) -> torch.Tensor:
    """What a layer reads of all training rows, padding left out, x_TI."""
    seen: list[torch.Tensor] = []
    layer = base_model(job.classifier.module).get_submodule(name)
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    batch = collate(job.train.tokens, list(range(len(job.train.labels))))
    with torch.no_grad():
        job.classifier.module.eval()
        job.classifier.logits(batch)
    hook.remove()
    return seen[0][batch.mask_BL.bool()]


def test_the_rows_of_a_are_principal_components(bert: Path) -> None:
    """Of what the layer reads, to the sign; one batch holds all toy rows."""
    job = toy_job(bert, EVA, EVERYWHERE)
    start_at_directions(job, Notes())
    for pair in adapter_pairs(job.classifier.module):
        wanted_RI = PCA(n_components=4).fit(inputs_of(job, pair.name).numpy()).components_
        overlap_RR = pair.a_RI.detach() @ torch.from_numpy(wanted_RI).float().T
        torch.testing.assert_close(overlap_RR.abs(), torch.eye(4), atol=2e-3, rtol=0)


def test_many_batches_come_near_to_one(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The components of a PCA in parts span what those of the whole do, nearly."""
    whole, parts = toy_job(bert, EVA), toy_job(bert, EVA)
    start_at_directions(whole, Notes())
    monkeypatch.setattr(directions, "BATCH", 12)
    start_at_directions(parts, Notes())
    pairs = zip(*(adapter_pairs(job.classifier.module) for job in (whole, parts)), strict=True)
    for one, other in pairs:
        overlap = torch.linalg.svdvals(one.a_RI.detach() @ other.a_RI.detach().T)
        assert overlap.min() > 0.9


@pytest.mark.parametrize("family", SMALL)
def test_every_family(family: str, encoders: Callable[[str], Path]) -> None:
    """Each row of each A has length 1 and is at right angles to the others."""
    job = toy_job(encoders(family), EVA, FUSED.get(family, EVERYWHERE))
    before = job.classifier.state()
    start_at_directions(job, Notes())
    pairs = adapter_pairs(job.classifier.module)
    for pair in pairs:
        a_RI = pair.a_RI.detach()
        torch.testing.assert_close(a_RI @ a_RI.T, torch.eye(4), atol=1e-4, rtol=0)
    changed = {n for n, p in job.classifier.state().items() if not torch.equal(before[n], p)}
    assert changed == {f"{pair.name}.lora_A.weight" for pair in pairs}


def test_fewer_tokens_than_ranks(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ranks left over keep their random start."""
    monkeypatch.setattr(directions, "MOST_TOKENS", 3)
    job = toy_job(bert, EVA)
    before = job.classifier.state()
    start_at_directions(job, Notes())
    pair = adapter_pairs(job.classifier.module)[0]
    assert torch.equal(pair.a_RI[3:], before[f"{pair.name}.lora_A.weight"][3:])
    assert not torch.equal(pair.a_RI[:3], before[f"{pair.name}.lora_A.weight"][:3])


def test_nothing_is_drawn_and_the_answers_stay(bert: Path, tmp_path: Path) -> None:
    """B is zero: step 0 scores as without it, and training draws the numbers it would have."""
    state = torch.get_rng_state()
    job, plain = toy_job(bert, EVA), toy_job(bert)
    torch.set_rng_state(state)
    start_at_directions(job, Notes())
    assert torch.equal(torch.get_rng_state(), state)
    with_it, without = (toy_loop(j, tmp_path / str(i)).fit() for i, j in enumerate((job, plain)))
    assert with_it.history[0]["eval_loss"] == pytest.approx(without.history[0]["eval_loss"])
    assert with_it.history[-1]["eval_loss"] != without.history[-1]["eval_loss"]


def test_a_rehearsal_counts_it(bert: Path) -> None:
    """And puts A back where it was."""
    job = toy_job(bert, EVA, "head.start=random")
    before = job.classifier.state()
    assert rehearse(job).beginning > 0
    assert all(torch.equal(before[name], p) for name, p in job.classifier.state().items())
    assert rehearse(toy_job(bert, "head.start=random")).beginning < 1e-3
