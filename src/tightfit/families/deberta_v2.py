"""DeBERTa, versions 2 and 3 (arXiv:2006.03654, arXiv:2111.09543)."""

from __future__ import annotations

from tightfit.families import bert
from tightfit.families.family import Family, HeadSpec, six
from tightfit.families.other_parameters import norms, positions
from tightfit.families.sizes import Sizes


def _other_parameters(sizes: Sizes, blocks: int) -> int:
    width = sizes.count("embedding_size", sizes.hidden)
    tables = sizes.count("vocab_size") + sizes.count("type_vocab_size", 0)
    tables += sizes.flag("position_biased_input", True) * positions(sizes)
    widening = sizes.hidden * width if width != sizes.hidden else 0
    scales = norms(sizes, 1 + 2 * blocks + ("layer_norm" in sizes.words("norm_rel_ebd")))
    kernel, groups = sizes.count("conv_kernel_size", 0), sizes.count("conv_groups", 1)
    # Besides the kernel: a bias, and the scale and shift of a norm.
    convolution = (kernel * sizes.hidden // groups + 3) * sizes.hidden if kernel else 0
    return tables * width + widening + scales + convolution + _relative(sizes, blocks)


def _relative(sizes: Sizes, blocks: int) -> int:
    """Relative positions: their embeddings, and projections unless content's own are shared."""
    if not sizes.flag("relative_attention", False):
        return 0
    # One row for each distance to either side, unless far distances share rows (buckets).
    reach = max(sizes.signed("max_relative_positions", -1), 0) or positions(sizes)
    rows = 2 * (max(sizes.signed("position_buckets", -1), 0) or reach)
    own = 0
    if not sizes.flag("share_att_key", False):
        own = sum(kind in sizes.words("pos_att_type") for kind in ("c2p", "p2c"))
    return rows * sizes.hidden + own * blocks * (sizes.hidden + 1) * sizes.hidden


DEBERTA_V2 = Family(
    "deberta",
    six(
        "attention.self.query_proj",
        "attention.self.key_proj",
        "attention.self.value_proj",
        *bert.OUTPUTS,
    ),
    # DeBERTa was pre-trained without a pooler, so that no checkpoint brings a trained one.
    (HeadSpec("pooler", {"pooler.dense": "hidden"}), bert.CLASSIFIER),
    segments=0,
    other_parameters=_other_parameters,
)
