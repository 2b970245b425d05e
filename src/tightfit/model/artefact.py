"""What training leaves for the world, in the form that the record of its method names.

    peft    PEFT's folder: adapter_config.json, adapter_model.safetensors (adapters and head)
    head    head.safetensors: head and what else trained, under the base model's own tensor names
    model   a whole ``transformers`` model folder

Each also holds the tokenizer. The tensors in it are the fourth gate.
"""

from __future__ import annotations

from math import prod
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedTokenizerBase

from tightfit.budget.gates import check_count
from tightfit.budget.parameter_plan import Plan
from tightfit.data.text_tokenizer import TOKENIZER, TOKENIZER_CONFIG
from tightfit.encoder.adapter_weights import ADAPTER_CONFIG, ADAPTER_FILE, HEAD_FILE, PEFT_PREFIX
from tightfit.errors import ArtefactError
from tightfit.families import FAMILIES
from tightfit.model.adapter_folder import numbers_of, read_tensor, tensor_shapes
from tightfit.model.adapters import base_model, quiet_peft
from tightfit.model.classifier import Classifier
from tightfit.model.encoders import layer_stack, load_encoder, load_tokenizer, quiet_transformers
from tightfit.model.locate import Source
from tightfit.model.side_head import SIDE_FILE, VOCABULARY
from tightfit.storage.files import machine_errors, read_json, write_json
from tightfit.tasks import Task
from tightfit.torch_modes import usual_modes


def save_artefact(classifier: Classifier, folder: Path) -> int:
    """Write the artefact and count its tensors: the fourth gate.

    Returns the number of trainable parameters in the file.

    Raises:
        BudgetError: the file holds something else than the plan's parameters.
        MachineError: the disk is full, the folder may not be written, and the like.
    """
    with machine_errors(folder, "write"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SIDE_FILE).unlink(missing_ok=True)  # of a training that ended before the seal
        _write(classifier, folder)
    return count_saved(classifier.plan, folder)


def _write(classifier: Classifier, folder: Path) -> None:
    match classifier.plan.record.form:
        case "peft":
            peft_model = classifier.module
            assert isinstance(peft_model, PeftModel)
            for settings in peft_model.peft_config.values():
                # A set, whose order another process would write differently; a pattern stays one.
                if not isinstance(settings.target_modules, str):
                    settings.target_modules = sorted(settings.target_modules)
            # Without this PEFT asks the Hub whether the base model's vocabulary has changed.
            peft_model.save_pretrained(str(folder), save_embedding_layers=False)
            if classifier.plan.mean_block:
                _add_mean_block(classifier, folder)
        case "head":
            save_file(_plain_state(classifier) | constants(classifier), folder / HEAD_FILE)
        case "model":
            with quiet_transformers():
                base_model(classifier.module).save_pretrained(folder)
    classifier.tokenizer.save_pretrained(folder)
    # Not indented: a vocabulary of 250,000 pieces is half as large, and read a fifth faster.
    classifier.tokenizer.backend_tokenizer.save(str(folder / TOKENIZER), pretty=False)
    open_to_readers(folder)


def _add_mean_block(classifier: Classifier, folder: Path) -> None:
    """Have PEFT build the block that computes the mean, above a base model without it.

    It repeats the last layer and then puts the block's tensors, which are in the file, into the
    copy. Where it cannot repeat layers, as of all families but BERT, it raises an error and so
    does not answer otherwise.
    """
    model = base_model(classifier.module)
    block, depth = _mean_block(classifier), len(layer_stack(model)) - 1
    file = folder / ADAPTER_FILE
    named = {PEFT_PREFIX + name: tensor for name, tensor in block.items()}
    save_file(load_file(file) | named, file, metadata={"format": "pt"})
    config = read_json(folder / ADAPTER_CONFIG)
    family = FAMILIES[model.config.model_type]
    path = f"{family.encoder}.{family.block.format(depth)}"
    config["layer_replication"] = [[0, depth], [depth - 1, depth]]
    config["modules_to_save"] = [*config["modules_to_save"], path]
    write_json(folder / ADAPTER_CONFIG, config)


def open_to_readers(folder: Path) -> None:
    """Let whoever may read a folder's tokenizer read its weights, too.

    The library of the format keeps its files to their owner; the rest is as the umask says.
    """
    readable = (folder / TOKENIZER_CONFIG).stat().st_mode
    for file in folder.glob("*.safetensors"):
        file.chmod(readable)


def count_saved(plan: Plan, folder: Path) -> int:
    """The fourth gate: parameters in the saved file, which are exactly the plan's.

    Raises:
        BudgetError: they are not.
        ArtefactError: the file is missing or damaged.
    """
    ranks, constants = plan.head_ranks, {*plan.saved_constants, *VOCABULARY}
    counted: dict[str, int] = {}
    for file in sorted(folder.glob("*.safetensors")):
        shapes = tensor_shapes(file)
        counted |= {n: prod(shape) for n, shape in shapes.items() if n not in constants}
        for name in ranks.keys() & shapes.keys():
            counted[name] = numbers_of(read_tensor(file, name), ranks[name])
    return check_count(plan, counted, f"the saved {folder.name}/")


@usual_modes()
def load_artefact(
    folder: Path,
    source: Source,
    plan: Plan,
    task: Task,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> Classifier:
    """The classifier that :func:`save_artefact` wrote, ready to predict.

    Args:
        folder: the artefact.
        source: the base model; unused for a whole model, which is its own base.
        plan: of the run.
        task: of the run.
        tokenizer: one like the artefact's own, where it is at hand: some take seconds to load.

    Raises:
        ArtefactError: the artefact is damaged or belongs to another base model.
    """
    base = Source(source.name, folder, source.name) if plan.record.whole else source
    model: nn.Module = load_encoder(base, plan, task)
    try:
        if plan.record.form == "peft":
            with quiet_peft():
                settings = PeftConfig.from_pretrained(str(folder))
                if plan.mean_block:
                    # The model has the block already, in a way that suits every family.
                    settings.layer_replication = None
                model = PeftModel.from_pretrained(model, str(folder), config=settings)
        elif plan.record.form == "head":
            _put(model, load_file(folder / HEAD_FILE))
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise ArtefactError(
            "the artefact cannot be loaded onto its base model",
            seen=f"{folder}: {error}",
            next_step="check that it is complete and that the base model is the one it names",
        ) from error
    model.requires_grad_(False)
    # What stands before every text is in its own tokenizer; an adapter from elsewhere may lack one.
    own = all((folder / name).is_file() for name in (TOKENIZER, TOKENIZER_CONFIG))
    tokenizer = tokenizer or load_tokenizer(base, folder if own else None)
    return Classifier(model.eval(), plan, tokenizer, task)


def constants(classifier: Classifier) -> dict[str, torch.Tensor]:
    """The head's tensors that do not train; without them plain ``transformers`` would draw them."""
    model = base_model(classifier.module)
    head = {name: model.get_parameter(name) for name in classifier.plan.frozen_constants}
    return head | _mean_block(classifier)


def _mean_block(classifier: Classifier) -> dict[str, torch.Tensor]:
    """The block's tensors in half precision, which holds powers of two as they are."""
    model = base_model(classifier.module)
    return {name: model.get_parameter(name).half() for name in classifier.plan.mean_block}


def _plain_state(classifier: Classifier) -> dict[str, torch.Tensor]:
    """What trained, under the base model's own names: products in place of their factors."""
    state = classifier.state()
    for name in classifier.plan.head_ranks:
        up, down = (state.pop(name.removesuffix("weight") + factor) for factor in ("up", "down"))
        state[name] = up @ down
    return state


def _put(model: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    _, unexpected = model.load_state_dict(tensors, strict=False)
    if unexpected:
        raise ValueError(f"the base model has no {', '.join(unexpected)}")
