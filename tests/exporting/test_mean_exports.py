"""Runs whose head reads the mean: exported, imported, audited and answered alike."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from tests.exports import LENGTH, NAMES, TASK, toy_run, toy_texts, wide_encoder
from tests.fixtures import Encoders
from tests.toy_setups import SHORT, toy_predictor
from tests.toys import WITH_MEAN
from tightfit import Run, audit, import_adapter, train
from tightfit.engines.engine import OnnxEngine, TorchEngine
from tightfit.engines.parity import compare, probes, refuse_difference
from tightfit.errors import ProofError
from tightfit.exporting import onnx_graph
from tightfit.exporting.exported import ComparedRows
from tightfit.exporting.exporter import export
from tightfit.exporting.format_names import check_format
from tightfit.exporting.formats import merged_model
from tightfit.model.adapter_audit import audit_artefact
from tightfit.model.model_card import loading_code
from tightfit.progress import Progress

TEXTS = toy_texts()
ROWS = ComparedRows(TEXTS, None, "toys")

Runs = Callable[..., Run]

each_family = pytest.mark.parametrize("family", WITH_MEAN)


@pytest.fixture(scope="module")
def runs_of(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A loaded run of a family and a method, each made once."""
    root = tmp_path_factory.mktemp("runs")
    encoder = cache(lambda family: wide_encoder(root / family, family))

    @cache
    def make(family: str, method: str) -> Run:
        settings = ("head.pooling=mean", "head.kind=auto", f"adapters.method={method}")
        return Run.load(toy_run(encoder(family), root / f"{family}-{method}", *settings))

    return lambda family, method="lora": make(family, method)


@each_family
@pytest.mark.parametrize("method", ["lora", "bias", "none"])
def test_a_merged_model_answers_by_the_stock_class(
    family: str, method: str, runs_of: Runs, tmp_path: Path
) -> None:
    """One layer more, and no code of ours."""
    run = runs_of(family, method)
    found = export(run, "merged", tmp_path, ROWS)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert model.config.num_hidden_layers == 3
    tokens = run.predictor.tokens(TEXTS)
    with torch.inference_mode():
        rows = np.split(tokens.ids.astype(np.int64), tokens.offsets[1:-1])
        theirs_NK = torch.cat([model(torch.tensor(row)[None]).logits for row in rows]).numpy()
    share = np.abs(theirs_NK - run.predictor.logits(TEXTS)).max() / np.abs(theirs_NK).max()
    assert share < 1e-5
    assert found.parity.max_abs_difference < 1e-4


@each_family
def test_a_graph_writes_the_mean_itself(family: str, runs_of: Runs, tmp_path: Path) -> None:
    """Any batch and length, and no weight of the block is in the file."""
    run = runs_of(family)
    export(run, "onnx", tmp_path, ROWS)
    model, graph = merged_model(run.classifier), OnnxEngine.open(tmp_path / "model.onnx")
    for longest in (1, 2, 9, LENGTH, 63):
        tokens = probes(vocabulary=25, pad_id=0, max_length=longest)
        refuse_difference(compare(TASK, TorchEngine(model), graph, tokens))
    onnx_graph.write_graph(model, tmp_path / "block.onnx", pad_id=0)
    matrices = [
        sum(node.op_type in ("MatMul", "Gemm") for node in onnx.load(tmp_path / name).graph.node)
        for name in ("model.onnx", "block.onnx")
    ]
    assert matrices[0] <= matrices[1] - 6


def test_the_adapter_of_a_bert_goes_out_and_comes_back(runs_of: Runs, tmp_path: Path) -> None:
    """PEFT alone loads it, and an import of it has the same block and logits."""
    run = runs_of("bert")
    found = export(run, "peft", tmp_path / "peft", ROWS)
    assert found.parity.max_abs_difference < 1e-4
    base = str(run.base.folder)
    import_adapter(tmp_path / "peft", base, out=tmp_path / "run", progress=Progress())
    again = Run.load(tmp_path / "run")
    assert again.plan.mean_block == run.plan.mean_block
    assert again.config.head.pooling == "mean"
    # Its own weights tell that a dense layer of the head stood still.
    assert again.plan.total == run.plan.total
    np.testing.assert_allclose(
        again.predictor.logits(TEXTS), run.predictor.logits(TEXTS), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("method", ["lora", "bias", "none"])
def test_an_audit_counts_what_trained(method: str, runs_of: Runs) -> None:
    """Not the block, whether the run is known or the folder alone."""
    run = runs_of("bert", method)
    assert audit_artefact(run.artefact, run.plan, run.labels).trainable == run.plan.total
    assert audit(run.artefact).trainable == run.plan.total


@pytest.mark.parametrize("family", sorted(set(WITH_MEAN) - {"bert"}))
def test_other_families_have_no_folder_for_peft(family: str, runs_of: Runs) -> None:
    """The export names the formats there are, the card what happens."""
    run = runs_of(family)
    with pytest.raises(ProofError, match=r"cannot build the block(.|\n)*format='merged'"):
        check_format("peft", run.plan)
    assert "loading this folder with it is an error" in loading_code(run.plan, NAMES, "x", "y")


def test_the_code_of_the_card_loads_a_head(runs_of: Runs) -> None:
    """And whoever forgets the layer is told."""
    run = runs_of("bert", "none")
    code = loading_code(run.plan, NAMES, str(run.base.folder), str(run.artefact))
    found: dict[str, torch.nn.Module] = {}
    exec(code, found)
    ours = TorchEngine(run.classifier.module)
    tokens = probes(vocabulary=25, pad_id=0, max_length=9)
    refuse_difference(compare(TASK, ours, TorchEngine(found["model"]), tokens))
    with pytest.raises(AssertionError):
        exec(code.replace(", num_hidden_layers=3", ""), {})


@pytest.mark.parametrize(
    ("family", "setting"),
    [*((family, "adapters.layers=1") for family in WITH_MEAN), ("bert", "adapters.method=none")],
)
def test_a_training_is_proven_sealed_and_read(
    family: str, setting: str, encoders: Encoders, rows_file: Path, tmp_path: Path
) -> None:
    """With the probe's start, and a prefix cache up to the adapted layer, or of pooled states."""
    settings = [*SHORT, "head.pooling=mean", "head.kind=auto", "head.start=probe"]
    settings += [setting, "optim.lr=1e-2"]
    model, out = str(encoders(family)), tmp_path / "run"
    result = train(rows_file, model=model, out=out, settings=settings, progress=Progress())
    # Where the probe is not surpassed, it is what is kept.
    assert all(proof["ok"] or "kept_start" in proof for proof in result.proofs.values())
    run = Run.load(out)
    cache = run.decisions.prefix_cache
    assert (run.plan.pooling, cache and cache.value) == ("mean", "on")
    ours = run.predictor.logits(TEXTS)
    theirs = toy_predictor(run.classifier, run.predictor.max_length).logits(TEXTS)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())
