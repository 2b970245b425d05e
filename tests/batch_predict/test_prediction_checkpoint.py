"""Long predictions: work ahead, finished chunks that survive a kill, and shards."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import warm
from tests.exports import toy_run, wide_encoder
from tests.faults.programs import wait_for
from tests.toy_setups import Notes, predict_chunks
from tests.toys import WORDS, write_jsonl
from tightfit import Run, predict
from tightfit.batch_predict import stream
from tightfit.batch_predict.prediction_checkpoint import PredictionCheckpoint
from tightfit.batch_predict.shard import Shard
from tightfit.batch_predict.stream import prefetched
from tightfit.data.text_pair import texts_sha256
from tightfit.engines.predictor import Predictor
from tightfit.errors import DataError, UsageError
from tightfit.progress import Bar
from tightfit.tasks import Predictions, SingleLabel

JOB = {"run": "one", "max_length": 48}

PROGRAM = """
import sys
import tightfit
from tightfit.verbs import predict
from tightfit.progress import Progress

predict.STREAM_ROWS = 50
run, data, engine, out = sys.argv[1:]
tightfit.predict(run, data, out, probabilities=True, engine=engine, progress=Progress())
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed run; not to be changed."""
    encoder = wide_encoder(tmp_path_factory.mktemp("encoder"))
    return toy_run(encoder, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def predictor(run: Path) -> Predictor:
    """Its classifier."""
    return Run.load(run).predictor


def chunks_of(count: int, rows: int = 5) -> list[list[str]]:
    """Chunks of random texts."""
    chance = random.Random(4)
    texts = [" ".join(chance.choices(WORDS, k=chance.randint(0, 30))) for _ in range(count * rows)]
    return [texts[i : i + rows] for i in range(0, len(texts), rows)]


CHUNKS = chunks_of(6)


class Counter:
    """Counts the chunks that the model computes, and fails at one of them."""

    def __init__(self, predictor: Predictor, fail_at: int | None = None) -> None:
        self.computed = 0
        self._predictor, self._fail_at = predictor, fail_at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    def predict_tokens(self, tokens: Any, progress: Any = None) -> Predictions:
        """As the predictor does."""
        if self.computed == self._fail_at:
            raise KeyboardInterrupt
        self.computed += 1
        return self._predictor.predict_tokens(tokens, progress)


def write(predictor: Any, out: Path, chunks: Any = CHUNKS, **options: Any) -> bytes:
    """Predict and read back."""
    predict_chunks(predictor, chunks, out, probabilities=True, **{"job": JOB, **options})
    return out.read_bytes()


def interrupt(predictor: Predictor, out: Path, after: int) -> None:
    """Predict some chunks, and stop as Ctrl-C does."""
    with pytest.raises(KeyboardInterrupt):
        write(Counter(predictor, fail_at=after), out)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("after", [1, 3, 5])
def test_the_file_is_the_same_to_the_byte(
    suffix: str, after: int, predictor: Predictor, tmp_path: Path
) -> None:
    """And no finished chunk is computed again; nothing is left beside the file."""
    whole = write(predictor, tmp_path / f"whole{suffix}")
    out = tmp_path / f"out{suffix}"
    interrupt(predictor, out, after)
    assert not out.exists()
    assert [path.name for path in (tmp_path / f"out{suffix}.partial").iterdir()] == ["done"]
    counter = Counter(predictor)
    assert write(counter, out) == whole
    assert counter.computed == len(CHUNKS) - after
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, f"whole{suffix}"]


def test_a_job_with_a_temperature_a_label_goes_on(predictor: Predictor, tmp_path: Path) -> None:
    """Several labels have one each; the file has a list of them, and another never equals it."""
    job = {**JOB, "temperature": (1.5, 0.5)}
    with pytest.raises(KeyboardInterrupt):
        write(Counter(predictor, fail_at=4), tmp_path / "out.csv", job=job)
    counter = Counter(predictor)
    write(counter, tmp_path / "out.csv", job=job)
    assert counter.computed == len(CHUNKS) - 4


def test_changed_rows_are_predicted_again(predictor: Predictor, tmp_path: Path) -> None:
    """Those chunks and no others: the row that was at fault was mended meanwhile."""
    interrupt(predictor, tmp_path / "out.csv", 4)
    mended = [*CHUNKS[:2], ["goal", *CHUNKS[2][1:]], *CHUNKS[3:]]
    counter = Counter(predictor)
    found = write(counter, tmp_path / "out.csv", mended)
    assert found == write(predictor, tmp_path / "whole.csv", mended)
    assert counter.computed == 1 + 2


@pytest.mark.parametrize("change", [{"run": "two"}, {"max_length": 16}])
def test_another_job_begins_anew(change: Any, predictor: Predictor, tmp_path: Path) -> None:
    """Another run, or texts read otherwise."""
    interrupt(predictor, tmp_path / "out.csv", 4)
    counter = Counter(predictor)
    write(counter, tmp_path / "out.csv", job={**JOB, **change})
    assert counter.computed == len(CHUNKS)


def test_what_is_told_may_change(predictor: Predictor, tmp_path: Path) -> None:
    """Names for ids, or a threshold: the finished chunks still serve."""
    interrupt(predictor, tmp_path / "out.csv", 4)
    strict = replace(predictor, threshold=0.9)
    counter = Counter(strict)
    found = write(counter, tmp_path / "out.csv", label_format="name")
    assert counter.computed == 2
    assert found == write(strict, tmp_path / "whole.csv", label_format="name")


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 and no more", b"text"])
def test_a_damaged_chunk_is_predicted_again(
    damage: bytes, predictor: Predictor, tmp_path: Path
) -> None:
    """Whatever happened to it."""
    interrupt(predictor, tmp_path / "out.csv", 4)
    for path in (tmp_path / "out.csv.partial" / "done").glob("chunk-00000001.*"):
        path.write_bytes(damage)
    counter = Counter(predictor)
    assert write(counter, tmp_path / "out.csv") == write(predictor, tmp_path / "whole.csv")
    assert counter.computed == 2 + 1


def test_a_checkpoint_keeps_every_bit(tmp_path: Path) -> None:
    """Probabilities, names and counts; other texts get nothing."""
    task = SingleLabel.from_names(("a,b", "ö 🙂", "c\n"))
    values = np.random.default_rng(0).random((2, 3))
    found = task.predictions(values, truncated=1)
    checkpoint = PredictionCheckpoint(tmp_path / "j", task, JOB)
    checkpoint.write(7, ["x", "y"], found)
    again = PredictionCheckpoint(tmp_path / "j", task, JOB).read(7, ["x", "y"])
    assert again is not None
    assert np.array_equal(again.probabilities, values)
    assert (again.label_names, again.truncated) == (found.label_names, 1)
    assert checkpoint.read(7, ["x", "z"]) is None
    assert checkpoint.read(8, ["x", "y"]) is None
    assert texts_sha256(["ab", "c"]) != texts_sha256(["a", "bc"])


def test_a_fault_of_the_rows_keeps_what_was_done(predictor: Predictor, tmp_path: Path) -> None:
    """Hours of work must not be lost to row 9,000,000."""

    def faulty() -> Iterator[list[str]]:
        yield from CHUNKS[:3]
        raise DataError("row 15 has no text")

    with pytest.raises(DataError, match="row 15"):
        write(predictor, tmp_path / "out.csv", faulty())
    counter = Counter(predictor)
    write(counter, tmp_path / "out.csv")
    assert counter.computed == 3


# --- a real kill -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("engine", ["torch", "auto"])
def test_killed_at_a_random_moment(engine: str, run: Path, tmp_path: Path) -> None:
    """SIGKILL cannot be caught: whatever is on the disk then must do."""
    texts = [text for chunk in chunks_of(30, 50) for text in chunk]
    data = write_jsonl(tmp_path / "rows.jsonl", [{"text": text or "the"} for text in texts])
    out, done = tmp_path / "out.csv", tmp_path / "out.csv.partial" / "done"
    command = [sys.executable, "-c", PROGRAM, str(run), str(data), engine]
    enough = random.randint(2, 20)
    process = warm.Program([*command, str(out)])
    wait_for(lambda: len(list(done.glob("*.npz"))) >= enough, process)
    process.kill()
    process.communicate()
    assert not out.exists()
    assert any(done.glob("*.npz"))
    for name in ("out.csv", "whole.csv"):
        assert warm.run([*command, str(tmp_path / name)]).returncode == 0
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not done.exists()


# --- prefetching -----------------------------------------------------------------------------


def test_prefetched_is_map_with_one_item_under_way() -> None:
    """The second result is worked out while the first is used."""
    begun = [threading.Event() for _ in range(3)]

    def work(i: int) -> int:
        begun[i].set()
        return i * i

    results = prefetched(range(3), work)
    assert next(results) == 0
    assert begun[1].wait(5)
    assert not begun[2].is_set()
    assert list(results) == [1, 4]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_prefetched_hands_errors_on(error: BaseException) -> None:
    """Where the result would have come, and the error itself."""

    def work(i: int) -> int:
        if i == 1:
            raise error
        return i

    results = prefetched(range(3), work)
    assert next(results) == 0
    with pytest.raises(type(error)) as caught:
        next(results)
    assert caught.value is error


def test_prefetched_leaves_no_thread() -> None:
    """Neither at the end nor when it is given up."""
    list(prefetched(range(3), abs))
    early = prefetched(range(3), abs)
    next(early)
    early.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("tightfit-prefetch")]


# --- shards ----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_shards_together_are_the_whole(count: int, predictor: Predictor, tmp_path: Path) -> None:
    """Each row once, under its own ID; a shard without rows is a file without any."""
    whole = write(predictor, tmp_path / "whole.csv").decode().splitlines()
    lines = []
    for number in range(1, count + 1):
        found = write(predictor, tmp_path / f"{number}.csv", shard=Shard(number, count))
        header, *rows = found.decode().splitlines()
        assert header == whole[0]
        lines += rows
    assert sorted(lines, key=lambda line: int(line.split(",")[0])) == whole[1:]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0/8", "there is no such shard"),
        ("9/8", "allowed: 1/8 to 8/8"),
        ("1/0", "there is no such shard"),
        ("3", "this is no shard"),
        ("-1/8", "this is no shard"),
        ("a/b", "such as 3/8"),
        ("1/" + "9" * 5000, "such as 3/8"),
    ],
)
def test_a_shard_out_of_range_is_refused(text: str, words: str) -> None:
    """With those that there are."""
    with pytest.raises(UsageError, match=words) as caught:
        Shard.parse(text)
    assert caught.value.exit_code == 2
    assert Shard.parse("3/8") == Shard(3, 8)


class Totals(Notes):
    """Remembers what its bars go up to."""

    totals: list[int | None]

    @contextmanager
    def track(self, what: str, total: int | None, done: int = 0) -> Iterator[Bar]:
        """Of the rows that are predicted."""
        self.totals = [total] if what == "predicting" else []
        with super().track(what, total, done) as bar:
            yield bar


@pytest.mark.parametrize(("shard", "rows"), [("1/2", 2048), ("2/2", 5), ("3/3", 0)])
def test_a_shard_s_bar_ends_with_its_rows(shard: str, rows: int, run: Path, tmp_path: Path) -> None:
    """It went up to all rows of the job, and stopped far below."""
    heard = Totals()
    texts = ["goal"] * (stream.STREAM_ROWS + 5)
    found = predict(run, texts, tmp_path / "o.csv", shard=shard, progress=heard)
    assert (found.rows, heard.totals) == (rows, [rows])


def test_predict_takes_a_shard(run: Path, tmp_path: Path) -> None:
    """Faults of it show before the run is loaded."""
    rows = [{"text": "goal"}] * (stream.STREAM_ROWS + 5)
    data = write_jsonl(tmp_path / "rows.jsonl", rows)
    assert predict(run, data, tmp_path / "o.csv", shard="2/2", progress=Notes()).rows == 5
    assert (tmp_path / "o.csv").read_text().splitlines()[1].startswith(f"{stream.STREAM_ROWS},")
    with pytest.raises(UsageError, match="no such shard"):
        predict("no run", data, tmp_path / "p.csv", shard="3/2", progress=Notes())
