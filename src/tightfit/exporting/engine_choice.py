"""``tightfit predict --engine``: the engine asked for, or the fastest by measurement.

Graphs, figures and the choice are kept in the run's ``derived/``, and used again as long as the
run, the machine and the libraries are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from filelock import FileLock

from tightfit import storage
from tightfit.data.gpu import best_device
from tightfit.diagnosis import devices
from tightfit.encoder import FrozenClassifier, LogitsOfTexts
from tightfit.encoder.on_torch import Engine
from tightfit.engines.engine import OnnxEngine, OpenVinoEngine, in_own_unit, torch_engine
from tightfit.engines.engine_names import AskedEngine, EngineName
from tightfit.engines.parity import spread
from tightfit.engines.ray_engine import RayEngine
from tightfit.engines.selection import Choice, Open, choose
from tightfit.errors import MachineError, SettingsError
from tightfit.exporting.exported import ComparedRows
from tightfit.exporting.exporter import export
from tightfit.exporting.format_names import FACTS_FILE, Format, ensure_onnx
from tightfit.exporting.formats import GRAPH_FILE
from tightfit.extras import available, ensure
from tightfit.progress import Progress
from tightfit.run import Run
from tightfit.storage.files import machine_errors, only_kept, parsed
from tightfit.storage.whole import whole_folder
from tightfit.training.precision import decide_precision

DIGESTS_FILE = "digests.json"
"""Beside each graph in ``derived/``."""
MADE_FILE = "made.json"
"""The circumstances under which a graph was made and compared."""

GRAPH_ROWS = 128
"""Texts on which a graph is compared with the run when it is made; the whole sample follows."""

LIBRARIES = ("tightfit", "torch", "transformers", "onnxruntime", "openvino", "ray")


@dataclass(frozen=True)
class _Bench:
    """What is measured, and where its files go."""

    run: Run
    texts: Sequence[str]
    progress: Progress
    circumstances: dict[str, Any]
    home: Path
    """Where what is not there yet is made."""

    def loaders(self, asked: AskedEngine) -> dict[EngineName, Open]:
        """How to load PyTorch's engine and those asked for."""
        model = self.run.model
        known: dict[EngineName, Open] = {
            "torch": partial(torch_engine, model),
            "torch-bf16": partial(_in_bf16, model, asked),
            "onnx": lambda: self._own(OnnxEngine.open(self.graph("onnx"))),
            "onnx-int8": lambda: self._own(OnnxEngine.open(self.graph("onnx-int8"))),
            "openvino": self._openvino,
        }
        if asked == "ray":
            known["ray"] = partial(RayEngine.open, model)
        return {name: known[name] for name in known if asked == "auto" or name in ("torch", asked)}

    def graph(self, form: Format) -> Path:
        """The run as a graph, as a rule in ``derived/``; made and compared if it is not there.

        Raises:
            ArtefactError: what is there is damaged.
            MissingExtraError: a package is not installed.
            ProofError: the graph does not answer as the run does.
        """
        kept, home = self.run.folder.derived / form, self.home / form
        if (kept / DIGESTS_FILE).is_file():
            storage.check_digests(kept / DIGESTS_FILE, kept)
            if storage.read_json(kept / MADE_FILE) == self.circumstances:
                return kept / GRAPH_FILE
        ensure_onnx()
        texts = [self.texts[place] for place in spread(len(self.texts), GRAPH_ROWS)]
        rows = ComparedRows(texts, None, "rows to predict")
        with whole_folder(home, overwrite=True, marker=FACTS_FILE) as made:
            export(self.run, form, made, rows, portable=False, progress=self.progress)
            storage.write_json(made / MADE_FILE, self.circumstances)
            storage.write_digests(made / DIGESTS_FILE, sorted(made.iterdir()))
        return home / GRAPH_FILE

    def _openvino(self) -> Engine:
        ensure("openvino", "the engine openvino")
        return self._own(OpenVinoEngine.open(self.graph("onnx")))

    def _own(self, engine: Engine) -> Engine:
        return in_own_unit(engine, self.run.task)


def open_engine(
    run: Run,
    asked: AskedEngine,
    texts: Sequence[str],
    *,
    progress: Progress,
) -> tuple[Engine, EngineName]:
    """The engine to predict with, after a look at how it does on these very rows.

    Args:
        run: its ``derived/`` keeps graphs and figures.
        asked: an engine, or ``auto`` for the fastest that agrees.
        texts: the first of the rows to predict; a sample of them is measured.
        progress: hears the figures.

    Raises:
        MissingExtraError: the engine asked for is not installed.
        ProofError: it does not answer as the run does.
        ArtefactError: what was kept of it is damaged.
        MachineError: neither ``derived/`` nor a temporary folder can be written.
    """
    sample, folder = [texts[place] for place in spread(len(texts))], run.folder
    with ExitStack() as stack:
        home, refused = folder.derived, None
        try:
            stack.enter_context(_held(home))
        except MachineError as error:
            temporary = TemporaryDirectory(prefix="tightfit-", ignore_cleanup_errors=True)
            home, refused = Path(stack.enter_context(temporary)), error
        bench = _Bench(run, sample, progress, _circumstances(run), home)
        kept = _kept(folder, asked, bench)
        if kept is not None:
            _tell_kept(kept, asked, progress)
            return bench.loaders(kept.name)[kept.name](), kept.name
        choice, engine = _measured(bench, asked)
        told = {"circumstances": bench.circumstances, "choice": asdict(choice)}
        with only_kept("graph and figures are", progress.warn):
            if refused is not None:
                raise refused
            storage.write_derived(folder, _name(asked), told)
    return engine, choice.name


@contextmanager
def _held(derived: Path) -> Iterator[None]:
    """``derived/``, for one of several shards that start together: one measurement serves all.

    Raises:
        MachineError: it cannot be written.
    """
    storage.make_folder(derived)
    lock = FileLock(derived / ".engines.lock")
    with machine_errors(derived, "write"):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _measured(bench: _Bench, asked: AskedEngine) -> tuple[Choice, Engine]:
    predictor = bench.run.predictor
    what = "what is installed" if asked == "auto" else f"the engine {asked}"
    bench.progress.say(f"measuring {what} on {len(bench.texts):,} of the rows")
    choice, engine = choose(
        bench.loaders(asked),
        predictor.tokens(bench.texts),
        predictor.task,
        asked=asked,
        temperature=predictor.temperature,
    )
    for line in choice.table():
        bench.progress.say(line)
    return choice, engine


def _kept(folder: storage.RunFolder, asked: AskedEngine, bench: _Bench) -> Choice | None:
    """What was found before on as many rows, if the circumstances are the same."""
    path = folder.derived / f"{_name(asked)}.json"
    if not path.is_file():
        return None
    saved = storage.read_derived(folder, _name(asked))
    if saved.get("circumstances") != bench.circumstances:
        return None
    choice = parsed(Choice, saved["choice"], path)
    # A verdict of a few rows must not bind a job of many.
    return choice if choice.rows >= len(bench.texts) else None


def _tell_kept(kept: Choice, asked: AskedEngine, progress: Progress) -> None:
    found = kept.of(kept.name)
    progress.say(
        f"engine {kept.name}: {found.rows_per_second:,.1f} rows/s and {found.agreement:.1%} equal "
        f"labels on {kept.rows:,} rows, as measured before (derived/{_name(asked)}.json)"
    )


def _name(asked: AskedEngine) -> str:
    return f"engine-{asked}"


def _circumstances(run: Run) -> dict[str, Any]:
    """What figures hold for."""
    machine = devices()
    return {
        "run": run.identity,
        "max_length": run.predictor.max_length,
        "machine": [machine.cpu, machine.cores, torch.get_num_threads(), *machine.cpu_features],
        "versions": {name: version(name) for name in LIBRARIES if available(name)},
    }


def _in_bf16(model: LogitsOfTexts, asked: AskedEngine) -> Engine:
    """PyTorch with products in bf16, where that is worth trying.

    Raises:
        SettingsError: it is not.
    """
    reason = None if isinstance(model, FrozenClassifier) else "only transformers knows its inside"
    if reason is None and asked == "auto":
        found = decide_precision("auto", best_device())
        reason = None if found.format == "bf16" else found.reason
    if reason is not None:
        raise SettingsError(f"bf16 is of no use: {reason}")
    return torch_engine(model, torch.bfloat16)
