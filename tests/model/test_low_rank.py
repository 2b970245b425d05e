"""A head of low rank: priced, trained and saved as such, and an ordinary layer for the world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.toy_setups import SHORT
from tests.toys import toy_rows, write_jsonl
from tightfit import Run, audit, train
from tightfit.budget import allocate
from tightfit.budget.parameter_plan import Plan
from tightfit.budget.plan_settings import plan_by
from tightfit.budget.shapes import EncoderShapes, encoder_shapes
from tightfit.config import load_config
from tightfit.errors import BudgetError
from tightfit.model.adapter_folder import numbers_of
from tightfit.model.adapters import NEAR_IDENTITY, quiet_peft
from tightfit.model.artefact import count_saved
from tightfit.model.low_rank import LowRankLinear
from tightfit.progress import Progress
from tightfit.storage import RunFolder, read_json

MINILM = {
    **{"model_type": "bert", "hidden_size": 384, "num_hidden_layers": 6},
    **{"intermediate_size": 1536, "vocab_size": 30522, "max_position_embeddings": 512},
}


def planned(
    budget: int | None, *more: str, labels: int = 77, shapes: EncoderShapes | None = None
) -> Plan:
    """For an encoder of 384 features, on all its layers."""
    targets = "query,key,value,attention-output,mlp-in,mlp-out"
    asked = ["adapters.rank=auto", f"adapters.targets={targets}", "head.kind=auto", *more]
    config = load_config("paper", [*asked, f"budget.cap={budget or 'none'}"])
    shapes = shapes or encoder_shapes(MINILM, labels, None)
    return plan_by(config, shapes, model="toy", num_labels=labels)


@pytest.mark.parametrize("cap", [*range(538, 29_645, 997), 25_000, 29_644])
def test_any_cap_from_rank_one_on_is_spent_exactly(cap: int) -> None:
    """461 r + 77 for the head, what is left for adapters, and the rest for the head again."""
    plan = planned(cap)
    (head,) = plan.head_layers
    assert head.rank is not None
    assert head.parameters == 461 * head.rank + 77
    assert cap - 461 < plan.total <= cap
    assert Plan.from_json(plan.to_json()) == plan
    assert f"rank {head.rank}: whole it would cost 29,645" in plan.why


@pytest.mark.parametrize(
    ("labels", "cap", "rank", "adapted"),
    [(4, 1_537, 3, 0), (4, 1_150, 2, 0), (77, 10_000, 21, 0), (77, 25_000, 34, 12)],
)
def test_the_head_comes_first(labels: int, cap: int, rank: int, adapted: int) -> None:
    """As far as differences of four labels need, or 32 ranks; only then adapters."""
    plan = planned(cap, labels=labels)
    assert (plan.head_layers[-1].rank, len(plan.layers)) == (rank, adapted)


def test_a_head_that_fits_stays_whole() -> None:
    """At its very price."""
    plan = planned(29_645)
    assert plan.head_layers[0].rank is None
    assert "rank" not in plan.to_json()["head_layers"][0]


def test_too_small_for_rank_one() -> None:
    """The smallest cap is named."""
    with pytest.raises(BudgetError, match="a cap of 538 for the head alone"):
        planned(537)


def test_other_heads_are_never_narrowed() -> None:
    """But the message says which would be."""
    with pytest.raises(BudgetError, match=r"set head.kind=auto \(a head of low rank"):
        planned(25_000, "head.kind=linear")


def test_a_rank_that_was_asked_for_leaves_a_head_that_fits_whole() -> None:
    """Both together are over the cap: that is refused, not paid by the head in silence."""
    asked = ("adapters.rank=4", "adapters.targets=query")
    free = planned(None, *asked)
    cap = max(free.adapters + 10_000, free.head)
    with pytest.raises(BudgetError):
        planned(cap, *asked)


def test_the_output_layer_alone_is_narrowed_and_takes_the_rest() -> None:
    """Behind a hidden layer that must train; r (768 + 77) + 77 for the output layer."""
    size = {"dim": 768, "hidden_dim": 3072, "n_layers": 6, "max_position_embeddings": 512}
    shapes = encoder_shapes({"model_type": "distilbert", "vocab_size": 30522, **size}, 77, None)
    cap = 768 * 768 + 768 + 30_000
    plan = planned(cap, "adapters.method=none", shapes=shapes)
    assert [layer.rank is None for layer in plan.head_layers] == [True, False]
    assert cap - (768 + 77) < plan.total <= cap


def test_biases_and_factors_leave_the_rest_to_the_head() -> None:
    """As adapters do."""
    plan = planned(25_000, "adapters.method=bias")
    assert 25_000 - 461 < plan.total <= 25_000


@pytest.mark.parametrize("scale", [1.0, NEAR_IDENTITY])
def test_it_begins_at_the_nearest_weight(scale: float) -> None:
    """By Eckart and Young: the error is the singular values that were dropped."""
    torch.manual_seed(0)
    layer = nn.Linear(12, 7)
    narrow = LowRankLinear(layer, 3, scale)
    dropped = torch.linalg.svdvals(layer.weight)[3:].square().sum().sqrt()
    error = torch.linalg.matrix_norm(narrow.weight - layer.weight)
    torch.testing.assert_close(error, dropped)
    x = torch.randn(5, 12)
    expected = x @ narrow.weight.T + layer.bias
    torch.testing.assert_close(narrow(x), expected)


def test_factors_are_balanced_on_the_features_as_they_would_be() -> None:
    """So that one learning rate suits both."""
    torch.manual_seed(0)
    layer = nn.Linear(12, 7)
    small = nn.Linear(12, 7)
    with torch.no_grad():
        small.weight.copy_(layer.weight / NEAR_IDENTITY)
    plain, scaled = LowRankLinear(layer, 3), LowRankLinear(small, 3, NEAR_IDENTITY)
    assert torch.allclose(plain.up.norm(), plain.down.norm())
    torch.testing.assert_close(scaled.up.norm(), plain.up.norm())
    torch.testing.assert_close(scaled.down * NEAR_IDENTITY, plain.down.sign() * plain.down.abs())


def test_its_state_is_that_of_a_linear_layer() -> None:
    """A fresh layer takes it."""
    torch.manual_seed(0)
    narrow, fresh = LowRankLinear(nn.Linear(12, 7), 3), nn.Linear(12, 7)
    fresh.load_state_dict(narrow.state_dict())
    x = torch.randn(5, 12)
    torch.testing.assert_close(fresh(x), narrow(x))


def test_a_weight_of_higher_rank_counts_in_full() -> None:
    """Whoever saved more than was planned is found out."""
    torch.manual_seed(0)
    product = (torch.randn(40, 3) @ torch.randn(3, 30)).double().numpy()
    assert numbers_of(product, 3) == 3 * 70
    assert numbers_of(product, 2) == 1200
    assert numbers_of(torch.randn(40, 30).numpy(), 3) == 1200


@pytest.fixture(scope="module", params=["bert", "roberta"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three labels whose head has rank 2, behind a pooler and behind a dense layer."""
    folder = tmp_path_factory.mktemp("narrow")
    rows = [{**row, "label": f"{row['label']}{i % 4}"} for i, row in enumerate(toy_rows(96))]
    settings = [*SHORT, "head.kind=auto", "head.start=probe", "adapters.rank=auto"]
    labels = len({row["label"] for row in rows})
    whole = 32 * labels + labels
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(allocate, "FIRST_RANKS", 1)  # 32 would be all of this encoder's features
        return train(
            write_jsonl(folder / "rows.jsonl", rows),
            model=str(request.getfixturevalue(request.param)),
            out=folder / "run",
            budget=whole - 1,
            settings=settings,
            progress=Progress(),
        ).run


def test_all_gates_agree(run: Path) -> None:
    """Planned, built, optimised, saved and audited."""
    plan = Plan.from_json(read_json(RunFolder(run).plan))
    assert plan.head_layers[-1].rank is not None
    gates = read_json(RunFolder(run).proofs)["gates"]
    assert gates["ok"]
    assert {gates[gate] for gate in ("plan", "built", "optimizer", "saved")} == {plan.total}
    assert audit(run).trainable == plan.total


def test_the_fourth_gate_sees_a_head_that_grew(run: Path, tmp_path: Path) -> None:
    """A weight of full rank in the file is over the plan."""
    plan = Plan.from_json(read_json(RunFolder(run).plan))
    (file,) = RunFolder(run).adapter.glob("*.safetensors")
    (name,) = (n for n in load_file(file) if n.endswith(next(iter(plan.head_ranks))))
    torch.manual_seed(0)
    tensors = load_file(file)
    tensors[name] = torch.randn_like(tensors[name])
    save_file(tensors, tmp_path / file.name)
    with pytest.raises(BudgetError, match="against the plan"):
        count_saved(plan, tmp_path)
    assert count_saved(plan, RunFolder(run).adapter) == plan.total


def test_plain_peft_loads_it(run: Path) -> None:
    """And answers alike."""
    loaded = Run.load(run)
    texts = ["goal match in the team", "stock"]
    labels = loaded.task.outputs
    folder = RunFolder(run).adapter
    config = read_json(folder / "adapter_config.json")
    base = AutoModelForSequenceClassification.from_pretrained(
        config["base_model_name_or_path"], num_labels=labels
    )
    with quiet_peft():
        model = PeftModel.from_pretrained(base, str(folder)).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(texts, return_tensors="pt", padding=True)
    with torch.inference_mode():
        theirs_NK = (model(**tokens).logits / loaded.predictor.temperature).softmax(1).numpy()
    np.testing.assert_allclose(loaded.predict(texts).probabilities, theirs_NK, atol=5e-5)
