"""The formats of exports by name, and what can be said of one before torch is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from tightfit.errors import ProofError, UsageError
from tightfit.extras import ensure

if TYPE_CHECKING:
    from tightfit.budget.parameter_plan import Plan

Format = Literal["peft", "merged", "onnx", "onnx-int8"]
FORMATS: tuple[Format, ...] = get_args(Format)

Pieces = Literal["all", "used"]
"""Of a vocabulary, what an export keeps: all, or what the run's texts use and single characters."""

PURPOSE = "exporting to ONNX"

FACTS_FILE = "export.json"
"""What an export is, and how it was compared; every exported folder has it."""
LABELS_FILE = "labels.json"


def check_format(name: str, plan: Plan | None = None, pieces: Pieces = "all") -> Format:
    """The format by this name, if it exists, can be made here, and suits what trained.

    Raises:
        MissingExtraError: it needs packages that are not installed.
        ProofError: the format cannot hold what trained.
        UsageError: there is no such format, or none for what is to be kept.
    """
    found = next((known for known in FORMATS if known == name), None)
    if found is None:
        raise UsageError(
            "unknown format",
            seen=name,
            allowed=", ".join(FORMATS),
            next_step="choose one of these as --format",
        )
    if found.startswith("onnx"):
        ensure_onnx()
    if found == "peft" and pieces == "used":
        raise UsageError(
            "an adapter has no vocabulary of its own, but that of its base model",
            seen="--format peft --vocabulary used",
            allowed=", ".join(FORMATS[1:]),
            next_step="leave out --vocabulary, or choose another --format",
        )
    if found == "peft" and plan is not None and not plan.peft_loads:
        bare = plan.record.form != "peft"
        raise ProofError(
            "PEFT has no form for a run without adapters"
            if bare
            else "PEFT cannot build the block of this encoder that computes the mean of all tokens",
            seen=f"method {plan.method}" if bare else "head.pooling=mean",
            allowed=", ".join(FORMATS[1:]),
            next_step="export it as --format merged, which any transformers program loads",
        )
    return found


def check_pieces(kind: str) -> None:
    """Check that a vocabulary can be cut, before any work is done.

    Args:
        kind: how the tokenizer finds pieces, as ``model.type`` of its ``tokenizer.json`` says.

    Raises:
        UsageError: tokens are found otherwise than by the scores of pieces.
    """
    if kind != "Unigram":
        raise UsageError(
            "a vocabulary is cut only where texts fall into pieces by their scores (Unigram)",
            seen=f"--vocabulary used with a tokenizer of the kind {kind}",
            next_step="leave out --vocabulary",
        )


def ensure_onnx() -> None:
    """Check that the optional packages are there, before any work is done.

    Raises:
        MissingExtraError: one is not.
    """
    for package in ("onnx", "onnxruntime"):
        ensure(package, PURPOSE)
