"""The published failure, rebuilt: adapters that never learn, and a watch that sees it.

Re-entrant gradient checkpointing gives no gradient to what lies inside a layer whose input needs
none, which is every adapter above frozen embeddings. ``transformers`` 4.51 did that by itself;
release 5 makes the embeddings' output require gradients, so the tests undo that first.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import AutoModelForSequenceClassification

from tests.toy_setups import toy_job, toy_loop
from tightfit.errors import ProofError
from tightfit.model.adapters import base_model
from tightfit.model.encoders import quiet_transformers, recompute_layers
from tightfit.model.proofs import GradientWatch

IDS_BL = torch.tensor([[2, 5, 6, 7, 3], [2, 9, 8, 3, 0]])

# Hugging Face's own means have new names, and the old ones are those of the published run.
pytestmark = pytest.mark.filterwarnings("ignore:`.*gradient_checkpointing:FutureWarning")


def hugging_face(folder: Path) -> PeftModel:
    """RoBERTa and LoRA on query and value, with nothing of ours."""
    torch.manual_seed(0)
    with quiet_transformers():
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    config = LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=8, target_modules=["query", "value"])
    return get_peft_model(model, config)


def with_published_checkpointing(folder: Path) -> PeftModel:
    """The same, with checkpointing as the published run had it."""
    peft_model = hugging_face(folder)
    model: Any = peft_model.get_base_model()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": True})
    model.disable_input_require_grads()
    return peft_model


def gradient_norms(model: nn.Module) -> dict[str, float]:
    """Of everything trainable after one backward pass; 0 where there is no gradient."""
    model.zero_grad()
    model.train()
    with warnings.catch_warnings():
        # What torch says here is what nobody read in the published run.
        warnings.filterwarnings("ignore", "None of the inputs have requires_grad", UserWarning)
        logits_BK = model(input_ids=IDS_BL, attention_mask=(IDS_BL != 0).long()).logits
        logits_BK.square().sum().backward()
    trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
    return {n: 0.0 if p.grad is None else float(p.grad.norm()) for n, p in trainable.items()}


def three_steps(model: nn.Module, watch: GradientWatch) -> None:
    """Plain PyTorch under a watch."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    for _ in range(3):
        gradient_norms(model)
        optimizer.step()
        watch.after_step(1e-3)


def adapters_and_head(norms: dict[str, float]) -> tuple[list[float], list[float]]:
    """The norms of B matrices, and those of the head."""
    return (
        [norm for name, norm in norms.items() if "lora_B" in name],
        [norm for name, norm in norms.items() if "lora_" not in name],
    )


def test_hugging_face_s_own_means_leave_every_adapter_dead(roberta: Path) -> None:
    """No B has a gradient and all of the head has one: training looks as if it worked."""
    b_norms, head_norms = adapters_and_head(gradient_norms(with_published_checkpointing(roberta)))
    assert b_norms == [0.0] * 4
    assert len(head_norms) == 4
    assert min(head_norms) > 0
    alive, _ = adapters_and_head(gradient_norms(hugging_face(roberta)))
    assert min(alive) > 0


def test_the_watch_sees_it_and_names_the_cause(roberta: Path) -> None:
    """Three steps of plain PyTorch are enough."""
    model = with_published_checkpointing(roberta)
    tensors = {n: p for n, p in model.named_parameters() if p.requires_grad}
    watch = GradientWatch(tensors, late=[name for name in tensors if "lora_A" in name])
    with pytest.raises(ProofError, match="4 of 12 trainable tensors got no gradient") as caught:
        three_steps(model, watch)
    assert re.search(r"layer\.0\.attention\.self\.query\.lora_B", str(caught.value.seen))
    assert "likely cause: the graph is cut" in str(caught.value.next_step)
    assert "re-entrant gradient checkpointing" in str(caught.value.next_step)


def test_without_checkpointing_the_watch_is_content(roberta: Path) -> None:
    """The same model and the same steps, and no complaint: the watch does not cry wolf."""
    model = hugging_face(roberta)
    tensors = {n: p for n, p in model.named_parameters() if p.requires_grad}
    watch = GradientWatch(tensors, late=[name for name in tensors if "lora_A" in name])
    three_steps(model, watch)
    assert watch.finish().ok


def test_our_own_re_entrant_form_gives_the_same_dead_picture(roberta: Path) -> None:
    """Tensor by tensor, zero where Hugging Face's is zero and equal where it is not."""
    theirs = with_published_checkpointing(roberta)
    ours = hugging_face(roberta)
    recompute_layers(ours.get_base_model(), reentrant=True)
    # Dropout draws the same numbers in both, from the same seed.
    torch.manual_seed(1)
    expected = gradient_norms(theirs)
    torch.manual_seed(1)
    assert gradient_norms(ours) == pytest.approx(expected, rel=1e-5)


def test_the_form_that_tightfit_uses_gives_the_gradients_of_none_at_all(roberta: Path) -> None:
    """All of them, to 1e-6, with the dropouts on."""
    plain, saving = hugging_face(roberta), hugging_face(roberta)
    recompute_layers(saving.get_base_model(), reentrant=False)
    for model in (plain, saving):
        torch.manual_seed(1)
        gradient_norms(model)
    for (name, p), (_, q) in zip(plain.named_parameters(), saving.named_parameters(), strict=True):
        if p.requires_grad:
            assert p.grad is not None
            torch.testing.assert_close(q.grad, p.grad, rtol=0, atol=1e-6, msg=name)


def test_undeclared_the_re_entrant_form_stops_training(roberta: Path, tmp_path: Path) -> None:
    """Whoever brings it in by another way than the recipe is told after three steps."""
    setup = toy_job(roberta, "train.forward=own")
    recompute_layers(base_model(setup.classifier.module), reentrant=True)
    loop = toy_loop(setup, tmp_path)
    with pytest.raises(ProofError, match="4 of 12 trainable tensors got no gradient in 3 steps"):
        loop.fit()
    assert loop.loop.watch.report().ok is False
