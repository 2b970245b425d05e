"""Parameters of an encoder outside its blocks' linear layers and outside the head.

Embeddings, norms and the odd projection never carry adapters; they only count towards the whole
model, which full fine-tuning trains. What several families share; the rest is in their records.
"""

from __future__ import annotations

from tightfit.families.sizes import Sizes


def plain(sizes: Sizes, blocks: int) -> int:
    """Words and positions; a norm above them, and two in each block."""
    tables = sizes.count("vocab_size") + positions(sizes)
    return tables * sizes.hidden + norms(sizes, 1 + 2 * blocks)


def with_types(sizes: Sizes, blocks: int) -> int:
    """The same, and token types."""
    return plain(sizes, blocks) + sizes.count("type_vocab_size", 2) * sizes.hidden


def narrow_embeddings(sizes: Sizes, projected: bool) -> int:
    """Embeddings narrower than the encoder, their norm, and the projection that widens them."""
    width = sizes.count("embedding_size", 128)
    tables = sizes.count("vocab_size") + positions(sizes) + sizes.count("type_vocab_size", 2)
    return tables * width + 2 * width + projected * (width + 1) * sizes.hidden


def positions(sizes: Sizes) -> int:
    """Rows of the table of positions."""
    return sizes.count("max_position_embeddings")


def norms(sizes: Sizes, count: int) -> int:
    """Scale and shift of that many norms."""
    return count * 2 * sizes.hidden
