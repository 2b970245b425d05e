"""The model card tells the run's numbers, and the lines in it load the artefact."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from scipy.special import softmax
from transformers import AutoTokenizer

from tests.toy_setups import LABELS, SHORT, TEXTS, toy_plan, toy_settings
from tightfit import Run, TrainResult, train
from tightfit.config import Decision, undecided
from tightfit.data.facts import DataFacts
from tightfit.metrics.interval import Interval
from tightfit.metrics.scores import ClassScores, Scores, score
from tightfit.model.encoders import quiet_transformers
from tightfit.model.locate import Source
from tightfit.model.model_card import write_card
from tightfit.progress import Progress
from tightfit.tasks import SingleLabel

AB = SingleLabel.from_names(("a", "b"))
SURE = Interval(1.0, 1.0, 1.0)
SCORES = Scores(
    n=1234,
    accuracy=Interval(0.875, 0.85, 0.9),
    macro_f1=Interval(0.8749, 0.8, 0.9),
    per_class=(
        ClassScores("a|b", 1, SURE, SURE, Interval(0.5, 0.5, 0.5)),
        ClassScores("c", 1, SURE, SURE, Interval(0.9, 0.9, 0.9)),
    ),
    log_loss=0.0,
    brier=0.0,
    ece=0.0,
    confusion=((600, 17), (17, 600)),
    labels=("a|b", "c"),
)


def code_in(folder: Path) -> str:
    """The Python in the card of an artefact, with the artefact's own folder in it."""
    found = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.DOTALL)
    assert found is not None
    assert '"path/to/this/folder"' in found[1] or "'path/to/this/folder'" in found[1]
    return found[1].replace("path/to/this/folder", str(folder))


def executed(code: str) -> dict[str, Any]:
    """The names that the code leaves."""
    names: dict[str, Any] = {}
    with quiet_transformers():
        exec(code, names)
    return names


def answers(model: Any, folder: Path) -> Any:
    """Probabilities from a plain model and the tokenizer beside it."""
    encoded = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(encoded.input_ids, attention_mask=encoded.attention_mask).logits
    return logits.numpy()


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_the_lines_in_the_card_load_the_adapter(finished: TrainResult) -> None:
    """Executed as they are printed: the logits and the labels of the run."""
    folder = finished.run / "adapter"
    names = executed(code_in(folder))
    run = Run.load(finished.run)
    logits_NK = run.predictor.logits(TEXTS)
    np.testing.assert_allclose(answers(names["model"], folder), logits_NK, atol=1e-4)
    assert names["model"].config.id2label == dict(enumerate(LABELS))


@pytest.fixture(scope="module")
def others(bert: Path, rows_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of each of the two other kinds, under its recipe's name."""
    root = tmp_path_factory.mktemp("others")
    for recipe in ("head-only", "full"):
        train(
            rows_file,
            model=str(bert),
            recipe=recipe,
            out=root / recipe,
            max_steps=3,
            settings=SHORT,
            progress=Progress(),
        )
    return root


def test_the_lines_in_the_card_load_a_head(others: Path) -> None:
    """Without any adapter, and so without PEFT."""
    folder = others / "head-only" / "adapter"
    names = executed(code_in(folder))
    logits_NK = Run.load(others / "head-only").predictor.logits(TEXTS)
    np.testing.assert_allclose(answers(names["model"], folder), logits_NK, atol=1e-4)
    assert "peft" not in code_in(folder)


def test_the_line_in_the_card_loads_a_whole_model(others: Path) -> None:
    """Into a pipeline of ``transformers``, which gives label names and scores."""
    names = executed(code_in(others / "full" / "model"))
    told = names["classify"](TEXTS, top_k=None)
    wanted_NK = softmax(Run.load(others / "full").predictor.logits(TEXTS), axis=1)
    for each, wanted_K in zip(told, wanted_NK, strict=True):
        found = {answer["label"]: answer["score"] for answer in each}
        assert found == pytest.approx(dict(zip(LABELS, wanted_K, strict=True)), abs=1e-4)


def test_the_card_tells_the_run_s_numbers(finished: TrainResult) -> None:
    """Total and its parts, accuracy with its interval, proofs, and the weakest label."""
    text = (finished.run / "adapter" / "README.md").read_text("utf-8")
    metrics = json.loads((finished.run / "metrics.json").read_text())["validation"]
    accuracy = metrics["accuracy"]
    assert "1,090 trainable parameters under a cap of 1,000,000: 1,024 in adapters, 66" in text
    assert f"accuracy on {metrics['n']} validation rows" in text
    assert f"{accuracy['value']:.1%} (95% interval {accuracy['low']:.1%}" in text
    assert "recipe `tight`, seed 42" in text
    assert "- round trip: holds" in text


def test_the_metadata_are_those_of_the_hub(finished: TrainResult) -> None:
    """They parse, and a folder on somebody's disk is not given out as a model of the Hub."""
    card = ModelCard.load(finished.run / "adapter" / "README.md")
    data = card.data.to_dict()
    assert data["pipeline_tag"] == "text-classification"
    assert data["library_name"] == "peft"
    assert "base_model" not in data
    (result,) = data["model-index"]
    values = {m["name"]: m["value"] for m in result["results"][0]["metrics"]}
    assert values["Accuracy"] == pytest.approx(finished.accuracy, abs=1e-6)


def written(folder: Path, bert: Path, *, recipe: str = "tight", public_name: str = "x") -> str:
    """A card with made-up scores."""
    labels = ("a|b", "c\n```\n# d")
    config, plan = toy_settings(bert, recipe=recipe), toy_plan(bert, recipe=recipe)
    source = Source("x", bert, public_name)
    write_card(
        folder,
        config,
        plan,
        SingleLabel.from_names(labels),
        decisions=undecided(config),
        scores=SCORES,
        source=source,
        steps=7,
    )
    return (folder / "README.md").read_text("utf-8")


def test_a_hub_name_is_given_as_the_base(bert: Path, tmp_path: Path) -> None:
    """So that the Hub shows the adapter under its model."""
    text = written(tmp_path, bert, public_name="someone/model")
    assert ModelCard.load(tmp_path / "README.md").data.to_dict()["base_model"] == "someone/model"
    assert "'someone/model', num_labels=2" in text


@pytest.mark.parametrize(
    ("limit", "told"), [({"train.max_steps": 90}, "7 steps"), ({}, "5 epochs")]
)
def test_what_was_trained_is_told(
    limit: dict[str, object], told: str, bert: Path, tmp_path: Path
) -> None:
    """Epochs, or where a limit may have cut them short the steps that were taken."""
    config = toy_settings(bert).with_values({"optim.epochs": 5.0, **limit})
    decisions = replace(undecided(config), epochs=Decision(5.0, "asked for"))
    facts: dict[str, Any] = {"scores": SCORES, "source": Source("x", bert, "x"), "steps": 7}
    write_card(tmp_path, config, toy_plan(bert), AB, decisions=decisions, **facts)
    assert f", {told}, batch" in (tmp_path / "README.md").read_text("utf-8")
    solved = replace(decisions, head=Decision("solved", "of 22 rows"))
    write_card(tmp_path, config, toy_plan(bert), AB, decisions=solved, **facts)
    card = (tmp_path / "README.md").read_text("utf-8")
    assert f", {told}, batch 16; then logistic regression as the head" in card


def test_no_cap_is_called_no_cap(bert: Path, tmp_path: Path) -> None:
    """And what trains is the encoder."""
    text = written(tmp_path, bert, recipe="full")
    assert "under no cap" in text
    assert "in the encoder" in text


def test_labels_do_not_break_the_table(bert: Path, tmp_path: Path) -> None:
    """They are escaped for people, and exact in the code."""
    text = written(tmp_path, bert)
    row = next(line for line in text.splitlines() if line.startswith("| labels"))
    assert row == r"| labels, in order | a\|b, c \`\`\` \# d |"
    code = next(line for line in text.splitlines() if line.startswith("labels = "))
    assert executed(code)["labels"] == {0: "a|b", 1: "c\n```\n# d"}


DATA = DataFacts(
    "/home/someone/secret/rows.csv",
    validation_source="hf:someone/news@main:plain",
    train_counts={"a|b": 1200, "c": 34},
    train_rows=1234,
    validation_rows=56,
)


def test_the_card_tells_the_rows_and_no_path(bert: Path, tmp_path: Path) -> None:
    """A file by its name, a data set of the Hub by its own; both in people's words."""
    config, plan = toy_settings(bert), toy_plan(bert)
    source = Source("x", bert, "someone/model")
    facts: dict[str, Any] = {"decisions": undecided(config), "scores": SCORES, "source": source}
    write_card(tmp_path, config, plan, AB, steps=7, data=DATA, **facts)
    text = (tmp_path / "README.md").read_text("utf-8")
    assert r"1,234 rows of rows.csv (a\|b 1,200, c 34); 56 rows to validate on" in text
    assert "secret" not in text
    (result, _) = ModelCard.load(tmp_path / "README.md").data.eval_results
    assert (result.dataset_type, result.dataset_name) == ("someone/news", "someone/news")
    assert "The weights of the base model keep their own licence" in text


@pytest.mark.parametrize(("folds", "chosen"), [(4, False), (None, True)])
def test_a_cross_validation_is_called_one(
    folds: int | None, chosen: bool, bert: Path, tmp_path: Path
) -> None:
    """No rows were held out then, and no step was chosen by any."""
    config, plan = toy_settings(bert), toy_plan(bert)
    facts: dict[str, Any] = {"decisions": undecided(config), "source": Source("x", bert, "x")}
    data = replace(DATA, folds=folds)
    write_card(tmp_path, config, plan, AB, steps=7, scores=SCORES, data=data, **facts)
    text = (tmp_path / "README.md").read_text("utf-8")
    assert ("the best step was chosen" in text) is ("rows to validate on" in text) is chosen
    assert ("like the training rows, by cross-validation" in text) is not chosen
    (result, _) = ModelCard.load(tmp_path / "README.md").data.eval_results
    assert result.dataset_split == ("validation" if chosen else "cross-validation")


@pytest.mark.parametrize(
    ("rows", "f1", "told"), [(1, 0.5, "Its weakest label is a (F1 0.50)"), (0, 0.5, ""), (1, 1, "")]
)
def test_no_label_is_weak_that_is_always_right_or_has_no_row(
    rows: int, f1: float, told: str, bert: Path, tmp_path: Path
) -> None:
    """What no row shows is not known to be weak; long lists of labels say that they are cut."""
    config, plan = toy_settings(bert), toy_plan(bert)
    each = ClassScores("a", rows, SURE, SURE, Interval(f1, f1, f1))
    facts: dict[str, Any] = {"decisions": undecided(config), "source": Source("x", bert, "x")}
    data = replace(DATA, train_counts={f"n{i}": 7 for i in range(53)})
    scores = replace(SCORES, per_class=(each,))
    write_card(tmp_path, config, plan, AB, steps=7, scores=scores, data=data, **facts)
    text = (tmp_path / "README.md").read_text("utf-8")
    assert "n49 7 and 3 more)" in text
    assert told in text
    assert ("weakest label" in text) == bool(told)


def test_a_card_says_where_a_constant_answer_is_as_good(bert: Path, tmp_path: Path) -> None:
    """Its readers see no summary of the training."""
    config, plan = toy_settings(bert), toy_plan(bert)
    facts: dict[str, Any] = {"decisions": undecided(config), "source": Source("x", bert, "x")}
    blind = score([0, 0, 1], np.eye(2)[[0, 0, 0]], ["a", "b"])
    write_card(tmp_path, config, plan, AB, steps=7, scores=blind, data=DATA, **facts)
    words = "It is not shown to be better than a constant answer: always 'a' is right in 66.7%"
    assert words in (tmp_path / "README.md").read_text("utf-8")


def test_what_a_kept_start_is_depends_on_the_start(bert: Path, tmp_path: Path) -> None:
    """A probe, or what the run before knew, whose adapters have learned."""
    proofs = {"movement": {"ok": False, "expected": True, "kept_start": True}}
    facts: dict[str, Any] = {"scores": SCORES, "source": Source("x", bert, "x"), "proofs": proofs}
    for start, words in (("probe", "no step did better"), ("run", "than what the run before knew")):
        config = toy_settings(bert).with_values({"head.start": start})
        decided = undecided(config)
        write_card(tmp_path, config, toy_plan(bert), AB, steps=7, decisions=decided, **facts)
        assert words in (tmp_path / "README.md").read_text("utf-8")


def test_a_proof_that_failed_as_declared_is_told(bert: Path, tmp_path: Path) -> None:
    """The published failure must not look like a success once it has left its run."""
    config, plan = toy_settings(bert), toy_plan(bert)
    source = Source("x", bert, "x")
    proofs = {"movement": {"ok": False, "expected": True}, "gates": {"ok": True}}
    facts: dict[str, Any] = {"scores": SCORES, "source": source, "proofs": proofs}
    write_card(tmp_path, config, plan, AB, steps=7, decisions=undecided(config), **facts)
    text = (tmp_path / "README.md").read_text("utf-8")
    assert "- movement: does not hold, as declared\n- gates: holds" in text
