"""A short training in each way to tune an encoder, once for all tests of this package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.toy_setups import SHORT
from tightfit import TrainResult, train
from tightfit.progress import Progress

DORA = "adapters.dora=true"
IA3 = "adapters.method=ia3"
BIAS = "adapters.method=bias"
EVERYWHERE = "adapters.targets=query,key,value,attention-output,mlp-in,mlp-out"
VARIANTS = {
    "lora+": ["optim.lora_plus=16"],
    "rslora": ["adapters.rslora=true"],
    "dora": [DORA],
    "vera": ["adapters.method=vera", "adapters.rank=8"],
    "pissa": ["adapters.init=pissa"],
    "eva": ["adapters.init=eva"],
    "ia3": [IA3],
    "bias": [BIAS],
}


@pytest.fixture(scope="package")
def trained(
    bert: Path, rows_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], TrainResult]:
    """A short training of a variant on all layers, once for each."""
    made: dict[str, TrainResult] = {}

    def once(variant: str) -> TrainResult:
        if variant not in made:
            settings = [*SHORT, EVERYWHERE, "optim.lr=1e-2", *VARIANTS[variant]]
            out = tmp_path_factory.mktemp("variant") / "run"
            model = str(bert)
            made[variant] = train(
                rows_file, model=model, out=out, settings=settings, max_steps=6, progress=Progress()
            )
        return made[variant]

    return once
