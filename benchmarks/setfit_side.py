"""SetFit as its few-shot scripts run it: run by a Python of its own, which has no tightfit.

    python benchmarks/setfit_side.py --train T.jsonl --held H.jsonl --model FOLDER --json OUT

20 pairs a row of each kind (``num_iterations``, as in its published runs), one epoch, batches of
16, then logistic regression. The encoder is put together as the Hub's ``all-MiniLM-L6-v2`` is:
mean pooling over at most 256 tokens, then embeddings of length 1.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

STARTED = time.perf_counter()


def main() -> None:
    """Train, take the time, and score."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("train", "held", "model", "json"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=42)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, models
    from setfit import SetFitModel, Trainer, TrainingArguments
    from sklearn.linear_model import LogisticRegression

    transformer = models.Transformer(str(args.model), max_seq_length=256)
    pooling = models.Pooling(transformer.get_word_embedding_dimension(), pooling_mode="mean")
    body = SentenceTransformer(modules=[transformer, pooling, models.Normalize()], device="cpu")
    model = SetFitModel(model_body=body, model_head=LogisticRegression())
    train, held = (
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in (args.train, args.held)
    )
    settings = TrainingArguments(
        num_iterations=20,
        num_epochs=1,
        batch_size=16,
        seed=args.seed,
        report_to="none",
        output_dir=str(args.json.with_suffix(".work")),
        save_strategy="no",
    )
    Trainer(model=model, args=settings, train_dataset=Dataset.from_list(train)).train()
    seconds = time.perf_counter() - STARTED
    said = model.predict([row["text"] for row in held], batch_size=64, as_numpy=True)
    right = sum(int(a) == row["label"] for a, row in zip(said, held, strict=True))
    size = sum(p.numel() for p in body.parameters())
    head = model.model_head.coef_.size + model.model_head.intercept_.size
    found = {"right": right, "rows": len(held), "seconds": seconds, "parameters": size + head}
    args.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
