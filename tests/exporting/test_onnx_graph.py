"""ONNX graphs: sound for every family, batch and length; int8 only where it costs little."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tests.exports import LENGTH, NAMES, TASK, toy_run, toy_texts, wide_encoder
from tests.toys import SMALL
from tightfit import Run, extras
from tightfit.encoder.on_torch import all_logits
from tightfit.engines.engine import OnnxEngine, TorchEngine
from tightfit.engines.parity import compare, joined, probes, refuse_difference
from tightfit.errors import ArtefactError, MissingExtraError, ProofError
from tightfit.exporting import onnx_graph
from tightfit.exporting.exported import ComparedRows
from tightfit.exporting.exporter import export
from tightfit.exporting.format_names import check_format
from tightfit.exporting.formats import merged_model

TEXTS = toy_texts()
ROWS = ComparedRows(TEXTS, None, "toys")

MORE: dict[str, dict[str, Any]] = {
    # Windows and buckets shorter than the texts, as in the published checkpoints.
    "modernbert": {"local_attention": 8},
    "deberta-v2": {"position_buckets": 8, "pos_att_type": ["p2c", "c2p"], "share_att_key": True},
}

Runs = Callable[[str], Run]


@pytest.fixture(scope="module")
def runs_of(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A loaded run of a family, each made once."""
    root = tmp_path_factory.mktemp("runs")

    def make(family: str) -> Run:
        encoder = wide_encoder(root / family, family, **MORE.get(family, {}))
        return Run.load(toy_run(encoder, root / f"run-{family}"))

    return cache(make)


@pytest.fixture
def bert_run(runs_of: Runs) -> Run:
    """A toy BERT."""
    return runs_of("bert")


def onnx_logits(folder: Path) -> NDArray[np.float32]:
    """Logits by the folder alone, in padded batches of seven."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    session = OnnxEngine.open(folder / "model.onnx").session
    parts = []
    for start in range(0, len(TEXTS), 7):
        rows = tokenizer.encode_batch(TEXTS[start : start + 7])
        ids_BL, mask_BL = (
            np.array([getattr(row, name) for row in rows]) for name in ("ids", "attention_mask")
        )
        parts.append(session.run(None, {"input_ids": ids_BL, "attention_mask": mask_BL})[0])
    return np.concatenate(parts)


@pytest.mark.parametrize("family", SMALL)
def test_the_graph_answers_as_the_run(family: str, runs_of: Runs, tmp_path: Path) -> None:
    """Labels, logits and probabilities, in order."""
    run = runs_of(family)
    export(run, "onnx", tmp_path, ROWS)
    logits_NK, wanted = onnx_logits(tmp_path), run.predict(TEXTS)
    assert np.abs(logits_NK - run.predictor.logits(TEXTS)).max() < 1e-4
    probabilities_NK = torch.tensor(logits_NK, dtype=torch.float64).softmax(1).numpy()
    assert np.abs(probabilities_NK - wanted.probabilities).max() < 1e-5
    assert [NAMES[i] for i in logits_NK.argmax(1)] == wanted.labels
    assert np.ptp(wanted.probabilities, axis=0).max() > 0.05


@pytest.mark.parametrize("family", SMALL)
def test_the_graph_takes_any_batch_and_length(family: str, runs_of: Runs, tmp_path: Path) -> None:
    """From one token to the longest text, however far from what was traced."""
    model = merged_model(runs_of(family).classifier)
    onnx_graph.write_graph(model, tmp_path / "g.onnx", pad_id=0)
    graph, own = OnnxEngine.open(tmp_path / "g.onnx"), TorchEngine(model)
    for longest in (1, 2, 3, 9, 17, LENGTH, 63):
        tokens = probes(vocabulary=25, pad_id=0, max_length=longest)
        refuse_difference(compare(TASK, own, graph, tokens))


@pytest.mark.parametrize("family", SMALL)
def test_int8_is_smaller_and_close(family: str, runs_of: Runs, tmp_path: Path) -> None:
    """The figures are those of the file that was kept, and no other graph is left there."""
    run = runs_of(family)
    found = export(run, "onnx-int8", tmp_path, loose(run))
    assert [path.name for path in tmp_path.glob("*.onnx")] == ["model.onnx"]
    operators = {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert operators & {"MatMulInteger", "DynamicQuantizeMatMul"}
    assert found.parity.max_abs_difference > 1e-4
    assert found.parity.agreement > 0.6


def loose(run: Run) -> ComparedRows:
    """Rows on which the run is always wrong, so that int8 can lose nothing on them.

    Random weights of this size make the worst case for 8 bits: their labels do flip.
    """
    return ComparedRows(TEXTS, (np.array(run.predict(TEXTS).ids) + 1) % 3, "toys")


@pytest.mark.parametrize("pad_id", [0, 1, 24])
def test_what_is_traced_has_padding(pad_id: int) -> None:
    """With a mask of ones alone, an encoder may take a path without a mask, for ever."""
    ids_BL, mask_BL = onnx_graph.example(25, pad_id).values()
    assert mask_BL.sum(1).tolist() == [16, 9]
    assert torch.equal(ids_BL == pad_id, mask_BL == 0)
    assert 0 <= int(ids_BL.min()) <= int(ids_BL.max()) < 25


def test_int8_that_costs_accuracy_is_refused(
    bert_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every variant is tried, and each is named with what it costs."""
    right = ComparedRows(TEXTS, np.array(bert_run.predictor.predict(TEXTS).ids), "toys")
    monkeypatch.setattr("tightfit.exporting.exporter.ACCURACY_LOSS", -0.001)
    with pytest.raises(ProofError, match="int8 costs too much accuracy") as caught:
        export(bert_run, "onnx-int8", tmp_path, right)
    assert all(variant.name in str(caught.value) for variant in onnx_graph.VARIANTS)
    assert caught.value.exit_code == 7


@pytest.mark.parametrize(
    ("portable", "agreements", "best"),
    [
        # By speed, since the labels are about equal: each is faster than the one before.
        (True, (1, 0.996, 1), "unsigned"),
        (False, (1, 1, 0.996), "signed"),
        # By labels.
        (True, (1, 0.9, 1), "signed, 7 bits"),
        (False, (0.9, 1, 0.9), "unsigned"),
    ],
)
def test_the_best_int8_is_kept(
    portable: bool,
    agreements: tuple[float, ...],
    best: str,
    bert_run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Equal labels first, then speed; and for others only what holds on their machines too."""
    trials = iter(zip(agreements, range(1, 4), strict=True))
    monkeypatch.setattr("tightfit.exporting.exporter.Comparison.trial", lambda *_: next(trials))
    rows = ComparedRows(TEXTS, (np.array(bert_run.predictor.predict(TEXTS).ids) + 1) % 3, "toys")
    found = export(bert_run, "onnx-int8", tmp_path, rows, portable=portable)
    assert found.int8 is not None
    assert found.int8.variant == best


def test_the_variants_differ(bert_run: Run, tmp_path: Path) -> None:
    """Seven bits or eight, signed or not: three files, none of them exact."""
    graph = tmp_path / "model.onnx"
    onnx_graph.write_graph(merged_model(bert_run.classifier), graph, pad_id=0)
    batches = probes(vocabulary=25, pad_id=0, max_length=LENGTH)
    own = TorchEngine(bert_run.classifier.module)
    differences = [
        joined(list(compare(TASK, own, OnnxEngine.open(path), batches).values())).max_abs_difference
        for _, path in onnx_graph.quantised(graph)
    ]
    assert len(set(differences)) == len(onnx_graph.VARIANTS)
    assert min(differences) > 1e-4


def test_the_run_is_left_as_it_was(bert_run: Run, tmp_path: Path) -> None:
    """Tracing switches the kind of attention, on a copy."""
    own = TorchEngine(bert_run.classifier.module)
    tokens = probes(vocabulary=25, pad_id=0, max_length=LENGTH)["padded"]
    kind = bert_run.classifier.module.config._attn_implementation
    before = all_logits(own, tokens)
    export(bert_run, "onnx", tmp_path, ROWS)
    assert bert_run.classifier.module.config._attn_implementation == kind != "eager"
    assert np.array_equal(all_logits(own, tokens), before)
    assert bert_run.classifier.tokenizer.backend_tokenizer.padding is None


def test_the_tokenizer_cuts_and_pads_by_itself(bert_run: Run, tmp_path: Path) -> None:
    """No other settings are needed to use it."""
    onnx_graph.write_tokenizer(bert_run.classifier.tokenizer, tmp_path / "t.json", 6)
    rows = Tokenizer.from_file(str(tmp_path / "t.json")).encode_batch(["goal", "goal " * 9])
    assert [row.ids for row in rows] == [[2, 4, 3, 0, 0, 0], [2, 4, 4, 4, 4, 3]]
    assert rows[0].attention_mask == [1, 1, 1, 0, 0, 0]


def test_threads_export_at_once(bert_run: Run, tmp_path: Path) -> None:
    """Torch refuses to trace a second graph meanwhile."""
    model = merged_model(bert_run.classifier)

    def graph(number: int) -> bytes:
        path = tmp_path / f"{number}.onnx"
        onnx_graph.write_graph(model, path, pad_id=1)
        return path.read_bytes()

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(graph, range(4)))) == 1


def test_a_damaged_graph_is_named(tmp_path: Path) -> None:
    """Cut short, empty, or missing."""
    path = tmp_path / "model.onnx"
    with pytest.raises(ArtefactError, match="the ONNX graph cannot be used"):
        OnnxEngine.open(path)
    path.write_bytes(b"\x08\x08" * 40)
    with pytest.raises(ArtefactError, match=r"model\.onnx.*\n.*allowed") as caught:
        OnnxEngine.open(path)
    assert caught.value.exit_code == 8


def test_a_graph_with_other_inputs_is_refused(tmp_path: Path) -> None:
    """Somebody else's model, under the same name."""
    info = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    opset = [onnx.helper.make_opsetid("", 17)]
    graph = onnx.helper.make_graph([node], "g", [info], [out])
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "m.onnx")
    with pytest.raises(ArtefactError, match="inputs x"):
        OnnxEngine.open(tmp_path / "m.onnx")


@pytest.mark.parametrize("form", ["onnx", "onnx-int8"])
def test_missing_packages_are_named(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the run is even loaded."""
    monkeypatch.setattr(extras, "available", lambda _: False)
    with pytest.raises(MissingExtraError, match=r"pip install 'tightfit\[onnx\]'"):
        check_format(form)
    assert check_format("merged") == "merged"


@pytest.mark.parametrize("family", SMALL)
def test_narrow_embeddings_cost_next_to_nothing(family: str, runs_of: Runs, tmp_path: Path) -> None:
    """Looked up by token in int8 with a scale a row: within the rounding of one row in 127."""
    graph = tmp_path / "g.onnx"
    onnx_graph.write_graph(merged_model(runs_of(family).classifier), graph, pad_id=0)
    before, size = OnnxEngine.open(graph), graph.stat().st_size
    tokens = probes(vocabulary=25, pad_id=0, max_length=LENGTH)["padded"]
    wanted_BK = all_logits(before, tokens)
    onnx_graph._narrow_embeddings(graph)
    found_BK = all_logits(OnnxEngine.open(graph), tokens)
    assert 0 < np.abs(found_BK - wanted_BK).max() < 0.05 * np.abs(wanted_BK).max()
    tables = [x for x in onnx.load(graph).graph.initializer if x.name.endswith(".int8")]
    assert len(tables) >= 1
    assert graph.stat().st_size < size


def test_the_figures_of_int8_are_kept(bert_run: Run, tmp_path: Path) -> None:
    """Which variant, what it costs, on how many rows, by what measure."""
    rows = ComparedRows(TEXTS, (np.array(bert_run.predictor.predict(TEXTS).ids) + 1) % 3, "toys")
    found = export(bert_run, "onnx-int8", tmp_path, rows)
    facts = json.loads((tmp_path / "export.json").read_text("utf-8"))
    assert found.int8 is not None
    assert facts["int8"] == asdict(found.int8)
    assert facts["int8"]["variant"] in [v.name for v in onnx_graph.VARIANTS if v.portable]
    assert (facts["int8"]["by"], facts["int8"]["rows"]) == ("labels", len(TEXTS))
