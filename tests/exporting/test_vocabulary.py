"""``export --vocabulary used``: fewer pieces, the same tokens, and what other texts lose."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    pipeline,
)

import tightfit
from tests.exports import by_itself, toy_run, wide_encoder
from tests.toy_setups import SHORT, Notes
from tests.toys import WORDS, toy_config, toy_rows, toy_tokenizer, write_jsonl
from tightfit.data.text_prefix import put_prefix
from tightfit.errors import DataError, UsageError
from tightfit.exporting.vocabulary import narrowed, used_ids
from tightfit.run import Run

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
UNSEEN = ("rhythm", "xylophone", "quartz")
"""Words with pieces of their own that no training row has."""
LETTERS = sorted({letter for word in (*WORDS, *UNSEEN) for letter in word} | {"\u2581"})


def unigram() -> PreTrainedTokenizerFast:
    """Specials, whole words, pairs of letters, letters with scores that fall, and a mask."""
    chance = random.Random(0)
    pairs = sorted({a + b for word in WORDS for a, b in pairwise(word)})
    pieces = [(name, 0.0) for name in SPECIAL]
    pieces += [(f"\u2581{word}", -2 - chance.random()) for word in (*WORDS, *UNSEEN)]
    pieces += [(pair, -5 - chance.random()) for pair in pairs]
    pieces += [(letter, -7 - chance.random()) for letter in LETTERS]
    tokenizer = Tokenizer(models.Unigram([*pieces, ("lowest", -30.0)], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in SPECIAL])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    names = ("cls_token", "pad_token", "sep_token", "unk_token")
    special = dict(zip(names, SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **special)


@pytest.fixture(scope="module", params=["bert", "xlm-roberta"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on such an encoder, its validation rows with a word that no training row has."""
    folder, tokenizer = tmp_path_factory.mktemp("narrow"), unigram()
    special = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "initializer_range": 0.3}
    config = toy_config(request.param, vocab_size=len(tokenizer) + 7, **special)
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder / "encoder")
    tokenizer.save_pretrained(folder / "encoder")
    held = [{**row, "text": f"{row['text']} {UNSEEN[0]}"} for row in toy_rows(40, seed=1)]
    tightfit.train(
        write_jsonl(folder / "rows.jsonl", toy_rows(200)),
        validation=write_jsonl(folder / "held.jsonl", held),
        model=str(folder / "encoder"),
        settings=[*SHORT, "head.pooling=first"],
        out=folder / "run",
        max_steps=4,
        progress=Notes(),
    )
    return Run.load(folder / "run")


def test_texts_within_have_the_same_tokens(run: Run) -> None:
    """Words before them included; a character that no piece has is as unlikely as before."""
    tokenizer = copy.deepcopy(run.classifier.tokenizer)
    put_prefix(tokenizer.backend_tokenizer, "goal match")
    ids_V = used_ids(tokenizer, ["the team", "stock of profit", "a"])
    told = narrowed(replace(run.classifier, tokenizer=tokenizer), ids_V)
    few = told.tokenizer.backend_tokenizer
    whole, chance = tokenizer.backend_tokenizer, random.Random(1)
    texts = [" ".join(chance.choices("the team stock of profit".split(), k=9)) for _ in range(50)]
    for text in [*texts, "the 世 team", "世界", "", "<mask> team", *LETTERS]:
        assert ids_V[few.encode(text).ids].tolist() == whole.encode(text).ids
    assert few.get_vocab_size() == len(ids_V) < whole.get_vocab_size()
    framed = [*whole.encode("shares").tokens[:3], "\u2581", *"shares", "</s>"]
    assert few.encode("shares").tokens == framed


@pytest.mark.parametrize("form", ["merged", "onnx", "onnx-int8"])
def test_an_export_is_smaller_and_answers_alike(form: str, run: Run, tmp_path: Path) -> None:
    """By itself, on rows that it was made of; its figures are on record and on the card."""
    whole, few = (exported(run, form, tmp_path / kind, kind) for kind in ("all", "used"))
    assert few.bytes < whole.bytes
    assert few.parity.rows == 40 + 10
    if form != "onnx-int8":
        texts = [str(text) for text in run.validation.inputs] if run.validation else []
        told = by_itself(tmp_path / "used", texts)
        assert [label for label, _ in told] == run.predict(texts).labels
        scores = np.array([float(score) for _, score in told])
        assert np.abs(scores - run.predict(texts).confidence).max() < 1e-4


def exported(run: Run, form: str, out: Path, vocabulary: Any) -> tightfit.ExportResult:
    """An export, its own rows compared."""
    return tightfit.export(run.path, form, out, vocabulary=vocabulary, progress=Notes())


def test_what_others_lose_is_measured(run: Run, tmp_path: Path) -> None:
    """By the pieces of the training rows: their tokens counted, their answers scored by hand."""
    kept, tokenizer = run.validation, run.classifier.tokenizer
    assert kept is not None
    told = exported(run, "merged", tmp_path, "used").to_json()["vocabulary"]
    texts = [str(text) for text in kept.inputs]
    tokens = [token for text in texts for token in tokenizer.tokenize(text)]
    beyond, special = tokens.count(f"\u2581{UNSEEN[0]}"), 2 * len(texts)
    assert told["outside"] == pytest.approx(beyond / (len(tokens) + special))
    apart = narrowed(run.classifier, used_ids(tokenizer, [row["text"] for row in toy_rows(200)]))
    answer = pipeline("text-classification", apart.module, tokenizer=apart.tokenizer)
    right = [each["label"] for each in answer(texts)] == np.array(kept.task.names)[kept.targets_N]
    lost = (kept.logits_NK.argmax(1) == kept.targets_N).mean() - np.mean(right)
    assert told["cost"] == {"accuracy_loss": pytest.approx(lost), "by": "labels", "rows": 40}


def test_its_figures_are_on_record(run: Run, tmp_path: Path) -> None:
    """In the answer, beside the model, and on its card."""
    told = exported(run, "merged", tmp_path, "used").to_json()["vocabulary"]
    assert json.loads((tmp_path / "export.json").read_text("utf-8"))["vocabulary"] == told
    assert told["kept"] < told["pieces"] == len(unigram()) + 7
    card = (tmp_path / "README.md").read_text("utf-8")
    assert f"{told['kept']:,} of {told['pieces']:,} pieces are kept" in card


def test_other_tools_load_it(run: Run, tmp_path: Path) -> None:
    """Plain ``transformers``, tokens and logits."""
    exported(run, "merged", tmp_path / "used", "used")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "used").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "used")
    text = "the team of the stock market"
    with torch.inference_mode():
        found = model(**tokenizer(text, return_tensors="pt")).logits.numpy()
    assert model.config.vocab_size == len(tokenizer)
    assert np.abs(found - run.predictor.logits([text])).max() < 1e-4


def test_what_cannot_be_cut(run: Run, tmp_path: Path) -> None:
    """An adapter has no vocabulary; tokens without scores; rows that are not at hand."""
    with pytest.raises(UsageError, match="format='peft' vocabulary='used'"):
        exported(run, "peft", tmp_path / "out", "used")
    rows = Path(run.data.source)
    moved = rows.rename(rows.with_suffix(".gone"))
    try:
        with pytest.raises(DataError, match="put them back"):
            exported(run, "merged", tmp_path / "out", "used")
    finally:
        moved.rename(rows)
    with pytest.raises(UsageError, match="of the kind WordLevel"):
        used_ids(toy_tokenizer(), [])
    assert not (tmp_path / "out").exists()


def test_pieces_without_scores_are_told_at_once(tmp_path: Path) -> None:
    """Before torch is loaded and rows are read, of which this run has none."""
    run = toy_run(wide_encoder(tmp_path / "encoder"), tmp_path / "run")
    notes = Notes()
    with pytest.raises(UsageError, match="of the kind WordLevel"):
        tightfit.export(run, "merged", tmp_path / "out", vocabulary="used", progress=notes)
    assert (notes.said, notes.warned) == ([], [])
