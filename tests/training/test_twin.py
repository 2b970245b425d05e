"""Training agrees with an obvious twin: Hugging Face's model, PEFT, and a loop written out."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModelForSequenceClassification, get_cosine_schedule_with_warmup

from tests.toy_setups import toy_job, toy_loop
from tests.toys import toy_encoder
from tightfit.data.batch_order import batch_order
from tightfit.model.encoders import quiet_transformers
from tightfit.training.setup import Setup

STEPS = 50
SETTINGS = [
    *("optim.lr=2e-2", "optim.warmup_steps=5", "optim.weight_decay=0.1", "optim.clip=0.5"),
    # 48 rows in batches of 5 and steps of 3 batches: the last batch and the last step are ragged.
    *("optim.batch=5", "optim.accumulate=3", "optim.epochs=20", "optim.label_smoothing=0.1"),
    *("model.frozen_dropout=false", "adapters.dropout=0", f"train.max_steps={STEPS}"),
    *("train.eval_every=1", "train.precision=fp32"),
]
NO_DROPOUT: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
QUIET = {name: NO_DROPOUT for name in ("bert", "roberta", "mpnet")} | {
    "distilbert": {"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0}
}
QUERY_AND_VALUE = {
    "bert": ["query", "value"],
    "roberta": ["query", "value"],
    "mpnet": ["q", "v"],
    "distilbert": ["q_lin", "v_lin"],
}
FORWARD = {"own": "own", "recomputed": "own", "lean": "auto"}


def plain_name(name: str) -> str:
    """Under which name PEFT saves a tensor."""
    for part in ("base_model.model.", ".modules_to_save", ".default"):
        name = name.replace(part, "")
    return name


def twin_model(folder: Path, start: dict[str, torch.Tensor]) -> nn.Module:
    """PEFT's own model with the same trainable weights."""
    with quiet_transformers(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
        names = QUERY_AND_VALUE[model.config.model_type]
        lora = LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=8, target_modules=names)
        twin = get_peft_model(model, lora)
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(start[plain_name(name)])
    return twin.train()


def twin_optimizer(twin: nn.Module) -> torch.optim.AdamW:
    """No decay on biases, as the Trainer of ``transformers`` has it."""
    trainable = {n: p for n, p in twin.named_parameters() if p.requires_grad}
    biases = [p for n, p in trainable.items() if n.endswith("bias")]
    rest = [p for n, p in trainable.items() if not n.endswith("bias")]
    return torch.optim.AdamW(
        [{"params": rest, "weight_decay": 0.1}, {"params": biases, "weight_decay": 0.0}], lr=2e-2
    )


def steps_of(job: Setup) -> list[list[list[int]]]:
    """The batches of each optimiser step, epoch after epoch."""
    steps: list[list[list[int]]] = []
    for epoch in range(STEPS):
        order = batch_order(
            job.train.tokens.lengths, batch=5, seed=42, epoch=epoch, group_by_length=True
        )
        steps += [order[i : i + 3] for i in range(0, len(order), 3)]
    return steps[:STEPS]


def padded(job: Setup, rows: list[int]) -> dict[str, torch.Tensor]:
    """What the tokenizer gives for a batch of ids."""
    tokens = job.train.tokens
    texts = [tokens.ids[tokens.offsets[r] : tokens.offsets[r + 1]].tolist() for r in rows]
    return dict(job.classifier.tokenizer.pad({"input_ids": texts}, return_tensors="pt"))


def twin_losses(job: Setup, folder: Path) -> list[float]:
    """The mean loss of each step's rows, before the step."""
    twin = twin_model(folder, job.classifier.state())
    optimizer = twin_optimizer(twin)
    scheduler = get_cosine_schedule_with_warmup(optimizer, 5, STEPS)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1, reduction="sum")
    losses = []
    for batches in steps_of(job):
        rows_in_step = sum(map(len, batches))
        optimizer.zero_grad()
        losses.append(0.0)
        for rows in batches:
            labels = torch.tensor([job.train.targets[row] for row in rows])
            loss = loss_of(twin(**padded(job, rows)).logits, labels) / rows_in_step
            loss.backward()
            losses[-1] += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.5)
        optimizer.step()
        scheduler.step()
    return losses


@pytest.mark.parametrize(
    ("family", "forward"),
    [("roberta", "own"), ("roberta", "recomputed"), *((family, "lean") for family in QUIET)],
)
def test_fifty_steps_agree_with_the_twin(family: str, forward: str, tmp_path: Path) -> None:
    """Accumulation, clipping, decay, smoothing, schedule and the order of batches, to 1e-5.

    The losses fall by far more than that, so agreement is not that of two models standing still.
    """
    folder = toy_encoder(tmp_path / "encoder", family, **QUIET[family])
    checkpointing = "on" if forward == "recomputed" else "off"
    ways = [f"train.checkpointing={checkpointing}", f"train.forward={FORWARD[forward]}"]
    job = toy_job(folder, *SETTINGS, *ways, recipe="paper")
    assert (job.lean is not None) == (forward == "lean")
    expected = twin_losses(job, folder)
    history = toy_loop(job, tmp_path / "checkpoints").fit().history
    assert [row["train_loss"] for row in history[1:]] == pytest.approx(expected, rel=0, abs=1e-5)
    assert expected[0] - min(expected) > 0.2
