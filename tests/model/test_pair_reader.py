"""What a side head reads of a pair, against the states of transformers' own encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from tests.toys import pair_rows
from tightfit.data.text_pair import TextPair
from tightfit.data.text_tokenizer import TextTokenizer
from tightfit.errors import ArtefactError
from tightfit.families import MEAN_SCALE
from tightfit.model.locate import locate
from tightfit.model.pair_reader import PairReader
from tightfit.model.side_head import SideHead

PAIRS = [TextPair(row["premise"], row["hypothesis"]) for row in pair_rows(9)]


@pytest.fixture(scope="module")
def reader(encoder: Path) -> PairReader:
    """Of texts of up to 32 tokens."""
    tokenizer = TextTokenizer.of(encoder)
    return PairReader.of(locate(str(encoder)), lambda texts: tokenizer.tokens(texts, 32))


def slowly(text: str, encoder: Path) -> np.ndarray:
    """The mean of a text's states, a hundredth of the first beside it, of length 1."""
    model, tokenizer = AutoModel.from_pretrained(encoder), AutoTokenizer.from_pretrained(encoder)
    with torch.inference_mode():
        states_LH = model.eval()(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
    state_H = (MEAN_SCALE * states_LH.mean(0) + states_LH[0]).double().numpy()
    state_H -= state_H.mean()
    return state_H / np.linalg.norm(state_H)


def test_features_are_those_of_two_texts(reader: PairReader, encoder: Path) -> None:
    """Of each by itself, whatever stands beside it; a text in several pairs is computed once."""
    for pair, found_F in zip(PAIRS, reader.features(PAIRS), strict=True):
        u_H, v_H = (slowly(text, encoder) for text in (pair.first, pair.second))
        wanted_F = np.concatenate([np.abs(u_H - v_H), u_H * v_H, u_H - v_H])
        np.testing.assert_allclose(found_F, wanted_F, atol=1e-5)
        assert found_F @ reader.cosine_F == pytest.approx(u_H @ v_H, abs=1e-5)
    assert reader.features([]).shape == (0, reader.width)


def test_a_side_head_of_pairs_is_a_product_of_them(reader: PairReader, tmp_path: Path) -> None:
    """Read as it was written; it is none of single texts, and none of another encoder."""
    chance = np.random.default_rng(0)
    weight_FK = chance.normal(size=(reader.width, 3)).astype(np.float32)
    head = SideHead(weight_FK, np.zeros(3, np.float32), reader, kept=0.25)
    head.write(tmp_path)
    again = SideHead.read(tmp_path, 3, reader)
    wanted_NK = reader.features(PAIRS) @ weight_FK
    np.testing.assert_allclose(again.logits(PAIRS), wanted_NK, atol=1e-6)
    assert (again.kept, again.plan) == (0.25, head.plan)
    for labels, pairs in ((3, None), (2, reader)):
        with pytest.raises(ArtefactError, match="the side head cannot be read"):
            SideHead.read(tmp_path, labels, pairs)
    SideHead(weight_FK[:9], head.bias_K, reader).write(tmp_path)
    with pytest.raises(ArtefactError, match="the side head cannot be read"):
        SideHead.read(tmp_path, 3, reader)
