"""Did the adapters learn? An answer from the saved file alone, whoever trained it.

An adapter changes its layer by scale x B A (arXiv:2106.09685). One of the two starts at zero: B on
a linear layer, A on an embedding. Where it is still zero in the file, the layer never changed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tightfit.budget.parameter_plan import Plan
from tightfit.encoder.adapter_weights import ADAPTER_CONFIG, ADAPTER_FILE, HEAD_FILE
from tightfit.errors import ArtefactError
from tightfit.methods import METHODS, Method
from tightfit.model.adapter_folder import (
    HEADS,
    Factor,
    label_names,
    numbers_of,
    read_adapter_config,
    read_contents,
    read_tensor,
    read_tensors,
    weights_file,
)

VECTORS = {each.peft_type: each for each in METHODS.values() if each.peft_type and each.vectors}
"""Methods of vectors, by what PEFT calls them."""

STARTS_AT_ZERO = (True, None, "gaussian", "eva", "mica")
"""Values of ``init_lora_weights`` with which B A is zero before training."""


@dataclass(frozen=True)
class AdapterState:
    """What the file says of one adapter."""

    name: str
    """Dotted path of the layer in the base model."""
    rank: int
    norm_a: float | None
    """Frobenius norm; None where a value is not finite."""
    norm_b: float | None
    dead: bool
    """B A is zero, or not a number: the layer works as it did, or not at all."""


@dataclass(frozen=True)
class Audit:
    """What a saved classifier holds, and whether its adapters learned."""

    trainable: int
    """Numbers in the saved file."""
    adapters: tuple[AdapterState, ...]
    head_saved: bool
    labels: tuple[str, ...] | None
    """Names in order, where the folder says them."""
    verdict: str

    @property
    def dead(self) -> int:
        """How many adapters are dead."""
        return sum(adapter.dead for adapter in self.adapters)

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit audit --json`` prints."""
        return {
            "trainable": self.trainable,
            "adapters": [asdict(adapter) for adapter in self.adapters],
            "dead": self.dead,
            "head_saved": self.head_saved,
            "labels": None if self.labels is None else list(self.labels),
            "verdict": self.verdict,
        }


def audit_folder(path: str | Path) -> Audit:
    """Look into a PEFT adapter folder from anywhere: LoRA's matrices, or vectors.

    Nothing is unpickled, and no base model is needed. For that reason DoRA is judged by B A as
    well: its magnitude starts at the norm of the frozen weight, which is not in the file.

    Raises:
        ArtefactError: there is no such adapter here, or it is incomplete or damaged.
    """
    path = Path(path)
    if (path / ADAPTER_CONFIG).is_file():
        kind = read_adapter_config(path, *VECTORS)["peft_type"]
        if kind in VECTORS:
            return _audit_vectors(path, label_names(path), VECTORS[kind])
        return _audit_adapter(path, label_names(path))
    if (path / HEAD_FILE).is_file():
        return _audit_head(path, None)
    below = sorted(path.glob(f"*/{ADAPTER_CONFIG}"))
    raise ArtefactError(
        "this folder is neither a run nor an adapter",
        seen=path,
        allowed=f"a run, or a folder with {ADAPTER_CONFIG} and {ADAPTER_FILE}",
        next_step=f"give {below[-1].parent}" if below else "give the folder that holds them",
    )


def audit_artefact(folder: Path, plan: Plan, labels: tuple[str, ...]) -> Audit:
    """Look into what a run saved.

    Args:
        folder: the artefact.
        plan: of the run.
        labels: of the run, in order.

    Raises:
        ArtefactError: it is incomplete or damaged.
    """
    found = _audit_artefact(folder, labels, plan.record)
    ranks = plan.head_ranks
    if not ranks:
        return found
    # Saved as products, which anything can load; their factors are what trained.
    file = _weights(folder)
    products = {name: read_tensor(file, name) for name in ranks}
    excess = sum(t.size - numbers_of(t, ranks[name]) for name, t in products.items())
    return replace(found, trainable=found.trainable - excess)


def _audit_artefact(folder: Path, labels: tuple[str, ...], method: Method) -> Audit:
    if method.whole:
        numbers = sum(read_contents(f).numbers for f in sorted(folder.glob("*.safetensors")))
        return Audit(numbers, (), True, labels, "no adapters: every weight of the model trained")
    if not (folder / ADAPTER_CONFIG).is_file():
        return _audit_head(folder, labels)
    if method.vectors:
        return _audit_vectors(folder, labels, method)
    return _audit_adapter(folder, labels)


def _weights(folder: Path) -> Path:
    """The file that an artefact of trained parts keeps them in."""
    head = folder / HEAD_FILE
    return head if head.is_file() else weights_file(folder)


def _audit_head(folder: Path, labels: tuple[str, ...] | None) -> Audit:
    contents = read_contents(folder / HEAD_FILE)
    names = set(contents.others)
    # A layer of the head is saved whole; of the encoder's layers only the bias is.
    biases = [n for n in names if n.endswith(".bias") and n[:-4] + "weight" not in names]
    kind = (
        f"{len(biases)} biases of the encoder and the head" if biases else "a head-only classifier"
    )
    return Audit(contents.numbers, (), True, labels, f"no adapters: {kind}")


def _audit_vectors(folder: Path, labels: tuple[str, ...] | None, method: Method) -> Audit:
    """Where the first vector is still what it was at the start, the layer never changed.

    In place of A stands the norm of a layer's last vector, which has as many numbers as the rank
    where there are ranks; in place of B the distance of its first from the start.
    """
    tensors = read_tensors(weights_file(folder), without=method.constants)
    ends, states = [f".{vector}" for vector in method.vectors], []
    layers = (name.removesuffix(end) for end in ends for name in tensors if name.endswith(end))
    for layer in dict.fromkeys(layers):
        if lacking := [end for end in ends if layer + end not in tensors]:
            raise _half(layer, lacking[0].removeprefix("."))
        first, last = (tensors[layer + end] for end in (ends[0], ends[-1]))
        norms = [float(np.linalg.norm(v)) for v in (last, first - method.start)]
        # A factor of zero changes what a layer gives, and a product with zero does not.
        works = all(map(math.isfinite, norms)) and min(norms[len(ends) == 1 :]) > 0
        a, b = (norm if math.isfinite(norm) else None for norm in norms)
        rank = len(last) if method.kinds else 1
        states.append(AdapterState(layer, rank, a, b, dead=not works))
    if not states:
        raise _no_adapters(folder, method.peft_type, len(tensors))
    count, dead = len(states), sum(state.dead for state in states)
    unit = "adapters" if method.kinds else method.words
    verdict = f"alive: all {count} {unit} changed their layer"
    if dead:
        verdict = f"dead: {dead} of {count} {unit} {method.dead}, or not finite"
    numbers = sum(tensor.size for tensor in tensors.values())
    return Audit(numbers, tuple(states), _holds_head(tensors, ()), labels, verdict)


def _no_adapters(folder: Path, kind: str, others: int) -> ArtefactError:
    return ArtefactError(
        f"the adapter file holds no {kind} tensors, although its settings announce some",
        seen=f"{folder / ADAPTER_FILE}: {others} other tensors",
        next_step="save the adapter anew with PeftModel.save_pretrained",
    )


def _audit_adapter(folder: Path, labels: tuple[str, ...] | None) -> Audit:
    config = read_adapter_config(folder)
    contents = read_contents(weights_file(folder))
    layers: dict[str, list[Factor]] = defaultdict(list)
    for factor in contents.factors:
        layers[factor.layer].append(factor)
    if not layers:
        raise _no_adapters(folder, "LoRA", len(contents.others))
    adapters = tuple(_state(layer, factors) for layer, factors in layers.items())
    head_saved = _holds_head(contents.others, config.get("modules_to_save") or ())
    verdict = _verdict(adapters, config, head_saved=head_saved)
    return Audit(contents.numbers, adapters, head_saved, labels, verdict)


def _state(layer: str, factors: Sequence[Factor]) -> AdapterState:
    norms = {}
    for letter in "AB":
        own = [factor.norm for factor in factors if factor.letter == letter]
        if not own:
            raise _half(layer, f"lora_{letter}")
        # B is two tensors where it has a bias of its own (lora_bias).
        norms[letter] = math.hypot(*own)
    works = all(math.isfinite(norm) and norm > 0 for norm in norms.values())
    a, b = (norm if math.isfinite(norm) else None for norm in norms.values())
    rank = next(factor.rows for factor in factors if factor.letter == "A")
    return AdapterState(layer, rank, a, b, dead=not works)


def _half(layer: str, lacking: str) -> ArtefactError:
    return ArtefactError(
        "the adapter file holds only one half of an adapter",
        seen=f"{layer} has no {lacking}",
        next_step="restore the file from a copy, or save the adapter anew",
    )


def _holds_head(names: Collection[str], modules_to_save: Collection[str]) -> bool:
    """Whether a module that is saved whole is here; a bias alone (``bias="all"``) is no head."""
    heads = {*HEADS, *modules_to_save}
    weights = [f".{name}" for name in names if not name.endswith(".bias")]
    return any(f".{head}." in weight for head in heads for weight in weights)


def _verdict(
    adapters: Sequence[AdapterState], config: Mapping[str, Any], *, head_saved: bool
) -> str:
    """One sentence: dead, unproven or alive, and what else the reader must know."""
    start = config.get("init_lora_weights", True)
    if any(adapter.dead for adapter in adapters):
        sentence = _death_words(adapters, head_saved=head_saved)
    elif start not in STARTS_AT_ZERO:
        sentence = (
            f"unproven: none of the {len(adapters)} adapters is zero, but with "
            f"init_lora_weights={start} they were not zero before training either"
        )
    else:
        sentence = f"alive: all {len(adapters)} adapters changed their layer"
    if config.get("task_type") == "SEQ_CLS" and not head_saved:
        sentence += "; the head is not in the file, and will be random when loaded"
    return sentence


def _death_words(adapters: Sequence[AdapterState], *, head_saved: bool) -> str:
    broken = [a for a in adapters if None in (a.norm_a, a.norm_b)]
    still = [a for a in adapters if a.dead and a not in broken]
    faults = []
    if still:
        zero = "lora_B" if all(a.norm_b == 0 for a in still) else "B A"
        faults.append(f"{len(still)} of {len(adapters)} adapters never learned ({zero} is zero)")
    if broken:
        faults.append(f"{len(broken)} of {len(adapters)} adapters hold values that are not finite")
    sentence = "dead: " + ", ".join(faults)
    if len(still) < len(adapters):
        return sentence
    return sentence + (": only the head could have" if head_saved else ": nothing did")
