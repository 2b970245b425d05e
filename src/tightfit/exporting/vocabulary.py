"""``--vocabulary used``: a classifier without the pieces that its run's texts never use.

Most of an encoder of many languages is the embeddings of its pieces. A text is cut into the pieces
whose scores add up to most (Unigram, arXiv:1804.10959), so with fewer to choose from it is cut as
before wherever those are kept. Others fall into smaller pieces. All single characters are kept, so
that hardly any become unknown, and the piece of the lowest score, by which unknown ones are scored.

Shapes: N rows, K labels, V pieces that are kept.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedTokenizerBase

from tightfit.data.text_tokenizer import tokenise
from tightfit.encoder.on_torch import all_logits
from tightfit.engines.engine import TorchEngine
from tightfit.engines.parity import Loss
from tightfit.exporting.format_names import check_pieces
from tightfit.exporting.formats import plain_model
from tightfit.model.classifier import Classifier

UNCUT = 10**9
"""Tokens: of a long text all pieces are kept, wherever it is cut."""


@dataclass(frozen=True)
class Vocabulary:
    """What is kept of a vocabulary, and what rows beyond it lose."""

    kept: int
    pieces: int
    """Before."""
    outside: float
    """Of the tokens of rows to compare, the share beyond the pieces of the training rows."""
    cost: Loss
    """What those rows lose by the pieces of the training rows alone."""


def used_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> NDArray[np.int64]:
    """``ids_V`` of the pieces that are kept for these texts, ascending.

    Raises:
        UsageError: tokens are found otherwise than by the scores of pieces.
    """
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    model: dict[str, Any] = rules["model"]
    check_pieces(model["type"])
    alone = [place for place, (piece, _) in enumerate(model["vocab"]) if len(piece) == 1]
    lowest = int(np.argmin([score for _, score in model["vocab"]]))
    special = [token["id"] for token in rules["added_tokens"]]
    # Some encoders number positions by the padding token, so that its id must stay.
    first = range(int(tokenizer.pad_token_id) + 1)
    found = tokenise(tokenizer, texts, UNCUT).ids
    return np.unique([*alone, lowest, *special, *first, model["unk_id"], *found])


def narrowed(classifier: Classifier, ids_V: NDArray[np.int64]) -> Classifier:
    """A plain copy with these pieces alone, numbered anew in their order."""
    model = plain_model(classifier)
    words = model.get_input_embeddings()
    assert isinstance(words, nn.Embedding)
    kept_VH = words.weight.detach()[torch.from_numpy(ids_V)].clone()
    model.set_input_embeddings(nn.Embedding.from_pretrained(kept_VH, padding_idx=words.padding_idx))
    model.config.vocab_size = len(ids_V)
    tokenizer: Any = copy.deepcopy(classifier.tokenizer)
    tokenizer._tokenizer = _renumbered(tokenizer.backend_tokenizer, ids_V)
    return replace(classifier, module=model, tokenizer=tokenizer)


def _renumbered(tokenizer: Tokenizer, ids_V: NDArray[np.int64]) -> Tokenizer:
    rules = json.loads(tokenizer.to_str())
    places = {old: new for new, old in enumerate(ids_V.tolist())}
    model, frame = rules["model"], rules["post_processor"] or {}
    model["vocab"] = [model["vocab"][old] for old in places if old < len(model["vocab"])]
    model["unk_id"] = places[model["unk_id"]]
    for token in rules["added_tokens"]:
        token["id"] = places[token["id"]]
    for token in frame.get("special_tokens", {}).values():
        token["ids"] = [places[old] for old in token["ids"]]
    return Tokenizer.from_str(json.dumps(rules))


def logits_of(classifier: Classifier, texts: Sequence[str], max_length: int) -> NDArray[np.float32]:
    """``logits_NK`` of the texts."""
    tokens = tokenise(classifier.tokenizer, texts, max_length)
    return all_logits(TorchEngine(classifier.module), tokens)
