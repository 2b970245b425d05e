"""Toy encoders and tokenizers, made on the spot: a few thousand weights, nothing downloaded."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from tightfit.families import COMPUTED, FAMILIES, mean_block

WORDS = [
    *("goal match team coach season striker league".split()),
    *("stock market shares profit bank trade price".split()),
    *("the a of in on and for with new after".split()),
]
SPORT, MONEY, FILLER = WORDS[:7], WORDS[7:14], WORDS[14:]
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]

SMALL: dict[str, dict[str, Any]] = {
    "bert": {"num_hidden_layers": 2, "intermediate_size": 64},
    "roberta": {"num_hidden_layers": 2, "intermediate_size": 64, "max_position_embeddings": 66},
    "xlm-roberta": {"num_hidden_layers": 2, "intermediate_size": 64, "max_position_embeddings": 66},
    "camembert": {"num_hidden_layers": 2, "intermediate_size": 64, "max_position_embeddings": 66},
    "electra": {"num_hidden_layers": 2, "intermediate_size": 64, "embedding_size": 16},
    "distilbert": {"n_layers": 2, "dim": 32, "hidden_dim": 64, "n_heads": 2},
    "mpnet": {"num_hidden_layers": 2, "intermediate_size": 64, "max_position_embeddings": 66},
    "deberta-v2": {"num_hidden_layers": 2, "intermediate_size": 64, "relative_attention": True},
    "modernbert": {"num_hidden_layers": 2, "intermediate_size": 48, "local_attention": 8},
    "albert": {"num_hidden_layers": 2, "intermediate_size": 64, "embedding_size": 16},
}
"""What makes each family small; the rest is set in :func:`toy_config`."""

WITH_MEAN = [family for family in COMPUTED if mean_block(FAMILIES[family], 1)]
"""Those in which a block can compute the mean of all tokens."""


def toy_config(family: str, **more: Any) -> Any:
    """A configuration of two layers of width 32."""
    common = {"vocab_size": len(SPECIAL) + len(WORDS), "pad_token_id": 0, "bos_token_id": 2}
    width = {} if family == "distilbert" else {"hidden_size": 32, "num_attention_heads": 2}
    special = {"eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    return AutoConfig.for_model(family, **{**common, **special, **width, **SMALL[family], **more})


def toy_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, between <s> and </s>; a second text has segment 1, and </s> behind it."""
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> $B:1 </s>:1",
        special_tokens=[("<s>", 2), ("</s>", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        cls_token="<s>",
        sep_token="</s>",
        model_max_length=64,
    )


def toy_encoder(folder: Path, family: str = "bert", **more: Any) -> Path:
    """A model folder with random weights and a tokenizer, as ``save_pretrained`` leaves it."""
    torch.manual_seed(0)
    AutoModel.from_config(toy_config(family, **more)).save_pretrained(folder)
    toy_tokenizer().save_pretrained(folder)
    return folder


def toy_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of two classes that differ in their words: ``text`` and ``label``."""
    chance = random.Random(seed)
    rows = []
    for i in range(count):
        words = [chance.choice(SPORT if i % 2 else MONEY) for _ in range(chance.randint(1, 6))]
        words += [chance.choice(FILLER) for _ in range(chance.randint(1, 12))]
        chance.shuffle(words)
        rows.append({"text": " ".join(words), "label": "sport" if i % 2 else "money"})
    return rows


def pair_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of two classes: whether the second text is of the same field as the first."""
    chance = random.Random(seed)
    rows = []
    for i in range(count):
        fields = [SPORT, MONEY] if chance.random() < 0.5 else [MONEY, SPORT]
        pair = [fields[0], fields[0] if i % 2 else fields[1]]
        texts = [" ".join(chance.choices(words, k=chance.randint(1, 4))) for words in pair]
        label = "same" if i % 2 else "other"
        rows.append({"premise": texts[0], "hypothesis": texts[1], "label": label})
    return rows


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows, one JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path
