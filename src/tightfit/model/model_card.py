"""The model card: what the artefact is, for people and for the Hub."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from tightfit.budget.parameter_plan import Plan
from tightfit.config import Config, Decisions
from tightfit.config.sections import Contrastive
from tightfit.data.facts import DataFacts
from tightfit.data.hub import HUB_PREFIX
from tightfit.display import UNDEFINED, constant_words, score_name, score_value, weakest_label
from tightfit.errors import first_few
from tightfit.metrics.interval import TaskScores
from tightfit.model.locate import Source
from tightfit.tasks import Task

LOADING = {
    "peft": """from peft import PeftModel
from transformers import AutoModelForSequenceClassification

labels = {labels}
base = AutoModelForSequenceClassification.from_pretrained(
    {base!r}, num_labels={count}, id2label=labels, ignore_mismatched_sizes=True
)
model = PeftModel.from_pretrained(base, {folder!r}).eval()""",
    "head": """from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

labels = {labels}
model = AutoModelForSequenceClassification.from_pretrained(
    {base!r}, num_labels={count}, id2label=labels, ignore_mismatched_sizes=True{layers}
)
found = model.load_state_dict(load_file({folder!r} + "/head.safetensors"), strict=False)
assert not found.unexpected_keys
model.eval()""",
    "model": """from transformers import pipeline

classify = pipeline("text-classification", {folder!r}, truncation=True)""",
}
"""How to load each form of artefact without tightfit."""

NOT_LOADABLE = """# The head reads the mean of all tokens, by a block that PEFT cannot build here:
# loading this folder with it is an error. A copy that transformers loads is made by
#   tightfit export RUN --format merged --out FOLDER"""

STARTS: Mapping[str, str] = {
    "pissa": ", started at the weights' own leading singular vectors (PiSSA)",
    "eva": ", started at the leading directions of activations (EVA)",
}
"""Where adapters started, unless at random."""

LONGER: Mapping[str, str] = {
    "head": "of a longer text the beginning is read",
    "head+tail": "of a longer text beginning and end are read, which is not what the tokenizer "
    "alone does",
    "windows": "a longer text is read in windows, whose logits are averaged, which the code below "
    "does not do",
}
"""What becomes of texts that are longer than the longest, by what the data decided."""

LISTED_LABELS = 50
"""More label names than that are left to the adapter's own files."""


def loading_code(plan: Plan, labels: Sequence[str], base: str, folder: str) -> str:
    """Python that loads the artefact without tightfit.

    Args:
        plan: of the run.
        labels: names, in order.
        base: name or folder of the base model.
        folder: of the artefact, as the code should say it.
    """
    if plan.record.form == "peft" and not plan.peft_loads:
        return NOT_LOADABLE
    names, layers = dict(enumerate(labels)), ""
    if plan.mean_block:
        # The block's place, counted from 0, is the number of layers below it.
        below = next(part for part in plan.mean_block[0].split(".") if part.isdigit())
        layers = f", num_hidden_layers={int(below) + 1}"
    return LOADING[plan.record.form].format(
        labels=names, base=base, count=len(names), folder=folder, layers=layers
    )


def write_card(
    folder: Path,
    config: Config,
    plan: Plan,
    task: Task,
    *,
    decisions: Decisions,
    scores: TaskScores | None,
    source: Source,
    steps: int,
    data: DataFacts | None = None,
    proofs: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write ``README.md`` with metadata that the Hub reads.

    Args:
        folder: of the artefact.
        config: of the run.
        plan: of the run.
        task: what an answer is.
        decisions: of the run.
        scores: on the validation rows, as ``metrics.json`` has them; None where there are none.
        source: the base model.
        steps: optimiser steps that were taken.
        data: where the rows came from; None where that is not known.
        proofs: as ``proofs.json`` has them; None where there were none.
    """
    parts = [
        _opening(config, plan, source),
        "## Results\n\n" + _results(decisions, task, scores, data),
        "## Loading it\n\n```python\n"
        + loading_code(plan, task.names, source.public_name, "path/to/this/folder")
        + "\n```",
        "## Training\n\n" + _training(config, plan, _how(config, task, decisions, steps), data),
        "## Proofs\n\n" + _proofs(proofs, _kept(config)) if proofs else "",
        "## Limits\n\n" + _limits(task, scores, data),
    ]
    metadata = _metadata(plan, scores, source, data)
    text = "\n\n".join(part for part in parts if part)
    ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n{text}\n").save(folder / "README.md")


def _metadata(
    plan: Plan, scores: TaskScores | None, source: Source, data: DataFacts | None
) -> ModelCardData:
    origin = data.validation_source if data else ""
    name = _public(origin) or "validation rows"
    rows = {
        "task_type": "text-classification",
        "dataset_name": name,
        "dataset_type": name if origin.startswith(HUB_PREFIX) else "text",
        "dataset_split": "cross-validation" if _crossed(data) else "validation",
    }
    results = [
        EvalResult(metric_type=kind, metric_name=metric, metric_value=round(value, 6), **rows)
        for kind, metric, value in (
            ("f1" if name.endswith("_f1") else name, _called(name), each.value)
            for name, each in (scores.headline() if scores else {}).items()
            if each is not None
        )
    ]
    is_peft = plan.record.form == "peft"
    return ModelCardData(
        model_name=f"{Path(source.public_name).name} text classifier",
        # A folder on somebody's disk is no model of the Hub.
        base_model=source.public_name if _is_hub_name(source) else None,
        base_model_relation="adapter" if is_peft else "finetune",
        library_name="peft" if is_peft else "transformers",
        pipeline_tag="text-classification",
        tags=["text-classification", "tightfit", *([plan.method] if is_peft else [])],
        eval_results=results or None,
    )


def _called(name: str) -> str:
    words = score_name(name)
    return words[:1].upper() + words[1:]


def _opening(config: Config, plan: Plan, source: Source) -> str:
    cap = "no cap" if plan.budget is None else f"a cap of {plan.budget:,}"
    name = source.public_name if _is_hub_name(source) else Path(source.public_name).name
    return (
        f"# Text classifier on {_plain(name)}\n\n"
        f"{plan.total:,} trainable parameters under {cap}: {plan.adapters:,} in "
        f"{plan.record.where}, {plan.head:,} in the head"
        + (
            f", {plan.side.parameters:,} in a side head, which plain `transformers` leaves out"
            if plan.side
            else ""
        )
        + ". "
        f"Made with tightfit, recipe `{config.recipe}`, seed {config.seed}."
        + (" It reads pairs of texts, the first and the second." if config.data.pair else "")
    )


def _results(
    decisions: Decisions,
    task: Task,
    scores: TaskScores | None,
    data: DataFacts | None,
) -> str:
    names = first_few([_plain(name) for name in task.names], LISTED_LABELS)
    answer = f"| labels, in order | {names} |"
    if not task.calibrates:
        answer = "| answer | a rating: {1:.6g} + {0:.6g} times the output of the head |".format(
            *task.unit
        )
    sample = "" if decisions.scored_rows is None else " of the"
    longer = LONGER[decisions.long_text.value]
    measured = "| accuracy | unknown: no row with a label was at hand |"
    if scores is not None:
        (first, best), *others = scores.headline().items()
        score = UNDEFINED
        if best is not None:
            value, low, high = (score_value(first, x) for x in (best.value, best.low, best.high))
            score = f"{value} (95% interval {low} to {high})"
        below = "".join(
            f"\n| {score_name(name)} | {each.value:.3f} |" for name, each in others if each
        )
        rows = f"{scores.n:,}{sample} {_scored_rows(data)}"
        measured = f"| {score_name(first)} on {rows} | {score} |{below}"
    return f"""| | |
| --- | --- |
{answer}
{measured}
| longest text | {decisions.predict_max_length.value} tokens; {longer} |"""


def _scored_rows(data: DataFacts | None) -> str:
    return "rows, each by trainings that did not see it" if _crossed(data) else "validation rows"


def _crossed(data: DataFacts | None) -> bool:
    """Whether the scores are those of a cross-validation, by which no step was chosen."""
    return bool(data and data.folds)


def _how(config: Config, task: Task, decisions: Decisions, steps: int) -> str:
    """The optimiser and its loss."""
    optim, few = config.optim, config.contrastive
    match decisions.objective.value if decisions.objective else "cross-entropy":
        case "probe":
            solved = "Logistic regression" if task.one_class else "A ridge regression"
            return f"{solved} on the frozen encoder, no steps"
        case "contrastive":
            rows = decisions.class_rows  # which runs of older versions do not have
            drawn = f" of up to {rows.value} rows a class" if rows else ""
            return (
                f"{_contrastive(few)}, {steps:,} steps{drawn}; then logistic regression as the head"
            )
    batch = optim.batch * optim.accumulate
    how = f"AdamW, rate {optim.lr:g}, {_extent(config, decisions, steps)}, batch {batch}"
    if decisions.objective and decisions.objective.value == "contrastive-first":
        how = f"{_contrastive(few)}; then cross-entropy: {how}"
    return how + "; then logistic regression as the head" * decisions.head_solved_anew


def _contrastive(few: Contrastive) -> str:
    return (
        f"Supervised contrastive loss (arXiv:2004.11362) of temperature {few.temperature:g}, "
        f"AdamW, rate {few.lr:g}"
    )


def _training(config: Config, plan: Plan, how: str, data: DataFacts | None) -> str:
    if plan.layers:
        adapters, kind = config.adapters, plan.layers[0].kind
        ranks = dict.fromkeys(str(pick(x.rank for x in plan.layers)) for pick in (min, max))
        duties = dict.fromkeys(duty for layer in plan.layers for duty in layer.duties)
        how += (
            f"; {kind.title} of rank {' to '.join(ranks)} and alpha {adapters.alpha:g} (over "
            f"{'the root of the rank' if adapters.rslora else 'the rank'}) on "
            f"{', '.join(duties)}" + STARTS.get(adapters.init, "")
        )
    how += _head(plan) + "; the head reads the mean of all tokens" * bool(plan.mean_block)
    if data is None:
        return f"{how}."
    if data.sentences:
        pool = f", and {data.unlabelled:,} texts without a label" * bool(data.unlabelled)
        listed = "; ".join(map(_plain, data.sentences[:LISTED_LABELS]))
        return f"One sentence a label ({listed}){pool}; no row with a label. {how}."
    counts = first_few(
        [f"{_plain(name)} {count:,}" for name, count in data.train_counts.items()], LISTED_LABELS
    )
    held = f"{data.validation_rows:,} rows to validate on"
    if _crossed(data):
        held = f"scored by cross-validation in {data.folds} parts"
    return f"{data.train_rows:,} rows of {_plain(_public(data.source))} ({counts}); {held}. {how}."


def _head(plan: Plan) -> str:
    """Which part of the head trains, where that is not simply all of it."""
    output = plan.head_layers[-1]
    rank = f", of rank {output.rank}" if output.rank is not None else ""
    if plan.frozen_constants:
        return f"; of the head the output layer alone{rank}, behind a dense layer that stands still"
    return f"; the head's output layer{rank}" if rank else ""


def _extent(config: Config, decisions: Decisions, steps: int) -> str:
    """How long it trained: in epochs, unless a limit of steps or time may have cut it short."""
    limits = (config.train.max_steps, config.train.patience, decisions.max_steps)
    if decisions.epochs is None or any(limit is not None for limit in limits):
        return f"{steps:,} steps"
    return f"{decisions.epochs.value:g} epochs"


def _kept(config: Config) -> str:
    """What it means that the start was kept."""
    if config.head.start == "run":
        return "; no further step did better than what the run before knew, which was kept"
    return "; no step did better than the start, which was kept"


def _proofs(proofs: Mapping[str, Mapping[str, Any]], kept: str) -> str:
    return "\n".join(
        f"- {name.replace('_', ' ')}: "
        + (
            "holds"
            if proof["ok"]
            else "does not hold" + ", as declared" * bool(proof.get("expected"))
        )
        + kept * bool(proof.get("kept_start"))
        for name, proof in proofs.items()
    )


def _limits(task: Task, scores: TaskScores | None, data: DataFacts | None) -> str:
    always = (
        f"{task.limits} The weights of the base model keep their own licence; this card claims "
        "none for the adapter."
    )
    if scores is None:
        return (
            "Nobody has measured how often its answers are right; score it on rows of your own "
            f"before you rely on them. {always}"
        )
    weakest, _ = weakest_label(scores)
    constant = constant_words(scores)
    words = f"It is {_plain(constant)}. " if constant else ""
    if weakest is not None:
        words += f"Its weakest label is {_plain(weakest.name)} (F1 {weakest.f1.value:.2f}). "
    first = next(iter(scores.headline()))
    like = "the validation rows, on which the best step was chosen"
    if _crossed(data):
        like = "the training rows, by cross-validation"
    return (
        f"The {score_name(first)} is that of rows like {like}; other sources, times and languages "
        "were not measured. "
        f"{words}{always}"
    )


def _public(source: str) -> str:
    """A data set's name on the Hub, or a file's name: whose disk it was on is nobody's business."""
    if source.startswith(HUB_PREFIX):
        return re.split("[@:]", source.removeprefix(HUB_PREFIX))[0]
    return Path(source).name


def _is_hub_name(source: Source) -> bool:
    return source.public_name.count("/") == 1 and not Path(source.public_name).exists()


def _plain(words: str) -> str:
    """Words as Markdown shows them: labels and file names may hold anything."""
    flat = " ".join(words.split())
    return "".join(f"\\{c}" if c in r"\`*_[]<>|#" else c for c in flat)
