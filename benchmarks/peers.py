"""What people use instead, written as its documentation shows: the one home of the peers' code.

Run as a process of its own, so that imports, tokenising and peak memory count:

    python -m benchmarks.peers --setup best --data a.jsonl --validation b.jsonl --json out.json
    python -m benchmarks.peers --setup pipeline --batch-size 32 --model merged --data b.jsonl …
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

Answer = Callable[[list[str]], list[int]]
"""Texts to label ids."""

STARTED = time.perf_counter()

GPU_WORKERS = 4
"""Processes that make batches for a GPU, which would wait for one."""

PUBLISHED, BEST, DOCUMENTED = "published", "best", "documented"
SETUPS: dict[str, dict[str, Any]] = {
    PUBLISHED: {
        "per_device_train_batch_size": 16,
        "gradient_accumulation_steps": 2,
        "gradient_checkpointing": True,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
    },
    BEST: {"per_device_train_batch_size": 32, "gradient_accumulation_steps": 1},
    DOCUMENTED: {"lr_scheduler_type": "linear", "weight_decay": 0.0},
}
"""Trainer + PEFT as published (its adapters kept alive), in its fastest settings here, and with
the defaults of both libraries."""


def train_with_trainer(args: argparse.Namespace) -> dict[str, Any]:
    """LoRA on query and value through ``transformers.Trainer``; returns what was measured."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(args.seed)
    tokenizer = AutoTokenizer.from_pretrained(args.model)

    def tokenise(path: str) -> Any:
        rows = Dataset.from_json(path)
        return rows.map(
            lambda batch: tokenizer(batch["text"], truncation=True, max_length=128),
            batched=True,
            remove_columns=["text"],
        )

    train, held = tokenise(args.data), tokenise(args.validation)
    model = AutoModelForSequenceClassification.from_pretrained(
        args.model, num_labels=args.labels, dtype=torch.float32
    )
    if not args.frozen_dropout:
        for module in model.base_model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    targets = ["query", "value"] if model.config.model_type != "mpnet" else ["attn.q", "attn.v"]
    model = get_peft_model(
        model,
        LoraConfig(task_type="SEQ_CLS")
        if args.setup == DOCUMENTED
        else LoraConfig(
            task_type="SEQ_CLS",
            r=4,
            lora_alpha=8,
            lora_dropout=args.adapter_dropout,
            target_modules=targets,
        ),
    )
    usual: dict[str, Any] = {
        "lr_scheduler_type": "cosine",
        "weight_decay": 0.01,
        "train_sampling_strategy": "group_by_length",
    }
    batch = {"per_device_train_batch_size": args.batch} if args.batch else {}
    settings = TrainingArguments(
        output_dir=args.work,
        learning_rate=args.lr,
        num_train_epochs=args.epochs,
        max_steps=args.max_steps or -1,
        warmup_steps=args.warmup,
        eval_strategy="steps" if args.eval_every else "no",
        eval_steps=args.eval_every or None,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
        use_cpu=not torch.cuda.is_available(),
        bf16=args.bf16,
        dataloader_num_workers=GPU_WORKERS if torch.cuda.is_available() else 0,
        seed=args.seed,
        per_device_eval_batch_size=64,
        **(usual if args.setup != DOCUMENTED else {}),
        **SETUPS[args.setup] | batch,
    )
    trainer = Trainer(
        model=model,
        args=settings,
        train_dataset=train,
        eval_dataset=held,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda p: {"accuracy": float((p[0].argmax(1) == p[1]).mean())},
    )
    if args.seconds:
        trainer.add_callback(_stop_after(args.seconds))
    if torch.cuda.is_available():
        trainer.add_callback(_settled_evaluations())
    counted = _count_places(model)
    began, started = time.time(), time.perf_counter()
    steps = trainer.train().global_step
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    evaluations = [row for row in trainer.state.log_history if "eval_accuracy" in row]
    # Evaluations took part of that time, and are charged to nobody; steps are as good as equal.
    step_seconds = (seconds - sum(row["eval_runtime"] for row in evaluations)) / steps
    history = [(row["step"] * step_seconds, row["eval_accuracy"]) for row in evaluations]
    return {
        **{name: int(count) for name, count in counted.items()},
        "format": "bf16" if args.bf16 else "fp32",
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "train_seconds": step_seconds * steps,
        "history": history,
        "began": began,
        "accuracy": trainer.evaluate()["eval_accuracy"],
    }


def predict_with_pipeline(args: argparse.Namespace) -> Answer:
    """``transformers.pipeline`` on an exported folder, as its documentation shows."""
    import torch
    from transformers import pipeline

    classify = pipeline(
        "text-classification",
        model=args.model,
        device=0 if torch.cuda.is_available() else "cpu",
        dtype=torch.bfloat16 if args.bf16 else torch.float32,
    )
    ids = classify.model.config.label2id
    given = {"batch_size": args.batch_size, "truncation": True}
    return lambda some: [ids[each["label"]] for each in classify(some, **given)]


def predict_as_published(args: argparse.Namespace) -> Answer:
    """Every text padded to 256 tokens, in batches."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForSequenceClassification.from_pretrained(args.model).eval()
    model.to("cuda" if torch.cuda.is_available() else "cpu")

    @torch.no_grad()
    def classify(some: list[str]) -> list[int]:
        labels: list[int] = []
        for start in range(0, len(some), args.batch_size):
            batch = some[start : start + args.batch_size]
            tokens = tokenizer(
                batch, padding="max_length", truncation=True, max_length=256, return_tensors="pt"
            )
            labels += model(**tokens.to(model.device)).logits.argmax(1).tolist()
        return labels

    return classify


PREDICT = {"pipeline": predict_with_pipeline, "published-inference": predict_as_published}
"""Set-ups that predict with a finished model."""


def predict(args: argparse.Namespace) -> dict[str, Any]:
    """The labels of all texts, and the seconds from the first text to the last label."""
    lines = Path(args.data).read_text("utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    classify = PREDICT[args.setup](args)
    classify(texts[:4])  # what is set up at first sight is no part of its speed
    started = time.perf_counter()
    labels = classify(texts)
    return {"labels": labels, "seconds": time.perf_counter() - started}


def _stop_after(seconds: float) -> Any:
    """A callback that ends training so long after this process began to import."""
    from transformers import TrainerCallback

    class Stop(TrainerCallback):
        """Looks at the clock after each step."""

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> Any:
            """Ask for the end once the time is up."""
            control.should_training_stop |= time.perf_counter() - STARTED > seconds
            return control

    return Stop()


def _settled_evaluations() -> Any:
    """A callback that lets the GPU finish its steps before an evaluation's clock starts."""
    import torch
    from transformers import TrainerCallback

    class Settle(TrainerCallback):
        """Waits, where an evaluation follows."""

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            """Only then: any other step may go on while the last one computes."""
            if control.should_evaluate:
                torch.cuda.synchronize()

    return Settle()


def _count_places(model: Any) -> dict[str, Any]:
    """Counts, from now on, the rows, tokens and token places that the model is trained on."""
    counted: dict[str, Any] = {"examples": 0, "tokens": 0, "places": 0}

    def count(module: Any, positional: Any, given: dict[str, Any]) -> None:
        if module.training:
            counted["examples"] += len(given["attention_mask"])
            # On a GPU a number would make every step wait: the sum stays where it is.
            counted["tokens"] = counted["tokens"] + given["attention_mask"].sum()
            counted["places"] += given["attention_mask"].numel()

    model.register_forward_pre_hook(count, with_kwargs=True)
    return counted


def main() -> None:
    """Parse the command line, train or predict, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--setup", choices=[*SETUPS, *PREDICT], required=True)
    parser.add_argument("--data", required=True, help="JSON lines with text and label")
    parser.add_argument("--validation", help="the same, for those that train")
    parser.add_argument("--model", required=True, help="a model folder")
    parser.add_argument("--batch-size", type=int, default=32, help="of those that predict")
    parser.add_argument("--batch", type=int, default=0, help="rows of a step; 0: the set-up's own")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--adapter-dropout", type=float, default=0.0)
    parser.add_argument("--no-frozen-dropout", dest="frozen_dropout", action="store_false")
    parser.add_argument("--labels", type=int, default=4)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--max-steps", type=int, default=0)
    parser.add_argument("--warmup", type=float, default=0.06)
    parser.add_argument("--eval-every", type=int, default=0, help="steps; 0 evaluates at the end")
    parser.add_argument("--seconds", type=float, default=0, help="end so long after the start")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--work", default="/tmp/peers", help="Trainer's own folder")
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # of its libraries about one another
    found = predict(args) if args.setup in PREDICT else train_with_trainer(args)
    args.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
