"""A method's trainable parts on the planned layers, through PEFT, and who declares what trains.

Trainable tensors are named as in the saved file: the base model's own names, with ``lora_A.weight``
and ``lora_B.weight`` below a layer. They are asked of the adapters and the head, never matched.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel, get_peft_config, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from torch import nn
from transformers import PreTrainedModel

from tightfit.budget.parameter_plan import Plan
from tightfit.config import Adapters
from tightfit.model.encoders import put_constant
from tightfit.model.low_rank import LowRankLinear

ADAPTER = "default"
"""PEFT's name for a model's first adapter."""

NEAR_IDENTITY = 0.01
"""What multiplies the identity: normalised states reach some 20, and tanh(0.2) is 0.197."""


@dataclass(frozen=True)
class AdapterPair:
    """The two matrices that change one frozen layer."""

    name: str
    """Dotted path of the layer in the base model."""
    a_RI: torch.Tensor
    """Rank x in."""
    b_OR: torch.Tensor
    """Out x rank."""
    scale: float

    def change_norm(self) -> float:
        """Frobenius norm of the change of the layer's weight, scale x B A.

        ``|B A|^2 = trace((B^T B)(A A^T))``, so that no out x in matrix is made.
        """
        a_RI, b_OR = self.a_RI.detach().double(), self.b_OR.detach().double()
        square = ((b_OR.T @ b_OR) * (a_RI @ a_RI.T)).sum().clamp(min=0)
        return abs(self.scale) * float(square.sqrt())


def attach(model: PreTrainedModel, plan: Plan, settings: Adapters) -> nn.Module:
    """Freeze the model and make exactly the plan's parameters trainable.

    Returns the PEFT model where PEFT has a form for the method, and the model itself elsewhere.
    """
    record = plan.record
    model.requires_grad_(record.whole)
    _put_constants(model, plan)
    _narrow(model, plan)
    whole: nn.Module = model
    if record.peft_type:
        ranks = {layer.name: layer.rank for layer in plan.layers}
        ranks |= {v.name.rpartition(".")[0]: v.parameters for v in plan.vectors}
        told = record.peft_settings(ranks, settings)
        told |= {"task_type": "SEQ_CLS", "modules_to_save": sorted(plan.head_modules)}
        with quiet_peft():
            whole = get_peft_model(model, get_peft_config(told))
    if not record.whole:
        for _, head in _head_modules(whole, plan):
            head.requires_grad_(False)
        for parameter in trainable_tensors(whole, plan).values():
            parameter.requires_grad_(True)
    return whole


def base_model(module: nn.Module) -> PreTrainedModel:
    """The ``transformers`` model inside, adapters or not."""
    inner = module.get_base_model() if isinstance(module, PeftModel) else module
    assert isinstance(inner, PreTrainedModel)
    return inner


def merged(module: PeftModel, plan: Plan) -> PreTrainedModel:
    """The ``transformers`` model inside, its adapters merged into its weights.

    Raises:
        ValueError: what is merged are no numbers.
    """
    for path, head in list(_head_modules(module, plan)):
        # Beside other adapters than LoRA's, PEFT takes whatever it wraps for a single layer.
        base_model(module).set_submodule(path, head)
    return base_model(module.merge_and_unload(safe_merge=True))


def adapter_pairs(module: nn.Module) -> list[AdapterPair]:
    """Every adapter in the model, in the order of its layers."""
    return [
        AdapterPair(
            name, layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight, layer.scaling[ADAPTER]
        )
        for name, layer in base_model(module).named_modules()
        if isinstance(layer, LoraLayer)
    ]


def adapter_dropouts(module: nn.Module) -> list[nn.Module]:
    """The dropouts on the adapters' inputs."""
    layers = [x for x in base_model(module).modules() if isinstance(x, BaseTunerLayer)]
    return [dropout for layer in layers for dropout in _dropouts(layer)]


def input_dropout(layer: nn.Module) -> float:
    """The share that the dropout on an adapter's input makes zero."""
    return max((getattr(each[ADAPTER], "p", 0.0) for each in _dropouts(layer)), default=0.0)


def _dropouts(layer: nn.Module) -> list[Any]:
    return [child for name, child in layer.named_children() if name.endswith("_dropout")]


def has_magnitudes(module: nn.Module) -> bool:
    """Whether adapters are those of DoRA."""
    layers = (x for x in module.modules() if isinstance(x, LoraLayer))
    return any(ADAPTER in layer.lora_magnitude_vector for layer in layers)


def trainable_tensors(module: nn.Module, plan: Plan) -> dict[str, nn.Parameter]:
    """What trains, by the name under which it is saved, as adapters and head declare it."""
    if plan.record.whole:
        return dict(base_model(module).named_parameters())
    return {
        **dict(_vectors(module, plan)),
        **dict(_adapter_tensors(module)),
        **dict(_magnitudes(module)),
        **dict(_head_tensors(module, plan)),
    }


def output_layer(module: nn.Module, plan: Plan) -> nn.Linear | LowRankLinear:
    """The head's last layer, which writes the logits; it is the last that the plan lists."""
    name = plan.head_layers[-1].name
    layer = next(
        parts.get_submodule(name.removeprefix(path).removeprefix("."))
        for path, parts in _head_modules(module, plan)
        if f"{name}.".startswith(f"{path}.")
    )
    assert isinstance(layer, nn.Linear | LowRankLinear)
    assert layer.out_features == plan.num_labels
    return layer


@contextmanager
def quiet_peft() -> Iterator[None]:
    """PEFT asks models a question under a name that transformers has renamed, and is warned."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield


def _vectors(module: nn.Module, plan: Plan) -> Iterator[tuple[str, nn.Parameter]]:
    """The encoder's vectors that train, by the names under which they are saved."""
    for vector in plan.vectors:
        path, _, kind = vector.name.rpartition(".")
        tensor = getattr(base_model(module).get_submodule(path), kind)
        # PEFT keeps a factor for each adapter by name, and saves it under that of the layer.
        yield vector.name, tensor if isinstance(tensor, nn.Parameter) else tensor[ADAPTER]


def _adapter_tensors(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    for pair in adapter_pairs(module):
        for tensor, letter in ((pair.a_RI, "A"), (pair.b_OR, "B")):
            assert isinstance(tensor, nn.Parameter)
            yield f"{pair.name}.lora_{letter}.weight", tensor


def _magnitudes(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """DoRA's lengths of the weights' rows."""
    for name, layer in base_model(module).named_modules():
        if isinstance(layer, LoraLayer) and ADAPTER in layer.lora_magnitude_vector:
            yield f"{name}.lora_magnitude_vector", layer.lora_magnitude_vector[ADAPTER].weight


def _head_tensors(module: nn.Module, plan: Plan) -> Iterator[tuple[str, nn.Parameter]]:
    for path, head in _head_modules(module, plan):
        for name, parameter in head.named_parameters():
            if f"{path}.{name}" not in plan.frozen_constants:
                yield f"{path}.{name}", parameter


def _put_constants(model: nn.Module, plan: Plan) -> None:
    """Hidden layers of the head that do not train become a small multiple of the identity.

    ``tanh(s x)`` is ``s x`` to a part in 3 / (s x)^2, and the output layer undoes the factor. So a
    head with a dense layer is a linear one, and still the one that the model class knows.
    """
    for name in plan.frozen_constants:
        tensor = model.get_parameter(name)
        put_constant(tensor, NEAR_IDENTITY if tensor.ndim == 2 else 0.0)


def _narrow(model: nn.Module, plan: Plan) -> None:
    """Layers of the head for which the plan names a rank."""
    for layer in plan.head_layers:
        if layer.rank is not None:
            scale = NEAR_IDENTITY if plan.frozen_constants else 1.0
            LowRankLinear.at(model, layer.name, layer.rank, scale)


def _head_modules(module: nn.Module, plan: Plan) -> Iterator[tuple[str, nn.Module]]:
    """The modules of the head that train, by their paths in the base model."""
    for path in plan.head_modules:
        head = base_model(module).get_submodule(path)
        if isinstance(head, ModulesToSaveWrapper):
            head = head.modules_to_save[ADAPTER]
        yield path, head
