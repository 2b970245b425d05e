"""A starts where the activations are: against a PCA by hand, in every family, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sklearn.decomposition import PCA

from tests.toy_setups import Notes, toy_job, toy_loop
from tests.toys import SMALL
from tightfit.data.batches import collate
from tightfit.model.adapters import adapter_pairs, base_model
from tightfit.training import eva_init
from tightfit.training.eva_init import start_at_eva
from tightfit.training.setup import Setup
from tightfit.training.timing import rehearse

EVA = "adapters.init=eva"
EVERYWHERE = "adapters.targets=query,key,value,attention-output,mlp-in,mlp-out"
FUSED = {"modernbert": "adapters.targets=query,attention-output,mlp-in,mlp-out"}


def inputs_of(setup: Setup, name: str) -> torch.Tensor:
    """What a layer reads of all training rows, padding left out, x_TI."""
    seen: list[torch.Tensor] = []
    layer = base_model(setup.classifier.module).get_submodule(name)
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    batch = collate(setup.train.tokens, list(range(len(setup.train.targets))))
    with torch.no_grad():
        setup.classifier.module.eval()
        setup.classifier.logits(batch)
    hook.remove()
    return seen[0][batch.mask_BL.bool()]


def test_the_rows_of_a_are_principal_components(bert: Path) -> None:
    """Of what the layer reads, to the sign; one batch holds all toy rows."""
    setup = toy_job(bert, EVA, EVERYWHERE)
    start_at_eva(setup, Notes())
    for pair in adapter_pairs(setup.classifier.module):
        wanted_RI = PCA(n_components=4).fit(inputs_of(setup, pair.name).numpy()).components_
        overlap_RR = pair.a_RI.detach() @ torch.from_numpy(wanted_RI).float().T
        torch.testing.assert_close(overlap_RR.abs(), torch.eye(4), atol=2e-3, rtol=0)


def test_many_batches_come_near_to_one(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The components of a PCA in parts span what those of the whole do, nearly."""
    whole, parts = toy_job(bert, EVA), toy_job(bert, EVA)
    start_at_eva(whole, Notes())
    monkeypatch.setattr(eva_init, "BATCH", 12)
    start_at_eva(parts, Notes())
    pairs = zip(*(adapter_pairs(setup.classifier.module) for setup in (whole, parts)), strict=True)
    for one, other in pairs:
        overlap = torch.linalg.svdvals(one.a_RI.detach() @ other.a_RI.detach().T)
        assert overlap.min() > 0.9


@pytest.mark.parametrize("family", SMALL)
def test_every_family(family: str, encoders: Callable[[str], Path]) -> None:
    """Each row of each A has length 1 and is at right angles to the others."""
    setup = toy_job(encoders(family), EVA, FUSED.get(family, EVERYWHERE))
    before = setup.classifier.state()
    start_at_eva(setup, Notes())
    pairs = adapter_pairs(setup.classifier.module)
    for pair in pairs:
        a_RI = pair.a_RI.detach()
        torch.testing.assert_close(a_RI @ a_RI.T, torch.eye(4), atol=1e-4, rtol=0)
    changed = {n for n, p in setup.classifier.state().items() if not torch.equal(before[n], p)}
    assert changed == {f"{pair.name}.lora_A.weight" for pair in pairs}


def test_fewer_tokens_than_ranks(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ranks left over keep their random start."""
    monkeypatch.setattr(eva_init, "MOST_TOKENS", 3)
    setup = toy_job(bert, EVA)
    before = setup.classifier.state()
    start_at_eva(setup, Notes())
    pair = adapter_pairs(setup.classifier.module)[0]
    assert torch.equal(pair.a_RI[3:], before[f"{pair.name}.lora_A.weight"][3:])
    assert not torch.equal(pair.a_RI[:3], before[f"{pair.name}.lora_A.weight"][:3])


def test_nothing_is_drawn_and_the_answers_stay(bert: Path, tmp_path: Path) -> None:
    """B is zero: step 0 scores as without it, and training draws the numbers it would have."""
    state = torch.get_rng_state()
    setup, plain = toy_job(bert, EVA), toy_job(bert)
    torch.set_rng_state(state)
    start_at_eva(setup, Notes())
    assert torch.equal(torch.get_rng_state(), state)
    with_it, without = (toy_loop(j, tmp_path / str(i)).fit() for i, j in enumerate((setup, plain)))
    assert with_it.history[0]["eval_loss"] == pytest.approx(without.history[0]["eval_loss"])
    assert with_it.history[-1]["eval_loss"] != without.history[-1]["eval_loss"]


def test_a_rehearsal_counts_it(bert: Path) -> None:
    """And puts A back where it was."""
    setup = toy_job(bert, EVA, "head.start=random")
    before = setup.classifier.state()
    assert rehearse(setup).startup > 0
    assert all(torch.equal(before[name], p) for name, p in setup.classifier.state().items())
    assert rehearse(toy_job(bert, "head.start=random")).startup < 1e-3
