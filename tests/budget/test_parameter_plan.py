"""Plans: the published numbers, refusals word for word, sums and files that cannot lie."""

from __future__ import annotations

import json
import re
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightfit.budget.parameter_plan import Plan
from tightfit.budget.parts import (
    HeadLayer,
    LayerPlan,
    VectorPlan,
    largest_uniform_rank,
    price_at,
)
from tightfit.budget.plan_settings import plan_by
from tightfit.budget.published import published_config
from tightfit.budget.shapes import EncoderShapes, encoder_shapes
from tightfit.config import load_config
from tightfit.errors import ArtefactError, BudgetError, SettingsError, UsageError
from tightfit.families import Role
from tightfit.methods import METHODS
from tightfit.methods.vera import VERA
from tightfit.verbs.plan import plan as plan_by_name

PAPER = load_config("paper")

SETTINGS = {
    "budget": "budget.cap",
    "method": "adapters.method",
    "rank": "adapters.rank",
    "targets": "adapters.targets",
    "uppermost": "adapters.layers",
    "head": "head.kind",
}

HEAD = 768 * 768 + 768 + 768 * 4 + 4

MODERNBERT = {
    "model_type": "modernbert",
    "vocab_size": 50368,
    "hidden_size": 768,
    "intermediate_size": 1152,
    "num_hidden_layers": 22,
}


def roberta() -> EncoderShapes:
    """The published encoder, with its head for four labels."""
    return encoder_shapes(published_config("roberta-base") or {}, 4, None)


def plan_of(shapes: EncoderShapes | None = None, **changes: Any) -> Plan:
    """The published plan, or one with other settings."""
    config = PAPER.with_values({SETTINGS[name]: value for name, value in changes.items()})
    return plan_by(config, shapes or roberta(), model="roberta-base", num_labels=4)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Any plan, of any method, with layers of unequal sizes and ranks, under some cap or none."""
    method = draw(st.sampled_from(list(METHODS)))
    widths = st.tuples(st.integers(1, 64), st.integers(1, 64), st.integers(1, 64))
    drawn = draw(st.lists(widths, min_size=1, max_size=6)) if method == "lora" else []
    layers = tuple(
        LayerPlan(f"layer.{i}", min(rank, wide_in, wide_out), wide_in, wide_out, ("query", "key"))
        for i, (rank, wide_in, wide_out) in enumerate(drawn)
    )
    sizes = draw(st.lists(st.integers(0, 9_999), min_size=1, max_size=4))
    head_layers = tuple(HeadLayer(f"head.{i}", size) for i, size in enumerate(sizes))
    few = st.lists(st.integers(1, 999), min_size=1, max_size=4)
    biases = [VectorPlan(f"b.{n}", n) for n in (draw(few) if METHODS[method].vectors else [])]
    own = draw(st.integers(0, 10**9)) if method == "full" else sum(x.parameters for x in biases)
    total = own + sum(sizes) + sum(layer.parameters for layer in layers)
    return Plan(
        model=draw(st.text(st.characters(exclude_categories=["Cs"]))),
        num_labels=draw(st.integers(2, 100)),
        budget=draw(st.none() | st.integers(total, 2 * total + 1)),
        method=method,
        layers=layers,
        head_layers=head_layers,
        head_modules=("head",),
        everything=total if method == "full" else 0,
        frozen_constants=draw(st.sampled_from([(), ("centres",)])),
        vectors=tuple(biases),
    )


# --- the published system --------------------------------------------------------------------


def test_the_published_plan() -> None:
    """741,124 = 147,456 + 593,668 under the cap of a million."""
    plan = plan_of()
    assert (plan.total, plan.adapters, plan.head) == (741_124, 147_456, 593_668)
    assert plan.headroom == 258_876
    assert len(plan.layers) == 12 * 2
    assert plan.layers[1].name == "roberta.encoder.layer.0.attention.self.value"
    assert plan.layers[1].parameters == 4 * (768 + 768)


def test_the_published_head() -> None:
    """One layer each, biases included."""
    plan = plan_of()
    assert plan.head_modules == ("classifier",)
    assert plan.head_layers == (
        HeadLayer("classifier.dense", 768 * 768 + 768),
        HeadLayer("classifier.out_proj", 768 * 4 + 4),
    )


def test_rank_12_is_refused_with_the_whole_sum() -> None:
    """The message is arithmetic that a reader can check."""
    with pytest.raises(BudgetError) as caught:
        plan_of(rank=12)
    assert str(caught.value).splitlines() == [
        "1,036,036 parameters would train, 36,036 more than the cap allows",
        "  seen:    12 x query: 12 x (768 + 768) = 221,184",
        "           12 x value: 12 x (768 + 768) = 221,184",
        "           head, classifier.dense: 590,592",
        "           head, classifier.out_proj: 3,076",
        "           total: 1,036,036",
        "           cap: 1,000,000",
        "           excess: 36,036",
        "  allowed: largest uniform rank that fits: 11",
        "  next:    set adapters.rank=11, adapt fewer layers, or raise budget.cap (budget=…)",
    ]


# --- refusals --------------------------------------------------------------------------------


def test_one_parameter_decides() -> None:
    """A cap holds to the last parameter."""
    assert plan_of(budget=741_124).headroom == 0
    with pytest.raises(BudgetError, match="1 more than the cap allows"):
        plan_of(budget=741_123)


def test_a_cap_between_head_and_rank_1() -> None:
    """No rank fits, and the two smallest caps that hold something are named."""
    rank_1 = HEAD + 12 * 2 * (768 + 768)
    with pytest.raises(BudgetError) as caught:
        plan_of(budget=rank_1 - 1)
    assert caught.value.allowed == (
        "a cap of 593,668 for the head alone (adapters.method=none), "
        f"of {rank_1:,} for rank 1 on these layers; no rank fits"
    )
    assert plan_of(budget=rank_1, rank=1).headroom == 0
    assert plan_of(budget=HEAD, method="none").headroom == 0
    with pytest.raises(BudgetError, match=r"set adapters\.rank=auto.* recipe head-only"):
        plan_of(budget=HEAD)


@pytest.mark.parametrize("method", ["lora", "none"])
def test_a_cap_below_the_head(method: str) -> None:
    """It says so, since no choice of ranks can help."""
    with pytest.raises(BudgetError, match="the cap is smaller than the head") as caught:
        plan_of(budget=HEAD - 1, method=method)
    assert "a cap of 593,668 for the head alone" in str(caught.value)
    assert ("rank 1" in str(caught.value)) == (method == "lora")


def test_a_cap_below_the_whole_model() -> None:
    """Full fine-tuning lists what is not the head as one sum."""
    with pytest.raises(BudgetError, match="a cap of 124,648,708 for every weight") as caught:
        plan_of(method="full")
    assert "weights of the encoder: 124,055,040\n" in str(caught.value)


def test_layers_of_one_kind_share_a_line() -> None:
    """Equal layers are summed up; another size or rank is another line."""
    layers = [LayerPlan(f"a.{i}.dense", 2, 8, 16) for i in range(3)]
    layers += [LayerPlan("b.dense", 1, 8, 16), LayerPlan("c", 1, 4, 4, ("query", "key"))]
    plan = replace(plan_of(), layers=tuple(layers), budget=None)
    with pytest.raises(BudgetError) as caught:
        replace(plan, budget=1)
    assert str(caught.value.seen).split("\n           ")[:3] == [
        "3 x dense: 2 x (8 + 16) = 144",
        "1 x dense: 1 x (8 + 16) = 24",
        "1 x query+key (fused): 1 x (4 + 4) = 8",
    ]


def test_a_rank_above_the_layers_own_is_refused() -> None:
    """With the layer's name and the largest rank; the cap is not even asked."""
    assert plan_of(rank=768, budget=None).layers[0].rank == 768
    with pytest.raises(SettingsError, match=r"(?s)layer\.0\.attention\.self\.query.*1 to 768"):
        plan_of(rank=769)
    with pytest.raises(SettingsError, match=r"rank 0 on 768 x 768"):
        LayerPlan("query", 0, 768, 768)


def test_a_role_that_the_model_lacks_is_refused() -> None:
    """With the roles that it has, each once."""
    shapes = roberta()
    attention = tuple(layer for layer in shapes.layers if "mlp" not in layer.roles[0])
    with pytest.raises(SettingsError) as caught:
        plan_of(replace(shapes, layers=attention), targets=("query", "mlp-in"))
    assert caught.value.seen == "mlp-in"
    assert caught.value.allowed == "query, key, value, attention-output"


def test_contradictions_are_refused() -> None:
    """Adapters without LoRA, LoRA without adapters, and no output."""
    with pytest.raises(SettingsError, match="the method lora does not go with 0 adapters"):
        replace(plan_of(), layers=())
    with pytest.raises(SettingsError, match="the method none does not go with 24 adapters"):
        replace(plan_of(), method="none")
    with pytest.raises(UsageError, match=r"(?s)a head needs an output.*seen: +0\n"):
        plan_by(PAPER, roberta(), model="roberta-base", num_labels=0)


# --- methods and targets ---------------------------------------------------------------------


def test_what_was_checked_stays_so() -> None:
    """Neither a plan nor anything that it was priced from can be changed afterwards."""
    shapes, plan = roberta(), plan_of()
    parts = (plan.layers[0], plan.head_layers[0], shapes.layers[0], shapes.head[0])
    for checked in (plan, shapes, *parts):
        with pytest.raises(FrozenInstanceError):
            setattr(checked, "name", "another")  # noqa: B010 - an assignment that mypy lets pass


def test_head_only_and_full() -> None:
    """Neither has adapters; what is not the head is the encoder's own."""
    head_only = plan_of(method="none")
    assert (head_only.total, head_only.adapters, head_only.layers) == (HEAD, 0, ())
    assert (head_only.everything, plan_of().everything) == (0, 0)
    full = plan_of(method="full", budget=None)
    assert (full.total, full.everything, full.layers) == (124_648_708, 124_648_708, ())
    assert (full.adapters, full.head, full.headroom) == (124_648_708 - HEAD, HEAD, None)


def test_what_is_not_said_of_a_plan_is_nothing() -> None:
    """Of a plan from elsewhere only what trains is known."""
    plan = Plan("m", 2, None, "none", (), (HeadLayer("head", 3),), ("head",))
    assert (plan.total, plan.everything, plan.saved_constants, plan.why) == (3, 0, (), "")


def test_what_is_saved_and_does_not_train() -> None:
    """VeRA's two shared matrices, and hidden layers of a head that stand still; else nothing."""
    still = ("classifier.dense.weight", "classifier.dense.bias")
    assert plan_of().saved_constants == ()
    assert plan_of(method="vera").saved_constants == VERA.constants
    assert plan_of(head="linear").saved_constants == still
    assert plan_of(method="vera", head="linear").saved_constants == (*still, *VERA.constants)
    assert "shared" not in plan_of().to_json()
    assert plan_of(method="vera").to_json()["shared"] == list(VERA.constants)


@pytest.mark.parametrize("targets", [("query",), ("value", "query"), ("query", "key", "value")])
def test_a_fused_layer_is_adapted_once(targets: tuple[Role, ...]) -> None:
    """Whichever of its roles are asked for, at the price of its full width."""
    shapes = encoder_shapes({**MODERNBERT, "max_position_embeddings": 8192}, 4, None)
    plan = plan_of(shapes, targets=targets)
    assert len(plan.layers) == 22
    assert plan.layers[0].roles == ("query", "key", "value")
    assert plan.adapters == 22 * 4 * (768 + 3 * 768)


def test_targets_are_adapted_in_the_models_order() -> None:
    """However they were listed; the wide layers of the MLP cost more."""
    plan = plan_of(targets=("mlp-out", "mlp-in", "query"), rank=1)
    assert [layer.roles for layer in plan.layers[:3]] == [("query",), ("mlp-in",), ("mlp-out",)]
    assert plan.adapters == 12 * ((768 + 768) + 2 * (768 + 3072))


@pytest.mark.parametrize("uppermost", [1, 5, 12])
def test_only_the_uppermost_blocks_are_adapted(uppermost: int) -> None:
    """Counted out: two layers a block, from the top down."""
    plan = plan_of(uppermost=uppermost)
    blocks = sorted({int(layer.name.split(".")[3]) for layer in plan.layers})
    assert blocks == list(range(12 - uppermost, 12))
    assert plan.adapters == uppermost * 2 * 4 * (768 + 768)


def test_half_of_the_blocks_are_the_upper_ones() -> None:
    """Six of twelve, and of an odd number the larger half."""
    assert plan_of(uppermost="half") == plan_of(uppermost=6)
    published = published_config("roberta-base") or {}
    shapes = encoder_shapes({**published, "num_hidden_layers": 5}, 4, None)
    layers = plan_of(shapes, uppermost="half").layers
    assert {int(layer.name.split(".")[3]) for layer in layers} == {2, 3, 4}


def test_the_uppermost_of_all_blocks_is_the_plan_of_all() -> None:
    """Whichever way it is said."""
    assert plan_of(uppermost=12) == plan_of(uppermost=None)


def test_more_blocks_than_there_are_is_refused() -> None:
    """With the number that there is."""
    with pytest.raises(SettingsError, match=r"(?s)fewer layers.*adapters\.layers=13.*1 to 12"):
        plan_of(uppermost=13)


def test_shared_blocks_have_no_upper_ones() -> None:
    """ALBERT's one block is the lowest and the uppermost; more than one group is no way out."""
    published = published_config("bert-base-uncased")
    assert published is not None
    config = {**published, "model_type": "albert"}
    config["embedding_size"] = 128
    with pytest.raises(SettingsError, match=r"its 12 layers share one block(?s:.*)allowed: all"):
        plan_of(encoder_shapes(config, 4, None), uppermost=1)
    shapes = encoder_shapes({**config, "num_hidden_groups": 2}, 4, None)
    with pytest.raises(SettingsError, match="share 2 blocks"):
        plan_of(shapes, uppermost=1)
    assert len(plan_of(shapes).layers) == 2 * 2


# --- sums and files --------------------------------------------------------------------------


@given(plans())
def test_the_total_is_the_sum_of_its_parts(plan: Plan) -> None:
    """Counted out one by one, for every method."""
    adapters = sum(x.rank * x.in_features + x.out_features * x.rank for x in plan.layers)
    head = sum(layer.parameters for layer in plan.head_layers)
    own = plan.everything - head if plan.method == "full" else 0
    own += sum(bias.parameters for bias in plan.vectors)
    assert plan.total == adapters + own + head == plan.adapters + plan.head
    assert plan.headroom is None or plan.headroom == (plan.budget or 0) - plan.total >= 0


@given(plans().filter(lambda plan: plan.method == "lora"), st.integers(0, 10**5))
def test_the_largest_uniform_rank_fits_and_the_next_does_not(plan: Plan, cap: int) -> None:
    """Compared with making the plan of each rank until one is refused."""
    best = 0
    for rank in range(1, 65):
        layers = [(x.name, rank, x.in_features, x.out_features) for x in plan.layers]
        try:
            replace(plan, budget=cap, layers=tuple(LayerPlan(*layer) for layer in layers))
        except (BudgetError, SettingsError):
            break
        best = rank
    assert largest_uniform_rank(plan.layers, head=plan.head, cap=cap) == best


def test_the_price_of_a_rank_is_that_of_the_two_matrices() -> None:
    """On frozen layers as on planned ones."""
    layers = roberta().layers
    assert price_at(1, layers) == 12 * (4 * (768 + 768) + 2 * (768 + 3072))
    assert largest_uniform_rank(layers, head=HEAD, cap=HEAD + 5 * price_at(1, layers)) == 5


@given(plans())
def test_a_plan_survives_its_file(plan: Plan) -> None:
    """Through the text of JSON and back."""
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_the_keys_that_others_read() -> None:
    """The contract of ``plan --json``; extra keys follow."""
    written = plan_of().to_json()
    contract = "model num_labels budget total adapters head headroom layers head_layers".split()
    assert list(written)[:9] == contract
    assert written["layers"][0] == {
        "name": "roberta.encoder.layer.0.attention.self.query",
        "rank": 4,
        "in": 768,
        "out": 768,
        "parameters": 6144,
        "roles": ["query"],
    }
    assert written["head_layers"][1] == {"name": "classifier.out_proj", "parameters": 3076}


@pytest.mark.parametrize("key", ["total", "adapters", "head", "headroom"])
@given(plan=plans(), change=st.integers(-5, 5).filter(bool))
def test_a_changed_sum_is_refused(key: str, plan: Plan, change: int) -> None:
    """No file can claim another total than its parts have."""
    written = plan.to_json()
    claimed = (written[key] or 0) + change
    with pytest.raises(ArtefactError, match=f"{key} is {claimed} and should be {written[key]}"):
        Plan.from_json({**written, key: claimed})


@pytest.mark.parametrize("place", ["rank", "in", "out", "parameters"])
def test_a_changed_layer_is_refused(place: str) -> None:
    """One larger or smaller: the sums no longer agree, or the layer with itself."""
    for change in (-1, 1):
        written = plan_of().to_json()
        written["layers"][3][place] += change
        with pytest.raises(ArtefactError, match="damaged or was changed"):
            Plan.from_json(written)


@pytest.mark.parametrize("key", plan_of().to_json())
def test_a_missing_key_is_refused(key: str) -> None:
    """Whichever it is."""
    written = plan_of(budget=None).to_json()
    del written[key]
    with pytest.raises(ArtefactError, match=key):
        Plan.from_json(written)


@pytest.mark.parametrize(
    ("key", "value", "seen"),
    [
        ("model", 7, "model = 7: Input should be a valid string"),
        ("num_labels", True, "num_labels = True: Input should be a valid integer"),
        ("num_labels", 4.0, "num_labels = 4.0: Input should be a valid integer"),
        ("num_labels", 0, "a head needs an output"),
        ("budget", "1000000", "budget = '1000000': Input should be a valid integer"),
        ("budget", 741_123, "1 more than the cap allows"),
        ("method", "magic", "KeyError: 'magic'"),
        ("method", "none", "does not go with 24 adapters"),
        ("layers", None, "layers = None: Input should be a valid array"),
        ("layers", ["query"], "layers.0 = 'query': Input should be an object"),
        ("layers", [], "does not go with 0 adapters"),
        ("head_layers", [{}], "head_layers.0.name = {}: Field required"),
        (
            "head_modules",
            "classifier",
            "head_modules = 'classifier': Input should be a valid array",
        ),
        ("frozen_constants", [1], "frozen_constants.0 = 1: Input should be a valid string"),
        ("everything", None, "everything = None: Input should be a valid integer"),
        ("colour", "red", "colour is red and should be nothing"),
    ],
)
def test_a_damaged_plan_is_refused(key: str, value: object, seen: str) -> None:
    """With the thing that is wrong, as an artefact's fault and not a setting's."""
    with pytest.raises(ArtefactError, match=rf"(?s)damaged or was changed.*{re.escape(seen)}"):
        Plan.from_json({**plan_of().to_json(), key: value})


@pytest.mark.parametrize(
    ("cap", "width", "rank"),
    [(1_000_000, 32_768, 20), (500_000, 16_384, 10), (200_000, 4_096, 4)],
)
def test_a_side_head_by_hand(cap: int, width: int, rank: int) -> None:
    """4 x (width + 1) of it, 4 x (384 + 1) of the head, and as many ranks as are left."""
    made = plan_by_name("all-MiniLM-L6-v2", budget=cap, settings=[f"head.side={width}"])
    a_rank = 6 * (4 * 2 * 384 + 2 * (384 + 1536))
    assert {layer.rank for layer in made.layers} == {rank}
    assert made.total == rank * a_rank + 4 * 385 + 4 * (width + 1)
    assert made.total <= cap < made.total + a_rank
    assert made.to_json()["side"] == 4 * (width + 1)
    assert Plan.from_json(made.to_json()) == made


def test_no_rank_or_method_pays_for_a_side_head() -> None:
    """Where all else is over the cap as well, it goes first; what is left is told as ever."""
    settings = ["head.side=4096", "adapters.method=none", "head.kind=stock"]
    with pytest.raises(BudgetError) as caught:
        plan_by_name("roberta-base", budget=1_000, settings=settings)
    assert str(caught.value.next_step).startswith("set head.side=off; the cap is smaller than")
    assert "a cap of 593,668 for the head alone" in str(caught.value)


def test_a_side_head_over_the_cap() -> None:
    """The sum is printed, and how many buckets would fit."""
    with pytest.raises(BudgetError) as refused:
        plan_by_name(
            "all-MiniLM-L6-v2", budget=100_000, settings=["head.side=32768", "adapters.rank=1"]
        )
    told = str(refused.value)
    assert "side head: 4 x (32,768 + 1) = 131,076" in told
    assert "excess: 74,088" in told
    assert "a side head of 14,246 n-grams" in told
