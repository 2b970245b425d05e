"""IA3 (arXiv:2205.05638): a factor on each output of a layer, 1 at the start."""

from __future__ import annotations

from tightfit.methods.method import Method

IA3 = Method(
    "ia3",
    form="peft",
    peft_type="IA3",
    # These would get their factors before the layer; here all have them behind it.
    peft_more={"feedforward_modules": []},
    words="factors",
    where="factors on outputs of the encoder's layers",
    unit="factors",
    vectors=("ia3_l",),
    start=1.0,
    dead="are 1 still",
)
