"""An adapter that was made elsewhere, with PEFT: what is in it, and what plan it amounts to.

Everything that such a file may hold is taken: ranks that differ, biases, magnitudes (DoRA,
arXiv:2402.09353), modules that were trained whole.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict
from safetensors.torch import load_file

from tightfit.budget.parameter_plan import Plan
from tightfit.budget.parts import HeadLayer, LayerPlan
from tightfit.budget.shapes import EncoderShapes
from tightfit.encoder.adapter_weights import PEFT_PREFIX, UNTOUCHED, AdapterWeights
from tightfit.encoder.frozen import UnknownInside
from tightfit.errors import ArtefactError, SettingsError, first_few
from tightfit.families import FAMILIES
from tightfit.methods import LORA
from tightfit.model.adapter_folder import (
    HEADS,
    read_adapter_config,
    read_contents,
    tensor_shapes,
    weights_file,
)
from tightfit.model.classifier import Classifier
from tightfit.model.locate import Source

_MATRIX = re.compile(r"(.+)\.lora_(?:embedding_)?([AB])(?:\.weight)?")
_COPIES = (".modules_to_save.", UNTOUCHED)
"""In the names of tensors that ``bias="all"`` saves a second time, or although they never train."""

_SHOWN = 4


@dataclass(frozen=True)
class PeftFolder:
    """The contents of an adapter folder, nothing loaded yet."""

    folder: Path
    settings: Mapping[str, Any]
    """``adapter_config.json``."""
    shapes: Mapping[str, tuple[int, ...]]
    """Of each tensor, under the base model's own names."""

    @property
    def whole_modules(self) -> tuple[str, ...]:
        """Paths of the modules that were trained and saved whole."""
        asked = set(self.settings.get("modules_to_save") or ())
        if self.settings.get("task_type") == "SEQ_CLS":
            asked.update(HEADS)
        weights = [name for name in self._others() if not name.endswith(".bias")]
        found = (path for name in weights for path in _paths_above(name) if _ends_in(path, asked))
        return tuple(dict.fromkeys(found))

    def labels_in(self, shapes: EncoderShapes) -> int | None:
        """How many labels the head in the file has; None where the file brings no head."""
        shape = self.shapes.get(f"{label_layer(shapes)}.weight")
        return shape[0] if shape else None

    def plan(self, shapes: EncoderShapes, *, model: str, num_labels: int) -> Plan:
        """What trains, as far as the file tells: every tensor in it, and no cap.

        Raises:
            ArtefactError: half an adapter is missing, or a rank does not fit its layer.
        """
        roles = {layer.name: layer.roles for layer in shapes.layers}
        pairs = self._pairs()
        block = self._mean_block(shapes)
        still = self._constants(block)
        try:
            layers = tuple(
                LayerPlan(name, a[0], a[1], b[0], roles.get(name, ()))
                for name, (a, b) in pairs.items()
            )
        except SettingsError as error:
            raise _unfit(self.folder, f"{error.what}: {error.seen}") from error
        return Plan(
            model=model,
            num_labels=num_labels,
            budget=None,
            method=LORA.name,
            layers=layers,
            head_layers=tuple(self._whole_layers({*block, *still})),
            head_modules=tuple(x for x in self.whole_modules if not _holds(x, block)),
            frozen_constants=(*still, *filter(_is_copy, self.shapes)),
            mean_block=block,
        )

    def check_loaded(self, classifier: Classifier) -> None:
        """Every tensor of the file must be in the model, as it is, and no adapter without one.

        PEFT itself passes over names that it does not find, and leaves random what it lacks.

        Raises:
            ArtefactError: something is missing or left over.
        """
        held = get_peft_model_state_dict(classifier.module, save_embedding_layers=False)
        given = load_file(weights_file(self.folder))
        faults = [f"no place for {name}" for name in given.keys() - held.keys()]
        faults += [f"no tensor for {name}" for name in held.keys() - given.keys()]
        faults += [
            f"another value in {name}"
            for name in given.keys() & held.keys()
            if not torch.equal(given[name].float(), held[name].float().cpu())
        ]
        if faults:
            plain = sorted(fault.replace(PEFT_PREFIX, "") for fault in faults)
            raise _unfit(self.folder, first_few(plain, _SHOWN, "; "))

    def _others(self) -> list[str]:
        return [n for n in self.shapes if not _MATRIX.fullmatch(n) and not _is_copy(n)]

    def _pairs(self) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
        halves: dict[str, dict[str, tuple[int, ...]]] = {}
        for name, shape in self.shapes.items():
            if match := _MATRIX.fullmatch(name):
                halves.setdefault(match[1], {})[match[2]] = shape
        for name, found in halves.items():
            if found.keys() != {"A", "B"} or any(len(shape) != 2 for shape in found.values()):
                raise _unfit(self.folder, f"{name} has no pair of matrices A and B")
        if not halves:
            raise _unfit(self.folder, "no LoRA matrices in the file")
        return {name: (found["A"], found["B"]) for name, found in halves.items()}

    def _mean_block(self, shapes: EncoderShapes) -> tuple[str, ...]:
        """Tensors of the block that computes the mean, in what tightfit saved."""
        try:
            weights = AdapterWeights.read(self.folder)
            return weights.mean_block(FAMILIES[shapes.model_type], shapes.depth)
        except UnknownInside:
            return ()

    def _constants(self, block: Sequence[str]) -> tuple[str, ...]:
        """Tensors of the layers that a linear head of ours kept constant, beside that block."""
        layers = read_contents(weights_file(self.folder)).constants
        owned = (name for name in self._others() if name.rpartition(".")[0] in layers)
        return tuple(name for name in owned if name not in block)

    def _whole_layers(self, still: Collection[str]) -> Iterator[HeadLayer]:
        """All other tensors, joined to the layers that own them, without those that stay still."""
        owners = Counter[str]()
        for name in self._others():
            if name not in still:
                owners[name.rpartition(".")[0]] += prod(self.shapes[name])
        return (HeadLayer(name, numbers) for name, numbers in owners.items())


def read_peft_folder(folder: Path) -> PeftFolder:
    """Look into an adapter folder; nothing is unpickled or executed.

    Raises:
        ArtefactError: there is no LoRA adapter here, or it is damaged.
    """
    settings = read_adapter_config(folder)
    return PeftFolder(folder, settings, tensor_shapes(weights_file(folder)))


def label_layer(shapes: EncoderShapes) -> str:
    """Path of the linear layer that gives one logit a label."""
    linears = FAMILIES[shapes.model_type].head[-1].linears
    return next(path for path, width in linears.items() if width == "labels")


def labels_in_base(source: Source, shapes: EncoderShapes) -> int | None:
    """How many labels the base model's own head has; None where it has none."""
    name = f"{label_layer(shapes)}.weight"
    for file in sorted(source.folder.glob("*.safetensors")):
        if shape := tensor_shapes(file).get(name):
            return shape[0]
    return None


def _paths_above(name: str) -> Iterator[str]:
    """``a.b.weight`` gives ``a`` and ``a.b``."""
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts)))


def _ends_in(path: str, modules: set[str]) -> bool:
    """PEFT names modules by the end of their path."""
    return any(path == module or path.endswith(f".{module}") for module in modules)


def _holds(module: str, block: Sequence[str]) -> bool:
    return any(name.startswith(f"{module}.") for name in block)


def _is_copy(name: str) -> bool:
    return any(part in name for part in _COPIES)


def _unfit(folder: Path, seen: str) -> ArtefactError:
    return ArtefactError(
        "the adapter does not fit this base model, or is damaged",
        seen=f"{folder}: {seen}",
        next_step="give the base model that adapter_config.json names, as --base",
    )
