"""What a run trained, read from its folder: small, and laid over a frozen encoder as it computes.

    lora   y = W x + s B A x                         (arXiv:2106.09685; rsLoRA: arXiv:2312.03732)
    dora   y = (m / |W + s B A|) (W x + s B A x)     lengths of rows (arXiv:2402.09353)
    pissa  y = W x - B0 A0 x + s B A x               B0 A0: W's leading terms (arXiv:2404.02948)
    vera   y = W x + b * (B (d * (A x)))             A, B shared by all layers (arXiv:2310.11454)
    ia3    y = l * (W x + bias)                      (arXiv:2205.05638)

Heads, and biases that trained, take the place of the encoder's own tensors. Everything is found by
name in a PEFT folder or in ``head.safetensors``; what is not known is refused, never left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightfit.encoder.frozen import UnknownInside
from tightfit.encoder.tensors import Stored, map_tensors
from tightfit.errors import ArtefactError, ModelError
from tightfit.families import Family, mean_block
from tightfit.methods import VERA

Floats = NDArray[np.float32]

ADAPTER_CONFIG, ADAPTER_FILE = "adapter_config.json", "adapter_model.safetensors"
HEAD_FILE = "head.safetensors"
"""Where a run without adapters keeps its head, under the base model's own tensor names."""
PEFT_PREFIX = "base_model.model."
"""What PEFT puts before the base model's own names."""

WRAPPERS = ("modules_to_save", "default", "base_layer")
"""Parts of names that tell how PEFT wrapped a module, not which."""

UNTOUCHED = ".original_module."
"""In names of copies that older versions of PEFT saved although they never train."""

SHARED = VERA.constants

HARMLESS = {
    "LORA": (
        *("alpha_pattern", "bias", "corda_config", "ensure_weight_tying", "eva_config"),
        *("init_lora_weights", "layer_replication", "loftq_config", "lora_alpha", "lora_dropout"),
        *("lora_ga_config", "megatron_core", "qalora_group_size", "r", "rank_pattern"),
        *("use_dora", "use_rslora"),
    ),
    "VERA": (
        *("bias", "d_initial", "init_weights", "projection_prng_key", "r", "save_projection"),
        "vera_dropout",
    ),
    "IA3": ("init_ia3_weights",),
}
"""By method, settings that are read here, or that change nothing in what is computed."""

OF_ALL = (
    *("auto_mapping", "base_model_name_or_path", "exclude_modules", "inference_mode"),
    *("layers_pattern", "layers_to_transform", "modules_to_save", "peft_type", "peft_version"),
    *("revision", "target_modules", "task_type"),
)
"""The same for every method; any other setting must be off."""


STARTS = (True, False, "gaussian", "eva", "orthogonal", "pissa")
"""Of LoRA's matrices: those that leave the base's weight alone, and the one that is undone here."""

_PART = re.compile(
    r"(?P<layer>.+)\.(?P<kind>lora_A|lora_B|lora_magnitude_vector|vera_lambda_b|vera_lambda_d|ia3_l)"
    r"(?:\.weight)?"
)


@dataclass(frozen=True, eq=False)
class LowRank:
    """A product of two narrow matrices that changes a weight, ``scale outer (B (inner A))``."""

    a_RI: Floats
    b_OR: Floats
    scale: float = 1.0
    inner_R: Floats | None = None
    outer_O: Floats | None = None

    def weight(self) -> Floats:
        """The change itself, (O, I)."""
        a_RI = self.a_RI if self.inner_R is None else self.inner_R[:, None] * self.a_RI
        change_OI: Any = np.float32(self.scale) * (self.b_OR @ a_RI)
        return change_OI if self.outer_O is None else self.outer_O[:, None] * change_OI


@dataclass(frozen=True, eq=False)
class Change:
    """What an adapter does to one linear layer."""

    low_rank: LowRank | None = None
    lengths_O: Floats | None = None
    """To which the rows of the changed weight are brought (DoRA)."""
    factors_O: Floats | None = None
    """Of all that the layer gives, its bias included (IA3)."""
    without_leading: bool = False
    """Whether the frozen weight lacks as many of its leading terms as the rank (PiSSA)."""


@dataclass(frozen=True, eq=False)
class AdapterWeights:
    """Adapters, and tensors that trained whole; named as in the ``transformers`` classifier."""

    changes: Mapping[str, Change] = field(default_factory=dict)
    """By the path of the linear layer."""
    tensors: Mapping[str, Stored] = field(default_factory=dict)
    """Of the head, and whatever else takes the place of the encoder's own."""
    replicated: tuple[tuple[int, int], ...] = ()
    """Ranges of the encoder's layers of which PEFT makes the layers, where it is told to."""

    def mean_block(self, family: Family, depth: int) -> tuple[str, ...]:
        """The tensors in it of the block that computes the mean, above ``depth`` others.

        Raises:
            UnknownInside: PEFT is told to make other layers of the encoder's own.
        """
        block, own = mean_block(family, depth), self.tensors
        whole = all(name in own and _filled(own[name], v) for name, v in block.items())
        whole = whole and bool(block)
        due = ((0, depth), (depth - 1, depth)) if whole else ()
        if self.replicated not in ((), due):
            raise UnknownInside("the adapter repeats layers", seen=self.replicated)
        return tuple(block) if whole else ()

    @classmethod
    def read(cls, folder: str | Path) -> AdapterWeights:
        """A run's artefact: a PEFT folder, or one with ``head.safetensors``.

        Raises:
            UnknownInside: it holds something that only ``peft`` knows how to compute.
            ArtefactError: files are missing or damaged.
        """
        path = Path(folder)
        try:
            if (path / ADAPTER_CONFIG).is_file():
                config = json.loads((path / ADAPTER_CONFIG).read_text("utf-8"))
                return _from_peft(config, map_tensors(path / ADAPTER_FILE))
            return cls({}, map_tensors(path / HEAD_FILE))
        except UnknownInside:
            raise
        except (OSError, ValueError, TypeError, LookupError, ModelError) as error:
            raise ArtefactError(
                "the run's adapter cannot be read",
                seen=f"{path}: {error}",
                next_step="restore it from a copy, or train again",
            ) from error


def _filled(tensor: Stored, value: float) -> bool:
    """Whether a matrix is so many times the identity, or a vector so much everywhere."""
    raw = tensor.raw
    if raw.ndim == 2:
        # By their bits: as floats, the zeros of a block take longer than an answer.
        ones = min(raw.shape) if value else 0
        if np.count_nonzero(raw.view(f"<u{raw.itemsize}")) != ones:
            return False
        raw = raw.diagonal()
    return bool((Stored(raw, tensor.format).floats == value).all())


def _from_peft(config: Mapping[str, Any], found: Mapping[str, Stored]) -> AdapterWeights:
    kind = str(config.get("peft_type"))
    if kind not in _READERS:
        raise UnknownInside("the method is not known here", seen=kind, allowed=", ".join(_READERS))
    known = {*HARMLESS[kind], *OF_ALL}
    strange = sorted(key for key, value in config.items() if value and key not in known)
    if strange:
        raise UnknownInside("settings of the adapter are not known here", seen=", ".join(strange))
    parts: dict[str, dict[str, Floats]] = {}
    whole: dict[str, Stored] = {}
    for name, tensor in found.items():
        if UNTOUCHED in name or name in SHARED:
            continue
        plain = plain_name(name)
        if match := _PART.fullmatch(plain):
            parts.setdefault(match["layer"], {})[match["kind"]] = tensor.floats
        elif re.search(r"lora_|vera_|ia3_", plain):
            raise UnknownInside("a part of an adapter is not known here", seen=name)
        else:
            whole[plain] = tensor
    read = _READERS[kind]
    shared = {name: found[name].floats for name in SHARED if name in found}
    replicated = tuple((int(a), int(b)) for a, b in config.get("layer_replication") or ())
    changes = {x: read(config, x, own | shared) for x, own in parts.items()}
    return AdapterWeights(changes, whole, replicated)


def plain_name(name: str) -> str:
    """A tensor's name in the base model, or below one of its layers."""
    parts = name.removeprefix(PEFT_PREFIX).split(".")
    return ".".join(part for part in parts if part not in WRAPPERS)


def _lora(config: Mapping[str, Any], layer: str, own: Mapping[str, Floats]) -> Change:
    start = config.get("init_lora_weights", True)
    if start not in STARTS:
        raise UnknownInside("how the adapter started is not known here", seen=start)
    a_RI, b_OR = own["lora_A"], own["lora_B"]
    alpha = _of_layer(config.get("alpha_pattern") or {}, layer, config["lora_alpha"])
    scale = alpha / (len(a_RI) ** 0.5 if config.get("use_rslora") else len(a_RI))
    lengths_O = own["lora_magnitude_vector"].ravel() if config.get("use_dora") else None
    return Change(LowRank(a_RI, b_OR, scale), lengths_O, without_leading=start == "pissa")


def _vera(config: Mapping[str, Any], layer: str, own: Mapping[str, Floats]) -> Change:
    if not own.keys() >= set(SHARED):
        raise UnknownInside("VeRA's shared matrices are not in the file, but drawn by torch")
    a, b = SHARED
    return Change(LowRank(own[a], own[b], 1.0, own["vera_lambda_d"], own["vera_lambda_b"]))


def _ia3(config: Mapping[str, Any], layer: str, own: Mapping[str, Floats]) -> Change:
    return Change(factors_O=own["ia3_l"].ravel())


_READERS: Mapping[str, Callable[[Mapping[str, Any], str, Mapping[str, Floats]], Change]] = {
    "LORA": _lora,
    "VERA": _vera,
    "IA3": _ia3,
}


def _of_layer(patterns: Mapping[str, float], layer: str, otherwise: float) -> float:
    """The value of the first pattern that fits the end of a layer's path, as PEFT reads them."""
    fitting = (v for key, v in patterns.items() if re.match(rf"(.*\.)?({key})$", layer))
    return float(next(fitting, otherwise))
