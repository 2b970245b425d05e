"""Settings: recipes, overrides, mistakes, and the way to a file and back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tightfit.config import (
    DEFAULT_RECIPE,
    Config,
    Decision,
    Decisions,
    from_toml,
    load_config,
    read_settings,
    recipe_about,
    recipe_names,
    setting_names,
    undecided,
)
from tightfit.errors import SettingsError

PUBLISHED = """
budget.cap=1_000_000 model.name=roberta-base model.frozen_dropout=true adapters.method=lora
adapters.rank=4 adapters.alpha=8 adapters.dropout=0.05 adapters.targets=query,value head.kind=stock
data.validation_rows=640 data.stratify=false data.max_length=128 optim.lr=1e-5
optim.weight_decay=0.01 optim.warmup_steps=500 optim.epochs=8 optim.batch=16 optim.accumulate=2
optim.label_smoothing=0.1 optim.clip=1.0 optim.betas=[0.9,0.999] optim.eps=1e-8
train.precision=fp16 train.checkpointing=on train.group_by_length=true train.eval_every=200
train.eval_batch=64 predict.max_length=256 tracking.to=none seed=42
"""
"""The published system, written down a second time and apart from the recipe."""

FIXED_NAMES = """
budget.cap budget.allocation model.name model.frozen_dropout adapters.method adapters.rank
adapters.alpha adapters.dropout adapters.targets head.kind data.validation_rows data.stratify
data.max_length data.long_text data.labels optim.lr optim.weight_decay optim.warmup_steps
optim.epochs optim.batch optim.accumulate optim.label_smoothing optim.clip train.precision
train.checkpointing train.eval_every predict.max_length tracking.to seed
"""
"""Names that users' scripts rely on."""

each_recipe = pytest.mark.parametrize("recipe", recipe_names())


def changed(one: Config, other: Config) -> set[str]:
    """Dotted names of the settings in which two configurations differ."""
    first, second = one.model_dump(), other.model_dump()
    names = {"seed" if name == "seed" else tuple(name.split(".")) for name in setting_names()}
    return {
        ".".join(name)
        for name in names
        if name != "seed" and first[name[0]][name[1]] != second[name[0]][name[1]]
    } | ({"seed"} if one.seed != other.seed else set())


# --- recipes ---------------------------------------------------------------------------------


def test_the_recipes_are_those_that_are_promised() -> None:
    """The default is one of them."""
    assert recipe_names() == ["fast", "full", "head-only", "paper", "paper-as-run", "tight"]
    assert load_config().recipe == DEFAULT_RECIPE == "tight"


@each_recipe
def test_every_recipe_comes_back_from_a_file(recipe: str) -> None:
    """What a run stores is what it ran with."""
    config = load_config(recipe)
    assert config.recipe == recipe
    assert from_toml(config.to_toml()) == config


@each_recipe
def test_every_recipe_says_what_it_is_for(recipe: str) -> None:
    """One line for the listing."""
    about = recipe_about(recipe)
    assert about
    assert "\n" not in about


def test_paper_is_the_published_table() -> None:
    """Assigning the published value of every setting changes nothing."""
    assert load_config("paper", PUBLISHED.split()) == load_config("paper")


def test_paper_as_run_differs_in_nothing_but_the_dead_adapters() -> None:
    """Else its number would not be the published one."""
    difference = changed(load_config("paper"), load_config("paper-as-run"))
    assert difference == {"train.checkpointing", "train.expect_dead"}


def test_full_has_no_cap_and_head_only_no_adapters() -> None:
    """The two baselines."""
    assert load_config("full").budget.cap is None
    assert load_config("full").adapters.method == "full"
    assert load_config("head-only").adapters.method == "none"


def test_an_unknown_recipe_is_named_with_the_nearest() -> None:
    """And all there are."""
    message = r"unknown recipe\n.*papre\n.*tight, or a TOML file\n.*mean 'paper'"
    with pytest.raises(SettingsError, match=message):
        load_config("papre")


# --- overrides -------------------------------------------------------------------------------


def test_fixed_names_exist() -> None:
    """None of the names in the contract is missing."""
    assert set(FIXED_NAMES.split()) <= set(setting_names())


def test_later_overrides_win_and_change_nothing_else() -> None:
    """Only the named setting differs from the recipe."""
    config = load_config("tight", ["optim.lr=1", "optim.lr = 2e-3"])
    assert config.optim.lr == 2e-3
    assert changed(config, load_config("tight")) == {"optim.lr"}


@pytest.mark.parametrize(
    "text", ["adapters.targets=query,mlp-in", "adapters.targets = ['query', 'mlp-in']"]
)
def test_lists_are_written_as_words_or_as_toml(text: str) -> None:
    """A shell's user writes the first, a file's the second."""
    assert load_config("tight", [text]).adapters.targets == ("query", "mlp-in")


@pytest.mark.parametrize("name", ["budget.cap", "train.max_steps"])
def test_none_takes_a_limit_away(name: str) -> None:
    """TOML has no null; the word survives the way to a file and back."""
    config = load_config("tight", [f"{name}=5", f"{name}=none"])
    assert (config.budget.cap if name == "budget.cap" else config.train.max_steps) is None
    assert from_toml(config.to_toml()) == config


@pytest.mark.parametrize(("text", "count"), [("all", None), ("3", 3), ("half", "half")])
def test_how_many_layers_are_adapted(text: str, count: int | str | None) -> None:
    """A number, or the word for every one or half; all come back from a file."""
    config = load_config("tight", [f"adapters.layers={text}"])
    assert config.adapters.layers == count
    assert from_toml(config.to_toml()) == config


@pytest.mark.parametrize("name", ["1", "007", "1_0", "2.50", "2024-01-01", "true", "'quoted'"])
def test_a_column_may_be_called_anything(name: str) -> None:
    """What TOML takes for a number, a date or a truth value is a heading here."""
    data = load_config("tight", [f"data.label_column={name}", f"data.text_column={name}"]).data
    assert data.label_column == name.strip("'")
    assert data.text_column == (name.strip("'"),)


def test_settings_cannot_be_changed_in_place() -> None:
    """A run's settings are those that its file says."""
    config = load_config("tight")
    with pytest.raises(ValidationError, match="frozen"):
        config.optim.lr = 1.0


# --- mistakes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optim", "'optim' is not an assignment; write key=value"),
        ("optim=1", "unknown setting 'optim'"),
        ("optim.learning_rate=1", "unknown setting 'optim.learning_rate'"),
        ("train.chekpointing=on", "did you mean 'train.checkpointing'?"),
        ("rank=8", "did you mean 'adapters.rank'?"),
        ("lr=1", "did you mean 'contrastive.lr' or 'optim.lr'?"),
        ("optim.learning_rate=1", "did you mean 'optim.lr'?"),
        ("target_modules=query", "did you mean 'adapters.targets'?"),
        ("optim.rank=8", "did you mean 'adapters.rank'?"),
        ("choices=1", "unknown setting 'choices'"),
        ("recipe=paper", "unknown setting 'recipe'"),
        ("optim.lr=fast", "optim.lr = 'fast': Input should be a valid number"),
        ("optim.lr=0", "optim.lr = 0: Input should be greater than 0"),
        ("optim.lr=nan", "optim.lr = nan: Input should be a finite number"),
        ("optim.lr=inf", "Input should be a finite number"),
        ("optim.eps=0", "optim.eps = 0: Input should be greater than 0"),
        ("optim.betas=[0.9, 1.0]", "optim.betas.1 = 1.0: Input should be less than 1"),
        ("optim.batch=1.5", "optim.batch = 1.5: Input should be a valid integer"),
        ("optim.batch=true", "optim.batch = True: true and false are not accepted here"),
        ("seed=-1", "seed = -1: Input should be greater than or equal to 0"),
        ("seed=true", "seed = True: true and false are not accepted here"),
        ("seed=4294967296", "Input should be less than 4294967296"),
        ("budget.cap=0", "budget.cap = 0: Input should be greater than 0"),
        ("budget.cap=many", "budget.cap = 'many': Input should be a valid integer"),
        ("adapters.method=dora", "Input should be 'lora', 'vera', 'ia3', 'bias', 'none' or 'full'"),
        ("adapters.targets=query,gate", "adapters.targets.1 = 'gate': Input should be 'query'"),
        ("adapters.targets=", "at least 1 item"),
        ("adapters.layers=0", "adapters.layers = 0: should be 'all', 'half' or a number of layers"),
        ("adapters.layers=none", "adapters.layers = 'none': should be 'all', 'half' or a number"),
        ("train.prefix_cache=on", "train.prefix_cache = 'on': Input should be 'auto' or 'off'"),
        ("train.prefix_cache_gb=0", "train.prefix_cache_gb = 0: Input should be greater than 0"),
        ("model.name=", "model.name = '': String should have at least 1 character"),
        ("data.stratify=maybe", "data.stratify = 'maybe': Input should be a valid boolean"),
    ],
)
def test_a_mistake_says_where_what_and_how(text: str, message: str) -> None:
    """The dotted name, the value seen, and what would have been accepted."""
    with pytest.raises(SettingsError) as caught:
        load_config("tight", [text])
    assert message in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["train.checkpointing=reentrant"], "leaves every adapter dead"),
        (["optim.warmup_steps=10.5"], "warmup_steps must be a whole number, or a share below 1"),
        (["data.validation_rows=2.5"], "validation_rows must be a whole number, or a share"),
        (["data.labels=a,b,a"], "data.labels names a label twice"),
        (["adapters.targets=query,query"], "adapters.targets names a layer twice"),
        (["train.batch_by=tokens", "train.group_by_length=false"], "batch_by=tokens needs"),
        (["data.task=multi", "head.side=500"], "set head.side=off with data.task=multi"),
        (["data.task=rating", "head.side=500"], "head.side=500 is for one label a text"),
    ],
)
def test_contradictions_are_refused(texts: list[str], message: str) -> None:
    """Each value alone would be fine."""
    with pytest.raises(SettingsError) as caught:
        load_config("tight", texts)
    assert message in str(caught.value)


def test_all_mistakes_come_at_once() -> None:
    """Unknown names and wrong values together, so that nobody has to try four times."""
    texts = ["nonsense=1", "optim", "optim.lr=fast", "seed=-1"]
    with pytest.raises(SettingsError, match="the settings have 4 mistakes") as caught:
        load_config("tight", texts)
    for part in ("'nonsense'", "'optim'", "optim.lr = 'fast'", "seed = -1"):
        assert part in str(caught.value)


def test_a_damaged_settings_file_is_refused() -> None:
    """Neither broken TOML nor an unknown key is passed over."""
    with pytest.raises(SettingsError, match="the settings file is not TOML"):
        from_toml("seed = ")
    with pytest.raises(SettingsError, match=r"optim\.speed = 9: Extra inputs are not permitted"):
        from_toml(load_config().to_toml().replace("[optim]", "[optim]\nspeed = 9"))


# --- there and back --------------------------------------------------------------------------


@given(
    labels=st.lists(st.text(st.characters(exclude_categories=["Cs"])), unique=True, max_size=4),
    lr=st.floats(min_value=1e-12, max_value=10),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_settings_come_back_from_a_file(labels: list[str], lr: float, seed: int) -> None:
    """Names with quotes, line ends or any script, and every float, survive."""
    values = {"data.labels": labels, "optim.lr": lr, "seed": seed}
    config = load_config("tight").with_values(values)
    assert (config.data.labels, config.optim.lr, config.seed) == (tuple(labels), lr, seed)
    assert from_toml(config.to_toml()) == config


def test_with_values_makes_a_new_object_and_checks_it() -> None:
    """The old one stays as it was."""
    config = load_config("tight")
    assert config.with_values({"optim.batch": 7}).optim.batch == 7
    assert config.optim.batch == load_config("tight").optim.batch
    with pytest.raises(SettingsError, match=r"optim\.batch = 0"):
        config.with_values({"optim.batch": 0})


def test_decisions_are_kept_with_their_reason() -> None:
    """They survive the way to a file and back with their types."""
    decisions = replace(
        undecided(load_config("paper")),
        precision=Decision("fp32", "no GPU"),
        epochs=Decision(2.5, "few rows"),
        max_steps=Decision(7, "short"),
    )
    assert Decisions.from_json(json.loads(json.dumps(decisions.to_json()))) == decisions
    assert list(decisions.made()) == ["long_text", "epochs", "precision", "max_steps"]


CHOICES = """
[choices.epochs]
value = "10"
reason = "48 rows"

[choices.watched_rows]
value = "200"
reason = "short"
"""
"""As runs of format 1 kept them, among the settings."""


def test_decisions_of_format_1() -> None:
    """Words become values again; a setting that is gone is left out."""
    config = load_config("tight")
    text = config.to_toml().replace("[train]", '[train]\ncompile = "off"') + CHOICES
    assert "compile" in text
    found, decisions = read_settings(text, None)
    assert found == config
    assert decisions.epochs == Decision(10.0, "48 rows")
    assert decisions.eval_rows == Decision(200, "short")
    assert decisions.max_length == Decision(256, "asked for")
