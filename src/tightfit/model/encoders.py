"""Loads the encoder with its classification head, and its tokenizer, from a folder.

Weights are always fp32: adapters and heads must not train in half precision, and autocast casts
what it needs. No code from a model folder is ever run.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from tightfit.budget.parameter_plan import Plan
from tightfit.budget.shapes import shard_files
from tightfit.data.text_prefix import put_prefix
from tightfit.data.text_tokenizer import SEGMENTS, UNBOUNDED
from tightfit.errors import ModelError
from tightfit.families import FAMILIES, mean_block, reads_segments
from tightfit.model.locate import Source
from tightfit.tasks import Task


def load_encoder(source: Source, plan: Plan, task: Task) -> PreTrainedModel:
    """The model class for sequence classification, in fp32, with the run's own labels.

    Where the plan's head reads the mean it has one more layer, the block that computes it.

    Raises:
        ModelError: the files cannot be loaded, lie outside the folder, or lack weights that the
            plan does not train.
    """
    shard_files(source.folder)  # refuses an index that leads elsewhere
    names = dict(enumerate(task.names))
    depth = source.shapes(plan.num_labels).depth if plan.mean_block else 0
    try:
        with quiet_transformers():
            model, info = AutoModelForSequenceClassification.from_pretrained(
                source.folder,
                num_labels=len(names),
                id2label=names,
                label2id={name: i for i, name in names.items()},
                problem_type=task.problem_type,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **({"num_hidden_layers": depth + 1} if depth else {}),
            )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelError(
            "the model cannot be loaded as a sequence classifier",
            seen=f"{source.name}: {error}",
            next_step="try another encoder; 'tightfit plan --model' shows which are understood",
        ) from error
    _refuse_untrained(info, plan)
    block = mean_block(FAMILIES[model.config.model_type], depth) if depth else {}
    for name, value in block.items():
        put_constant(model.get_parameter(name), value)
    model.name_or_path = model.config.name_or_path = source.public_name
    return model


def put_constant(tensor: torch.Tensor, value: float) -> None:
    """Make a matrix so many times the identity, or a vector so much everywhere."""
    with torch.no_grad():
        tensor.fill_(0.0 if tensor.ndim == 2 else value)
        if tensor.ndim == 2:
            tensor.fill_diagonal_(value)


def load_tokenizer(source: Source, folder: Path | None = None) -> PreTrainedTokenizerBase:
    """The model's own tokenizer, or the one that a run keeps beside what it trained.

    Args:
        source: whose prefix it puts before every text.
        folder: of the tokenizer; None is the model's.

    Raises:
        ModelError: the folder has none that can be loaded, or one of another model.
    """
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(
                folder or source.folder, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # The tokenizers library raises nothing more precise.
        raise _no_tokenizer(source, str(error)) from error
    # Without the files transformers 5 makes an empty tokenizer, to which every word is unknown.
    ids = set(tokenizer.get_vocab().values())
    if ids <= set(tokenizer.all_special_ids):
        raise _no_tokenizer(source, "its vocabulary is empty")
    source.check_token_ids(max(ids))
    names = [name for name in tokenizer.model_input_names if name != SEGMENTS]
    names += [SEGMENTS] * reads_segments(source.config())
    # Whoever loads it from where it is saved gives the encoder what it asks, and nothing else.
    tokenizer.model_input_names = tokenizer.init_kwargs["model_input_names"] = names
    if source.prefix:
        if not tokenizer.is_fast:
            raise _no_tokenizer(source, "no fast tokenizer, which alone can take a prefix")
        put_prefix(tokenizer.backend_tokenizer, source.prefix)
    return tokenizer


def longest_text(source: Source, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Most tokens that the encoder has positions for, or None where it has no such limit."""
    config = source.config()
    positions, family = config.get("max_position_embeddings"), config.get("model_type")
    known = FAMILIES.get(str(family))
    pad_id = None if known is None else known.padding_index(config)
    if positions is not None and pad_id is not None:
        positions -= pad_id + 1
    limits = [positions, tokenizer.model_max_length]
    return min((int(n) for n in limits if n is not None and n < UNBOUNDED), default=None)


def layer_stack(model: nn.Module) -> nn.ModuleList:
    """The encoder's transformer layers, lowest first."""
    return next(module for module in model.modules() if isinstance(module, nn.ModuleList))


def recompute_layers(model: nn.Module, *, reentrant: bool) -> None:
    """Keep only each layer's input for the backward pass, and compute the rest again.

    Gradient checkpointing (arXiv:1604.06174) for every family alike, also those for which
    ``transformers`` has none. The re-entrant form gives no gradient to parameters inside a layer
    whose *input* needs none, which is the case below a frozen embedding: the published failure.
    """
    for layer in layer_stack(model):
        layer.forward = partial(_recomputed, layer.forward, reentrant)


def _recomputed(forward: Any, reentrant: bool, *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    with warnings.catch_warnings():
        # Whoever chooses the re-entrant form has declared what torch warns of here.
        warnings.filterwarnings("ignore", "None of the inputs have requires_grad", UserWarning)
        # The re-entrant form takes no keyword arguments, so they travel inside the function.
        return checkpoint(partial(forward, **kwargs), *args, use_reentrant=reentrant)


def _no_tokenizer(source: Source, seen: str) -> ModelError:
    return ModelError(
        "the model folder has no usable tokenizer",
        seen=f"{source.folder}: {seen}",
        next_step="put tokenizer.json and tokenizer_config.json beside config.json",
    )


def _refuse_untrained(info: dict[str, Any], plan: Plan) -> None:
    """Every tensor that the checkpoint does not hold must be one that the plan trains."""
    missing = set(info["missing_keys"]) | {entry[0] for entry in info["mismatched_keys"]}
    planned = (*(f"{module}." for module in plan.head_modules), *plan.mean_block)
    untrained = sorted(name for name in missing if not name.startswith(planned))
    if untrained and not plan.record.whole:
        raise ModelError(
            "the checkpoint lacks weights of the encoder itself",
            seen=", ".join(untrained[:5]) + (" …" if len(untrained) > 5 else ""),
            allowed=f"only {', '.join(plan.head_modules)} may be newly initialised",
            next_step="use a complete checkpoint of the encoder",
        )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No reports and bars of ``transformers``: they repeat, less exactly, what the plan says."""
    level, bars = (
        transformers_logging.get_verbosity(),
        transformers_logging.is_progress_bar_enabled(),
    )
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
