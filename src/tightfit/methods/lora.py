"""LoRA (arXiv:2106.09685): a product of two narrow matrices is added to the frozen weight.

    h = W x + (alpha / r) B A dropout(x)    W (out, in) frozen, A (r, in), B (out, r), B = 0 first

Its kin, by the settings of ``adapters``:

    dora    every row of W + (alpha / r) B A is brought to a length that trains (arXiv:2402.09353)
    pissa   B A starts at the r leading terms of W's SVD, and W is frozen without them
            (arXiv:2404.02948); so the saved A and B belong to this very W, and PEFT, which finds
            ``init_lora_weights="pissa"`` beside them, takes those terms out of it again
    rslora  alpha / sqrt(r) in place of alpha / r (arXiv:2312.03732)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tightfit.methods.method import AdapterKind, AdapterSettings, Method

PLAIN = AdapterKind("lora", "LoRA", weighed=True)
DORA = AdapterKind("dora", "DoRA", lengths=True)


class _Lora(Method):
    def peft_settings(self, ranks: Mapping[str, int], settings: AdapterSettings) -> dict[str, Any]:
        told = super().peft_settings(ranks, settings)
        return told | {
            "rank_pattern": {name: r for name, r in ranks.items() if r != told["r"]},
            "lora_alpha": settings.alpha,
            "use_rslora": settings.rslora,
            "use_dora": settings.dora,
            # EVA starts like any other, until it has seen texts: see training/eva_init.py.
            "init_lora_weights": "pissa" if settings.init == "pissa" else True,
        }


LORA = _Lora(
    "lora",
    form="peft",
    peft_type="LORA",
    kinds=(PLAIN, DORA),
    late=("lora_A.weight",),
    replicates=True,
    idle={},
)
