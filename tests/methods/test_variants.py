"""Variants of LoRA: priced exactly, taught, and plain PEFT's own folder at the end."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.typing import NDArray
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from tests.methods.conftest import BIAS, DORA, EVERYWHERE, IA3, VARIANTS
from tests.toy_setups import (
    LABELS,
    TEXTS,
    assert_lean_agrees,
    toy_classifier,
    toy_job,
    toy_plan,
    toy_settings,
)
from tests.toys import SMALL, toy_tokenizer
from tightfit import Run, TrainResult, audit, export
from tightfit.budget.parameter_plan import Plan
from tightfit.errors import BudgetError, SettingsError
from tightfit.methods import METHODS, PLAIN
from tightfit.model.adapter_audit import _audit_vectors
from tightfit.model.adapters import adapter_pairs, base_model, quiet_peft
from tightfit.model.encoders import quiet_transformers
from tightfit.progress import Progress
from tightfit.storage import RunFolder, read_json
from tightfit.training.optim import RATE, make_optimizer

VERA = "adapters.method=vera"
IN_PEFT = tuple(name for name in VARIANTS if name != "bias")
FUSED = {"modernbert": "adapters.targets=query,attention-output,mlp-in,mlp-out"}


def plain_logits(run: TrainResult, encoder: Path) -> NDArray[Any]:
    """What peft and transformers make of the adapter folder, without tightfit."""
    with quiet_transformers(), quiet_peft():
        base = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=len(LABELS))
        model = PeftModel.from_pretrained(base, str(RunFolder(run.run).adapter)).eval()
    batch = toy_tokenizer()(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return logits.numpy()


@pytest.mark.parametrize("variant", IN_PEFT)
def test_plain_peft_answers_alike(
    variant: str, trained: Callable[[str], TrainResult], bert: Path
) -> None:
    """Onto the same base model, with the run's own logits."""
    run = trained(variant)
    ours = Run.load(run.run).predictor.logits(TEXTS)
    assert plain_logits(run, bert) == pytest.approx(ours, abs=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_four_gates_agree(variant: str, trained: Callable[[str], TrainResult]) -> None:
    """Plan, built model, optimiser and file; every proof holds."""
    run = trained(variant)
    assert all(proof["ok"] for proof in run.proofs.values())
    gates = read_json(RunFolder(run.run).proofs)["gates"]
    counts = {gates[gate] for gate in ("plan", "built", "optimizer", "saved")}
    assert counts == {run.total}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_tensor_got_a_gradient_and_moved(
    variant: str, trained: Callable[[str], TrainResult]
) -> None:
    """None is exempt, and each is seen by name."""
    run = trained(variant)
    proofs = read_json(RunFolder(run.run).proofs)
    gradients, moved = proofs["gradients"], proofs["movement"]
    assert (gradients["exempt"], gradients["never"], gradients["not_due"]) == ([], [], [])
    assert moved["still"] == []
    assert len(moved["adapters"]) == (0 if variant in ("vera", "ia3", "bias") else 12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_merged_answers_alike(
    variant: str, trained: Callable[[str], TrainResult], tmp_path: Path
) -> None:
    """Each variant goes into the weights."""
    exported = export(trained(variant).run, "merged", out=tmp_path / "merged", progress=Progress())
    assert exported.to_json()["parity"]["max_abs_difference"] < 1e-4


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_untouched_adapter_changes_nothing(variant: str, bert: Path) -> None:
    """Training starts at the frozen encoder's own answers, wherever the matrices start."""
    ours = toy_classifier(bert, EVERYWHERE, *VARIANTS[variant])
    plain = toy_classifier(bert, "adapters.method=none")
    plain.load_state({name: ours.state()[name] for name in plain.state()})
    ids = torch.tensor([[2, 5, 6, 3]])
    with torch.no_grad():
        found = [c.module.eval()(input_ids=ids).logits for c in (ours, plain)]
    torch.testing.assert_close(*found, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("setting", "family"),
    # The linear layers of ModernBERT have no bias.
    [x for x in product([DORA, VERA, IA3, BIAS], SMALL) if x != (BIAS, "modernbert")],
)
def test_the_price_is_that_of_the_built_model(
    setting: str, family: str, encoders: Callable[[str], Path]
) -> None:
    """In every family, what requires gradients is what is declared and planned."""
    classifier = toy_classifier(encoders(family), setting, FUSED.get(family, EVERYWHERE))
    declared = classifier.trainable()
    assert sum(p.numel() for p in declared.values()) == classifier.plan.total
    for vector in classifier.plan.vectors:
        assert declared[vector.name].numel() == vector.parameters
    required = {id(p) for p in classifier.module.parameters() if p.requires_grad}
    assert required == {id(p) for p in declared.values()}


def test_the_sums_by_hand(bert: Path) -> None:
    """Two blocks: five outputs 32 wide and one of 64, inputs 32 but for one of 64."""
    inputs, outputs = 2 * (5 * 32 + 64), 2 * (5 * 32 + 64)
    assert toy_plan(bert, EVERYWHERE, "adapters.rank=3").adapters == 3 * (inputs + outputs)
    dora = toy_plan(bert, EVERYWHERE, "adapters.rank=3", DORA)
    assert dora.adapters == 3 * (inputs + outputs) + outputs
    assert toy_plan(bert, EVERYWHERE, "adapters.rank=3", VERA).adapters == 12 * 3 + outputs
    pissa = toy_plan(bert, EVERYWHERE, "adapters.rank=3", "adapters.init=pissa")
    assert pissa.adapters == 3 * (inputs + outputs)
    assert toy_plan(bert, EVERYWHERE, IA3).adapters == outputs
    # Of a key a bias adds the same to every score, and softmax does not see it.
    assert toy_plan(bert, EVERYWHERE, BIAS).adapters == outputs - 2 * 32


@pytest.mark.parametrize(("setting", "unit", "fixed"), [(DORA, 4 * 64, 4 * 32), (VERA, 4, 4 * 32)])
def test_the_cap_decides_the_rank(bert: Path, setting: str, unit: int, fixed: int) -> None:
    """Four layers of 32 x 32 and a head of 66: one parameter less, and the rank is lower."""
    cap = 66 + fixed + 5 * unit
    settings = [setting, "adapters.rank=auto", "adapters.targets=query,value"]
    plan = toy_plan(bert, *settings, f"budget.cap={cap}")
    assert plan.total == cap
    less = toy_plan(bert, *settings, f"budget.cap={cap - 1}")
    assert less.total == cap - unit


@pytest.mark.parametrize("setting", [DORA, VERA])
def test_too_little_for_all_layers(bert: Path, setting: str) -> None:
    """Fewer layers are adapted, and below one of them the head trains alone."""
    settings = [setting, "adapters.rank=auto", "adapters.targets=query,value"]
    first = toy_plan(bert, setting, "adapters.rank=1", "adapters.targets=value").adapters // 2
    one = toy_plan(bert, *settings, f"budget.cap={66 + first}")
    assert (one.adapters, one.method) == (first, "vera" if setting == VERA else "lora")
    assert "uppermost block alone" in one.why
    none = toy_plan(bert, *settings, f"budget.cap={65 + first}")
    assert (none.method, none.total) == ("none", 66)
    assert f"the cheapest adapter costs {first}" in none.why


@pytest.mark.parametrize("setting", [DORA, VERA, IA3])
def test_one_parameter_less_is_refused(bert: Path, setting: str) -> None:
    """With an explicit rank, and with the whole sum."""
    total = toy_plan(bert, setting).total
    with pytest.raises(BudgetError, match="1 more than the cap allows") as caught:
        toy_plan(bert, setting, f"budget.cap={total - 1}")
    if setting == DORA:
        assert "2 x query: 4 x (32 + 32) + 32 = 576" in str(caught.value)
        assert "largest uniform rank that fits: 3" in str(caught.value)


@pytest.mark.parametrize("setting", [DORA, VERA])
def test_the_plan_survives_its_file(bert: Path, setting: str) -> None:
    """With what it says of its kind and its constants; plain LoRA says nothing new."""
    plan = toy_plan(bert, setting)
    assert Plan.from_json(plan.to_json()) == plan
    spoilt = plan.to_json()
    spoilt["adapters"] += 1
    with pytest.raises(ValueError, match="damaged"):
        Plan.from_json(spoilt)
    plain = toy_plan(bert).to_json()
    assert "shared" not in plain
    assert "kind" not in plain["layers"][0]


@pytest.mark.parametrize("kind", ["moda", ["dora"]])
def test_an_unknown_kind_of_adapter_is_damage(bert: Path, kind: object) -> None:
    """A plan from a later version, or one that was edited."""
    spoilt = toy_plan(bert, DORA).to_json()
    spoilt["layers"][0]["kind"] = kind
    with pytest.raises(ValueError, match=rf"adapter of kind {re.escape(repr(kind))}"):
        Plan.from_json(spoilt)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["adapters.init=pissa", DORA], "that adapters.dora measures"),
        (["budget.allocation=importance", "adapters.rank=auto", DORA], "set dora=false"),
        (["optim.lora_plus=0"], "greater than 0"),
        (["adapters.method=vera", DORA], "dora is for LoRA's matrices, and .*=vera has none"),
        (["adapters.method=ia3", "adapters.init=eva"], "adapters.init is for LoRA's"),
        (["adapters.method=none", "optim.lora_plus=4"], "optim.lora_plus is for LoRA's"),
    ],
)
def test_contradictions(bert: Path, settings: list[str], words: str) -> None:
    """Each is refused before anything is built."""
    with pytest.raises(SettingsError, match=words):
        toy_settings(bert, *settings)


def test_the_lean_path_refuses_dora_with_dropout(bert: Path) -> None:
    """PEFT then drops what the frozen weight reads, too; the reason goes on record."""
    setup = toy_job(bert, DORA, "adapters.dropout=0.1")
    assert setup.lean is None
    assert setup.decisions.forward is not None
    assert "a second time" in setup.decisions.forward.reason


@pytest.mark.parametrize("variant", ["lora+", "dora", "pissa", "eva", "vera", "ia3", "bias"])
def test_the_lean_path_answers_alike(bert: Path, variant: str) -> None:
    """Logits, and the gradient of every tensor, are those of the model's own forward pass."""
    assert_lean_agrees(toy_job(bert, EVERYWHERE, *VARIANTS[variant], "adapters.alpha=3"))


def test_b_alone_learns_faster(bert: Path) -> None:
    """LoRA+: the first step of AdamW moves a weight by its rate, whatever the gradient."""
    classifier = toy_classifier(bert, "head.kind=linear")
    optim = toy_settings(bert, "optim.lora_plus=8", "optim.lr=1e-3", "optim.weight_decay=0").optim
    trainable = classifier.trainable()
    optimizer = make_optimizer(trainable, optim, classifier.plan)
    for group in optimizer.param_groups:
        group["lr"] = optim.lr * group[RATE]
    before = classifier.state()
    for parameter in trainable.values():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    steps = {n: float((before[n] - p).detach().abs().mean()) for n, p in trainable.items()}
    a, b = (steps[f"{classifier.plan.layers[0].name}.lora_{x}.weight"] for x in "AB")
    assert [a, b] == pytest.approx([1e-3, 8e-3], rel=1e-3)
    assert steps["classifier.bias"] == pytest.approx(1e-3, rel=1e-3)


def test_vectors_are_not_decayed(bert: Path) -> None:
    """VeRA's d would be pulled to zero, DoRA's lengths and IA3's factors with it."""
    kinds = {VERA: "vera_lambda_d", DORA: "lora_magnitude_vector", IA3: "ia3_l"}
    for setting, kind in kinds.items():
        setup = toy_job(bert, setting)
        trainable = setup.classifier.trainable()
        optimizer = make_optimizer(trainable, setup.config.optim, setup.classifier.plan)
        decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
        found = {decay[id(p)] for name, p in trainable.items() if name.endswith(kind)}
        assert found == {0.0}


def test_pissa_starts_at_the_leading_terms(bert: Path) -> None:
    """B A and what is frozen add up to the weight; B A is its best approximation of that rank."""
    ours = toy_classifier(bert, "adapters.init=pissa", "adapters.rank=4")
    plain = toy_classifier(bert, "adapters.method=none")
    for pair in adapter_pairs(ours.module):
        weight = base_model(plain.module).get_parameter(f"{pair.name}.weight").detach()
        frozen = base_model(ours.module).get_submodule(pair.name).get_base_layer().weight
        product = (pair.scale * pair.b_OR @ pair.a_RI).detach()
        torch.testing.assert_close(product + frozen, weight, atol=1e-6, rtol=0)
        u, s, v = torch.linalg.svd(weight)
        leading = u[:, :4] @ torch.diag(s[:4]) @ v[:4]
        torch.testing.assert_close(product, leading, atol=1e-5, rtol=0)


def test_vera_computes_what_the_paper_says(bert: Path) -> None:
    """h = W x + bias + b * (B (d * (A x))), with matrices that other layers share."""
    classifier = toy_classifier(bert, VERA, EVERYWHERE, "adapters.rank=8")
    name = "bert.encoder.layer.1.output.dense"
    layer = base_model(classifier.module).get_submodule(name)
    x, b_O = torch.randn(3, 64), torch.randn(32)
    d_R = torch.randn(8)
    classifier.load_state(
        {**classifier.state(), f"{name}.vera_lambda_b": b_O, f"{name}.vera_lambda_d": d_R}
    )
    a_RI, b_OR = layer.vera_A["default"][:, :64], layer.vera_B["default"][:32]
    with torch.no_grad():
        wanted = x @ layer.weight.T + layer.bias + b_O * ((d_R * (x @ a_RI.T)) @ b_OR.T)
        torch.testing.assert_close(layer(x), wanted)


def test_vera_s_constants_are_saved_and_listed(
    trained: Callable[[str], TrainResult],
) -> None:
    """Beside exactly the plan's total, and plan.json names them."""
    run = trained("vera")
    saved = load_file(RunFolder(run.run).adapter / "adapter_model.safetensors")
    listed = read_json(RunFolder(run.run).plan)["shared"]
    assert sum(t.numel() for n, t in saved.items() if n not in listed) == run.total
    assert {name: tuple(saved[name].shape) for name in listed} == {
        "base_model.vera_A": (8, 64),
        "base_model.vera_B": (64, 8),
    }


def test_the_audit_of_vera(trained: Callable[[str], TrainResult], tmp_path: Path) -> None:
    """Alive, and dead where b is zero; the shared matrices are not counted."""
    run = trained("vera")
    found = audit(run.run)
    assert found.verdict == "alive: all 12 adapters changed their layer"
    assert found.trainable == run.total
    assert {state.rank for state in found.adapters} == {8}
    assert replace(audit(RunFolder(run.run).adapter), labels=found.labels) == found
    saved = load_file(RunFolder(run.run).adapter / "adapter_model.safetensors")
    name = next(name for name in saved if name.endswith("vera_lambda_b"))
    save_file({**saved, name: saved[name] * 0}, tmp_path / "adapter_model.safetensors")
    dead = _audit_vectors(tmp_path, None, METHODS["vera"])
    assert dead.verdict.startswith("dead: 1 of 12 adapters")
    assert [s.norm_b for s in dead.adapters if s.dead] == [0.0]


@pytest.mark.parametrize(
    ("variant", "verdict"),
    [("dora", "alive: all 12"), ("eva", "alive: all 12"), ("pissa", "unproven: none of the 12")],
)
def test_the_audit_of_the_others(
    variant: str, verdict: str, trained: Callable[[str], TrainResult]
) -> None:
    """PiSSA's B A is not zero before training either, and the file alone cannot tell."""
    run = trained(variant)
    found = audit(run.run)
    assert found.verdict.startswith(verdict)
    assert found.trainable == run.total


@pytest.mark.parametrize(
    ("variant", "page_words", "card_words"),
    [
        ("vera", "24 vectors of the encoder", "in vectors around random matrices (VeRA)"),
        ("ia3", "12 factors of the encoder", "448 in factors on outputs of the encoder's layers"),
        ("dora", "2 x (4 x (32 + 32) + 32)", "DoRA of rank 4"),
        ("pissa", "2 x 4 x (32 + 32)", "leading singular vectors (PiSSA)"),
        ("eva", "2 x 4 x (32 + 32)", "leading directions of activations (EVA)"),
    ],
)
def test_the_report_and_the_card_name_them(
    variant: str, page_words: str, card_words: str, trained: Callable[[str], TrainResult]
) -> None:
    """Where each parameter went."""
    run = trained(variant)
    page = (run.run / "report.html").read_text()
    assert page_words in page
    assert variant in ("vera", "ia3") or "all 12 adapters learned" in page
    card = (RunFolder(run.run).adapter / "README.md").read_text()
    assert card_words in card
    assert "PeftModel.from_pretrained" in card


def test_a_plan_of_mixed_kinds_is_counted(bert: Path) -> None:
    """Price and rank of each layer are its own."""
    plan = toy_plan(bert, DORA)
    mixed = replace(plan, layers=(replace(plan.layers[0], kind=PLAIN), *plan.layers[1:]))
    assert plan.total - mixed.total == 32
