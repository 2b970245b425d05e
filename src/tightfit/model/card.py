"""The model card: what the adapter folder is, for people and for the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from tightfit.budget.plan import Plan
from tightfit.config import Config
from tightfit.model.locate import Source

LOADING = {
    "lora": """from peft import PeftModel
from transformers import AutoModelForSequenceClassification

labels = {labels}
base = AutoModelForSequenceClassification.from_pretrained(
    {base!r}, num_labels={count}, id2label=labels
)
model = PeftModel.from_pretrained(base, "this folder").eval()""",
    "none": """from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

labels = {labels}
model = AutoModelForSequenceClassification.from_pretrained(
    {base!r}, num_labels={count}, id2label=labels
)
model.load_state_dict(load_file("head.safetensors"), strict=False)""",
    "full": """from transformers import pipeline

classify = pipeline("text-classification", "this folder")""",
}
"""How to load each kind of artefact without tightfit."""


def write_card(
    folder: Path,
    config: Config,
    plan: Plan,
    labels: tuple[str, ...],
    *,
    scores: dict[str, Any],
    source: Source,
) -> None:
    """Write ``README.md`` with metadata that the Hub reads.

    Args:
        folder: of the artefact.
        config: of the run.
        plan: of the run.
        labels: names, in order.
        scores: on the validation rows, as ``metrics.json`` has them.
        source: the base model.
    """
    data = ModelCardData(
        base_model=source.public_name if "/" in source.public_name else None,
        library_name="transformers" if plan.method == "full" else "peft",
        pipeline_tag="text-classification",
        tags=["text-classification", "tightfit"],
    )
    cap = "no cap" if plan.budget is None else f"a cap of {plan.budget:,}"
    accuracy = "{value:.1%} (95% interval {low:.1%} to {high:.1%})".format(**scores["accuracy"])
    loading = LOADING[plan.method].format(
        labels=dict(enumerate(labels)), base=source.public_name, count=len(labels)
    )
    text = f"""---
{data.to_yaml()}
---

# Text classifier on {source.public_name}

{plan.total:,} trainable parameters under {cap}: {plan.adapters:,} in adapters, {plan.head:,} in
the head. Recipe `{config.recipe}`, seed {config.seed}.

| | |
| --- | --- |
| labels, in order | {", ".join(labels)} |
| accuracy on {scores["n"]} validation rows | {accuracy} |
| macro F1 | {scores["macro_f1"]["value"]:.3f} |
| longest text | {config.predict.max_length} tokens |

## Loading it

```python
{loading}
```
"""
    ModelCard(text).save(folder / "README.md")
