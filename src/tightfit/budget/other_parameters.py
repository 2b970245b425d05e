"""Parameters of an encoder outside its blocks' linear layers and outside the head.

Embeddings, norms and the odd projection never carry adapters; they only count towards the whole
model, which full fine-tuning trains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tightfit.budget.sizes import Sizes


def rest_parameters(model_type: str, sizes: Sizes, blocks: int) -> int:
    """Parameters that are neither in a block's linear layers nor in the head.

    Args:
        model_type: a known family.
        sizes: the model's configuration.
        blocks: how many blocks hold weights of their own.
    """
    return _REST.get(model_type, _bert)(sizes, blocks)


def _plain(sizes: Sizes, blocks: int) -> int:
    """Words and positions; a norm above them, and two in each block."""
    tables = sizes.count("vocab_size") + _positions(sizes)
    return tables * sizes.hidden + _norms(sizes, 1 + 2 * blocks)


def _bert(sizes: Sizes, blocks: int) -> int:
    return _plain(sizes, blocks) + sizes.count("type_vocab_size", 2) * sizes.hidden


def _mpnet(sizes: Sizes, blocks: int) -> int:
    buckets = sizes.count("relative_attention_num_buckets", 32)
    return _plain(sizes, blocks) + buckets * sizes.count("num_attention_heads")


def _electra(sizes: Sizes, blocks: int) -> int:
    projected = sizes.count("embedding_size", 128) != sizes.hidden
    return _narrow_embeddings(sizes, projected) + _norms(sizes, 2 * blocks)


def _albert(sizes: Sizes, blocks: int) -> int:
    return _narrow_embeddings(sizes, projected=True) + _norms(sizes, 2 * blocks)


def _narrow_embeddings(sizes: Sizes, projected: bool) -> int:
    """Embeddings narrower than the encoder, their norm, and the projection that widens them."""
    width = sizes.count("embedding_size", 128)
    tables = sizes.count("vocab_size") + _positions(sizes) + sizes.count("type_vocab_size", 2)
    return tables * width + 2 * width + projected * (width + 1) * sizes.hidden


def _modernbert(sizes: Sizes, blocks: int) -> int:
    # One norm for the embeddings and one at the end; the first block lacks one of its two.
    norms = (1 + sizes.flag("norm_bias", False)) * sizes.hidden * (2 * blocks + 1)
    return sizes.count("vocab_size") * sizes.hidden + norms


def _deberta(sizes: Sizes, blocks: int) -> int:
    width = sizes.count("embedding_size", sizes.hidden)
    tables = sizes.count("vocab_size") + sizes.count("type_vocab_size", 0)
    tables += sizes.flag("position_biased_input", True) * _positions(sizes)
    widening = sizes.hidden * width if width != sizes.hidden else 0
    norms = _norms(sizes, 1 + 2 * blocks + ("layer_norm" in sizes.words("norm_rel_ebd")))
    kernel, groups = sizes.count("conv_kernel_size", 0), sizes.count("conv_groups", 1)
    # Besides the kernel: a bias, and the scale and shift of a norm.
    convolution = (kernel * sizes.hidden // groups + 3) * sizes.hidden if kernel else 0
    return tables * width + widening + norms + convolution + _deberta_relative(sizes, blocks)


def _deberta_relative(sizes: Sizes, blocks: int) -> int:
    """Relative positions: their embeddings, and projections unless content's own are shared."""
    if not sizes.flag("relative_attention", False):
        return 0
    # One row for each distance to either side, unless far distances share rows (buckets).
    reach = max(sizes.signed("max_relative_positions", -1), 0) or _positions(sizes)
    rows = 2 * (max(sizes.signed("position_buckets", -1), 0) or reach)
    own = 0
    if not sizes.flag("share_att_key", False):
        own = sum(kind in sizes.words("pos_att_type") for kind in ("c2p", "p2c"))
    return rows * sizes.hidden + own * blocks * (sizes.hidden + 1) * sizes.hidden


def _positions(sizes: Sizes) -> int:
    return sizes.count("max_position_embeddings")


def _norms(sizes: Sizes, count: int) -> int:
    """Scale and shift of that many norms."""
    return count * 2 * sizes.hidden


_REST: Mapping[str, Callable[[Sizes, int], int]] = {
    "distilbert": _plain,
    "mpnet": _mpnet,
    "electra": _electra,
    "albert": _albert,
    "modernbert": _modernbert,
    "deberta-v2": _deberta,
}
