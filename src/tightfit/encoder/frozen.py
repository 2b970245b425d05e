"""The frozen encoder: what stands still below any number of adapters, read from files alone.

It is kept once in a process, however many runs stand on it, and never changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

from tightfit.budget.shapes import shard_files
from tightfit.encoder.activations import ACTIVATIONS
from tightfit.encoder.tensors import Stored, map_tensors
from tightfit.errors import ModelError
from tightfit.families import COMPUTED, FAMILIES, Attention, Reading
from tightfit.families.family import Block, Family
from tightfit.families.sizes import Sizes, read_object
from tightfit.known_digests import weights_sha256

WEIGHTS = "model.safetensors"

OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
"""What the first published checkpoints call the scale and the shift of a norm."""


class UnknownInside(ModelError):
    """Only ``transformers`` knows how to compute this; ``what`` says why."""


@dataclass(frozen=True, eq=False)
class FrozenEncoder:
    """The weights of an encoder, and what its configuration says of the way through them."""

    folder: Path
    digest: str
    """Over the weight files: :func:`tightfit.known_digests.weights_sha256`."""
    family: Family
    model_type: str
    inside: Block
    hidden: int
    depth: int
    heads: int
    eps: float
    activation: str
    head_activation: str
    """Of a head whose activation its configuration says."""
    attention: tuple[Attention, ...]
    """Of each block."""
    reading: Reading
    """What its stock head reads."""
    padding_index: int | None
    """The id whose places count as no position; None where places alone count."""
    longest: int | None
    """Tokens that it has positions for."""
    tensors: Mapping[str, Stored]
    """By their names in the ``transformers`` classifier."""

    @classmethod
    def of(cls, folder: str | Path) -> FrozenEncoder:
        """The encoder in a model folder; the one that is in memory where there is one.

        Raises:
            UnknownInside: its family, or something in its configuration, is not known here.
            ModelError: files are missing or damaged.
        """
        path = Path(folder).resolve()
        config = read_object(path / "config.json")
        # First, since a digest takes longer than a refusal should.
        _refuse_unknown(config)
        key = (path, weights_sha256(path))
        with _lock:
            encoder = _kept.get(key)
            if encoder is None:
                encoder = _kept[key] = _open(path, key[1], config)
        return encoder

    def stored(self, name: str) -> Stored:
        """A tensor by its name in the ``transformers`` classifier.

        Raises:
            ModelError: the checkpoint lacks it.
        """
        found = self.find(name)
        if found is None:
            raise ModelError(
                "the checkpoint lacks weights of the encoder itself",
                seen=f"no {name} in {self.folder}",
                next_step="use a complete checkpoint of the encoder",
            )
        return found

    def find(self, name: str) -> Stored | None:
        """The same, or None where the checkpoint lacks it."""
        # A checkpoint of the bare encoder has no prefix.
        return self.tensors.get(name) or self.tensors.get(
            name.removeprefix(f"{self.family.encoder}.")
        )


_kept: WeakValueDictionary[tuple[Path, str], FrozenEncoder] = WeakValueDictionary()
_lock = Lock()


def _open(folder: Path, digest: str, config: Mapping[str, Any]) -> FrozenEncoder:
    family = FAMILIES[config["model_type"]]
    inside = family.inside
    assert inside is not None
    sizes = Sizes(config, family.renamed)
    pad, positions = family.padding_index(config), sizes.count("max_position_embeddings")
    return FrozenEncoder(
        folder,
        digest,
        family,
        config["model_type"],
        inside,
        sizes.hidden,
        sizes.depth,
        sizes.count("num_attention_heads"),
        family.norm_eps(config),
        str(family.setting(config, "hidden_act", "gelu")),
        str(config.get("classifier_activation", "gelu")),
        tuple(inside.attention(config, number) for number in range(sizes.depth)),
        family.reading(config),
        pad,
        positions if pad is None else positions - pad - 1,
        _tensors(folder),
    )


def _tensors(folder: Path) -> dict[str, Stored]:
    try:
        files = [WEIGHTS] if (folder / WEIGHTS).is_file() else shard_files(folder) or [WEIGHTS]
        found = {k: v for file in files for k, v in map_tensors(folder / file).items()}
    except OSError as error:
        raise ModelError("the model's weights cannot be read", seen=error) from error
    return {_new_name(name): tensor for name, tensor in found.items()}


def _new_name(name: str) -> str:
    for old, new in OLD_NAMES.items():
        name = name.removesuffix(old) + new if name.endswith(old) else name
    return name


def _refuse_unknown(config: Mapping[str, Any]) -> None:
    model_type = str(config.get("model_type"))
    if model_type not in COMPUTED:
        raise UnknownInside(
            f"the inside of {model_type} is not known here", allowed=", ".join(COMPUTED)
        )
    positions = config.get("position_embedding_type", "absolute")
    if positions != "absolute":
        raise UnknownInside("positions are not absolute", seen=positions)
    family = FAMILIES[model_type]
    inside = family.inside
    assert inside is not None
    if unknown := inside.unknown(config):
        raise UnknownInside(unknown)
    activation = str(family.setting(config, "hidden_act", "gelu"))
    for seen in (activation, str(config.get("classifier_activation", "gelu"))):
        if seen not in ACTIVATIONS:
            raise UnknownInside(
                "the activation is not known here", seen=seen, allowed=", ".join(ACTIVATIONS)
            )
