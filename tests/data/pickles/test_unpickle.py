"""What real pickles hold arrives whole, whichever version of the libraries wrote it."""

from __future__ import annotations

import base64
import io
import pickle
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import tightfit
from tightfit.data import child
from tightfit.data.pickles.sandbox import read
from tightfit.data.pickles.unpickle import read_pickle
from tightfit.errors import DataError

TEXTS = ["alpha", "bé\u6f22\U0001f600", "", "x\x00y", "gamma"]
LABELS = [0, 1, 2, 3, 0]
NAMES = ["World", "Sports", "Business", "Sci/Tech"]
PROTOCOLS = (2, 3, 4, 5)


def loaded(value: Any, protocol: int = 4) -> pa.Table:
    """What the child makes of a pickled value, without the child."""
    return read(io.BytesIO(pickle.dumps(value, protocol=protocol)))


def saved(folder: Path, value: Any) -> Path:
    """A file with the pickled value."""
    path = folder / "rows.pkl"
    path.write_bytes(pickle.dumps(value, protocol=4))
    return path


def class_names(table: pa.Table) -> dict[str, list[str]]:
    """ClassLabel names, as the datasets library itself reads them from a schema."""
    features = datasets.Features.from_arrow_schema(table.schema)
    return {k: f.names for k, f in features.items() if isinstance(f, datasets.ClassLabel)}


def labelled() -> datasets.Dataset:
    """Five rows with ClassLabel names."""
    label = datasets.ClassLabel(names=NAMES)
    features = datasets.Features({"text": datasets.Value("string"), "label": label})
    return datasets.Dataset.from_dict({"text": TEXTS, "label": LABELS}, features=features)


# Real pickles, round trip.

FRAMES: dict[str, dict[str, Any]] = {
    "str": {"text": TEXTS, "label": LABELS},
    "object": {"text": pd.Series(["a", None, float("nan"), pd.NA, pd.NaT], dtype=object)},
    "string": {"text": pd.Series(["a", None, "b"], dtype="string")},
    "python string": {"text": pd.Series(["a", None], dtype=pd.StringDtype("python"))},
    "arrow": {"n": pd.Series([1, None], dtype=pd.ArrowDtype(pa.int64()))},
    "categorical": {"kind": pd.Categorical(["x", None, "y", "x"])},
    "categorical numbers": {"kind": pd.Categorical([30, None, 4])},
    "nullable": {
        "i": pd.Series([1, None], dtype="Int64"),
        "b": pd.Series([None, True], dtype="boolean"),
        "f": pd.Series([0.5, None], dtype="Float32"),
    },
    "numbers": {"f": [0.5, float("nan")], "b": [True, False], "i": np.array([1, 2], "int8")},
    "times": {
        "d": pd.to_datetime(pd.Series(["2020-01-01", None])),
        "t": pd.to_timedelta([1, 2], unit="s"),
    },
    "numpy scalars": {"s": pd.Series([np.str_("é"), np.int64(3).astype(str)], dtype=object)},
    "bytes": {"b": [b"a", b"\xff"]},
    "lists": {"tokens": [["a", "b"], ["c"]]},
    "no rows": {"text": pd.Series([], dtype=object), "label": pd.Series([], dtype="int64")},
    "no columns": {},
}


def plain(cell: Any) -> Any:
    """A pandas cell as Arrow would give it."""
    if isinstance(cell, pd.Timestamp | pd.Timedelta):
        return cell.to_pytimedelta() if isinstance(cell, pd.Timedelta) else cell.to_pydatetime()
    return cell if isinstance(cell, list) or not pd.isna(cell) else None


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_arrives_whole(kind: str, protocol: int) -> None:
    """Each kind of column gives what pandas itself shows, by each protocol."""
    frame = pd.DataFrame(FRAMES[kind])
    table = loaded(frame, protocol)
    assert table.column_names == list(frame.columns)
    expected = {name: [plain(cell) for cell in frame[name].astype(object)] for name in frame}
    assert table.to_pydict() == expected


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_columns_keep_their_places_among_blocks(protocol: int) -> None:
    """Two types in turn make blocks with strided places; adding columns makes unjoined blocks."""
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [3, 4], "d": [0.5, 1.5], "e": [5, 6]})
    frame = frame[["e", "b", "a", "d", "c"]].assign(f=["p", "q"], g=[7, 8])[::-1]
    assert loaded(frame, protocol).to_pydict() == frame.to_dict("list")


def test_column_names_become_strings_and_the_index_is_left_out() -> None:
    """A frame without a header has numbers for names; rows may be named by anything."""
    frame = pd.DataFrame([["a", 1], ["b", 2]], index=pd.MultiIndex.from_tuples([(1, 2), (3, 4)]))
    assert loaded(frame).to_pydict() == {"0": ["a", "b"], "1": [1, 2]}


def test_a_column_of_strings_and_numbers_becomes_strings() -> None:
    """Arrow has no mixed type, and the readers take numbers among texts as their words."""
    frame = pd.DataFrame({"text": ["a", 3, 2.5, None, float("nan"), True]})
    assert loaded(frame).to_pydict() == {"text": ["a", "3", "2.5", None, None, "True"]}


def from_parquet(folder: Path) -> datasets.Dataset:
    """A data set as the library loads it into memory."""
    labelled().to_parquet(folder / "rows.parquet")
    return datasets.Dataset.from_parquet(
        str(folder / "rows.parquet"), cache_dir=str(folder), keep_in_memory=True
    )


DATASETS: dict[str, Callable[[Path], datasets.Dataset]] = {
    "from dict": lambda _: labelled(),
    "from pandas": lambda _: datasets.Dataset.from_pandas(pd.DataFrame(FRAMES["str"])),
    "from list": lambda _: datasets.Dataset.from_list([{"text": text} for text in TEXTS]),
    "from parquet": from_parquet,
    "selected": lambda _: labelled().select([3, 0, 2]),
    "slice": lambda _: labelled().select(range(1, 4)),
    "shuffled": lambda _: labelled().shuffle(seed=3),
    "concatenated": lambda _: datasets.concatenate_datasets(
        [labelled().select([1, 0]), labelled()]
    ).shuffle(seed=1),
    "side by side": lambda _: datasets.concatenate_datasets(
        [labelled().remove_columns("label"), labelled().remove_columns("text")], axis=1
    ),
    "column added": lambda _: labelled().add_column("n", [1.5] * 5),
    "split": lambda _: labelled().train_test_split(test_size=2, seed=42)["test"],
    "formatted": lambda _: labelled().with_format("numpy", columns=["label"]),
    "nested": lambda _: datasets.Dataset.from_dict({"t": TEXTS[:1], "w": [["a"]], "m": [{"x": 1}]}),
    "no rows": lambda _: labelled().select([]),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", DATASETS)
def test_a_dataset_arrives_whole(kind: str, protocol: int, tmp_path: Path) -> None:
    """Rows in their shuffled or selected order, and the names of a ClassLabel."""
    dataset = DATASETS[kind](tmp_path)
    table = loaded(dataset, protocol)
    assert table.to_pydict() == dataset.with_format(None).to_dict()
    assert class_names(table) == class_names(dataset.with_format("arrow")[:])


# Written by older versions: zlib, base64. Made with the same lines each time.
OLD_FRAME = {
    "text": ["alpha", "béta", None],
    "label": [2, 0, 1],
    "kind": ["x", "y", "x"],
    "score": [0.5, None, 2.0],
    "seen": [True, False, True],
    "day": [pd.Timestamp("2020-01-01"), None, pd.Timestamp("2021-01-01")],
    "more": [1, None, 3],
    "words": ["a", None, "c"],
}
OLD_DATASET = {"text": ["gamma", "alpha"], "label": [1, 2]}
OLD = {
    "pandas 1.0.5, numpy 1.18.5": (
        "eNqVVk1v0zAYbtqkLR0TIBhfBySQgPKhikmAOIDGPoSAQJGGOE7BSUydLk2r2GGttAk4dAjk2wwHJH4AQuLOmd+B"
        "xIU/wIkbvHYSSLNu0Bzij8fvpx+/9nP9zddqQX38QA8FLqINpxvixpMQdbDge5YQQ7dUf0uceyE2RJ0blguTgp/I"
        "rvcChsMA+bTRQQFq4ZAKvnfB7zqr9+NxLF9fAQVHRwVd3Me0YSMK9mpWgNesO3IOBMgUN9K+tKzHhmeCqNMbxOKd"
        "yGceCkM0AHtWiJ1uQFkYOQxEuKEWCl4Bc2rJljALQ7Go2eKlWBZ1UzOrQ0FmuOGyQU+GyIsPrsEaU4vxEtfWRbPZ"
        "vPsLPvUz55iwX8kodIb7DGz4yMa+4PoqRAJDKt2CIcU4ELzkSsf0jpoz1rqhSwUGDVwPZE6b0SbYIdP82LiUhCho"
        "yZwsyzaTB9Jogh2GQgaugiXW7QlwFToYOprSicFFcogckfGSY2m0mlnaFOQELz7JRXk9F2VBRrl4NGbGt7m4/fks"
        "bgs3BcC7aPdGtJOFsbqLhdFPS9p/6L6f1a1v0w3pWSwGVCgRjYlNkUby+vOVd99nEiPPC4X1/vsfjw7/w5o9OxLJ"
        "qXGRlLSCtpuak4ouBvJ7BMhr2F8+AImbigUjR0hRFPqI4VY39BwErJpazIz+nMCyFfN1lDZqjiaN4PszoksJvRP5"
        "WmoD1pFpsk9y6sB294vD1HmtL7g2UMwF8imC8QqQGYfYFa8iGzxyuq7Utk1JaRhT4n8SCRyQiQR9x8ckRpYYWUj4"
        "3jtxbz4503FUxBhv/B7svpbjWCnDNahnHURXd3Dd/euWDBI5BIOxtGCQLV4DZ65eziSY7uA+lCUvaFmwpw9Vb9R7"
        "XrXSIjXekWQjgEGHEuWW79lQbj1KQRtUrua8LGCaE29TRD6mljLORbYqDDvvuZaYInWU2ez/ETgzqcD5SQXOTSpw"
        "elKBs5MKXJhU4GJWAAOTypcas5cbs/H9hvryDNV42ZY3JxWwV+q8P0V+JJEbvNpphRaAcMCrduTB5QfFDm4D33Pk"
        "FpslU49PWQSC7X1AeHK7vR+a9kH4yUOdh5czsGGW8/DjDKzDghzczsBSfQ6mGbgIzuXgtxm4bFby8KcMXDGrCYwj"
        "qm5QC2gNLxT5JkhfK1YHM6QeCSuQFMQYPEM2gPSN3+PqKT0="
    ),
    "pandas 1.5.3, numpy 1.26.4": (
        "eNqVVU9vE0cU99q7dppAAVFoChEnDuFiigRVVVWiIRGCLCwSKDfQaHY98ay8/7ozq9gSUemBlFRzy+sFiXPFNwCu"
        "nPoteuELVD1wgzez69obO4KuJc/szry/v99774n9x7+dhnnUqYwmPSq6QZqz7nZOYwbqiw0q6U2zP4BLv8IurCqb"
        "xP0c1IXp62EiWZ7QSHRjmtA+ywWoYzeiNBjcLd9RfFWdrURIFPpiIgPqBCmSLAwGESO+FsLb6kxSxNmoVB8XkQxp"
        "ntMRqiU5C9JEyLwIpL7omIugOqjbXDkAt/EU1i0ffoP7sOpa+GvtAT+hnJ4cZToU1bz3Pew/K89bynoMnudtfsDH"
        "/LnXJfj7j9Blh0YZp2jEf/tSUvAYHqgFvwjRoQQ9d0QUBsyY1Ha0Qrep//kS/5Kf0o7w03U3llUzrBn/8ZDxhja+"
        "vtxs1B+rWgGP+UVU1qzbU6dr6TW5QA9XCMlGw0mCvY01fXKDBgPW06moAVlKdQMqWT/Nw4BGoJbWp94OYPPVw63j"
        "nrapvpkWNbkV1QLq5JTURpX2ikGLY/X63nKdRz02RCU+Fci+RZKwHXJbf0NhflM5473hYQ+5CbNZbuLLeQOeNQRl"
        "jcBgZieaxF6xp/3upHmP5Rj+fuHPKmg9LUG6MgGJr8yDqIWYaDR2kWgakqbb+mwKbE9RgH87lwAl3H9fL9f3v1T4"
        "/1QRoOXan23N/3QsVsOqFNuuc0jxD2plDkkw/0yGsQbx+Ea1X6sqcEISbf7uJFh7JljEcr2JtWT8tSTsGTeOjuX/"
        "KzO5/P31tefvzlQ5fNJoPB6++GfrbAmfcsh2zn4GT5RAOm77UG2dmxO/bmC6taljt8vdOPiK5g45gqGaYJfRKetQ"
        "ZbemKhylYyoGR0jvTsin2iSgAWegwyj7G/9TLaJL312t1R1/o51aMt2SVBcvK3uANYdlEkIhfFHo6NtuZwb/efFj"
        "Cw6TPsEG8cDs5mD/1/is5onqCJnmOBZAtbOR5GkC4og6rAoZO/BXte4Wh0KgWmzk3ppuYlZgynxciR13YToECaiF"
        "3+KbmAF+Z9bSwn+WbMmGEhMZUZ9FwN9ig9chg7IFYwmoVk/PIDs235wd7CPCGOZbZWvht+pNcdzQcprocBfv63Wq"
        "i6EcmpA0lzhB0IhMM8CZgBuGG8voZKZn2QRTiBNZc2o8nUnMJDUke4TeUClx7mJ622Q7on2z/ZpGUbojSK/IcFBh"
        "kRITmYBniHX3I2OhCo8="
    ),
    "pandas 2.2.3, numpy 2.1.3": (
        "eNqVVU1v1EYYXu/au2mgpIg2TSFqLxzCZSkSRaiqREMiBDG4EhVHNBp7JzvW+quesbIrEZUeSEk1t7y9VOqlN8Qv"
        "4MyBv9FLxZmeeoN3xt6und2o1Cutx/a8n8/zPvPY/vV1r2UudTajyYCKfpDmrL+b05iB+mCbSnrLrI/g0k+wDxvK"
        "JvEwB/V5fXuYSJYnNBL9mCZ0yHIB6vTNKA1G98pnNN9Qq5UJiUJfzGxArZAiycJgFDHiayPcrVaTIs4mfWL8x0Uk"
        "Q5rndIJ+Sc6CNBEyLwKpdzpmJ6geOjdbjsBtPYEty4ef4T5suBb+OgfAV5QzkJNM16La312Hw6fl946yHoHneTtv"
        "8TJ/7g0J/uFDzNmhUcYpBvFfPpMUPIYf1JJfhJhQgqk7IgoDZkLqONqh29b//BQ/w8/qRPi5Zhprqh02gn9zLHhL"
        "B99aa7eal1XdAT/zi+is3YynzjX6a3qBGa4Tkk3Gsw5725v6y00ajNhAt6KBZGnVD6hkwzQPAxqBOrVVezqCnS+6"
        "b2xPx1Sf1U1Nb0V1A/VRzWq7antFoeWpe71vrUmkARujE58KpN8ySdgeuaPfoTG/pZzp2hBxgOSE+S638eGCAc8a"
        "g7ImYDCzE81irzjQeffSfMByLP+w8OcddJ6UIF2ZgcTXF0HUQUw0GvtINA1J2+28NwV2axTgXy4kQAn3nzfK+z8/"
        "Vvh/WxGg49rvHc3/71qsllU5tl3nmOOv1foCkmD/mQxjDeKH29V6s5rAGUl0+HuzYu25YhHLrTbOksnXknBg0ji5"
        "lv/vzPTylxdf/fbXJ1UPH7daj8a///1gtYQP55zs5uwH8FSXBDTgDBmm7CIJJUoFuhNFibDjdo8N3fkFjdHSpkVP"
        "nb5TrqZdqfjvkBOoq5l3GbO1jo18pzb6aB1TMTrBen/GSv4H1lApHn+uljGXa1drkygKXVHX7c2Bvagm1NswGRJU"
        "g+/NagHQr6bfGuOuekKmOR4CoLrZRPI0AXHC0FVTi3L7cUPK4lAIdItQeJtasazAzPR07HruUr0ECeiF3+Y72Gp+"
        "dz7S0r+RbMnGCLATUZ+hztkjlB8t6bpufBSMJaA6A33q2LF55+yhcggTnT8oxYTfbsrgVMJymuial+/re0230A5D"
        "SJpLPDMwiEwzwFMAFwwXlvHJjErZBPuIh7Amy/RAJjGT1LDnIWZDpcSjFnvcJbsRHZrlpzSK0j1BBkWGRxOOJTHl"
        "CXiKgPffAdwcA4Q="
    ),
    "datasets 2.8.0, pyarrow 10.0.1": (
        "eNp1VOuKHEUUnmwyl+zs7K5RRETC0r9WsllwsibqT0fEMGYQI4roUFR3V08V0zfqks0YBhQ0KtS/LR/C5/AFfCTP"
        "qb7MzJo0FH3OV3Uu9Z065+dbf/3b6/jPvh1TTRXT6pxKWVySWnW2/1ktXbn3f3Frd2q7RORJ4eyoNan0YX3yMWrt"
        "6WHMVCRFqUWRO9txdhAJTb3GD+yAFxkr6YKh0k9FxHLl5UHCqDaSKWffbeM02Plmc/B5I175cLc0e64df8N2v6Wp"
        "YVtZx3pVMmd7SkuRL5zdE7Gb2X5JSbUxLFf+6uepCJ09RJAkhSQ0FRS9t5a/ua+dCW03pSFLMdT+JKVKfenVTbyc"
        "ZpDVHMXvCpnG4OBpWUiNSX9qlMiZUo7x92Z2mJuMROgDDKY37b43JYlIGWQ4ALr1GGKjL36Pn/H7DEAAxrCBsfi9"
        "aYefTW/w+9M9Y0KDCdrDslCalLKIIA7Dqx4pUzL5TIBGlmylADoEYpdEs6xMqWaIHIRGpDGTBHMAfRgVeSIWjdp/"
        "xqTC2s2AjjIVGm3uxMVlnhY0JhFn0VKZDNFRiyrxE9q+tZ0RENngB3V9G32Ef7g0CVc+J+C6R3ywmo2YPQd87eAl"
        "oinctX0hmoZAmh09zp+wrJCrb7xeF8V2q21+194hksHNgEQTaaLrU0jwXTuKuMmXQBI8B7ryMKCHYKF0IVkLn/KT"
        "nTcxvTntTDvgYwbHb5crEpokYRKfzgBZ1SKH2t/GWzUuJsfYfF1Y+7COYHlPuPj3/MfJEU1LTsN//tZ0QbOMtrts"
        "7mbaS/RaFi/R9itI+Snm14Un8vDienro+p29zu53o/6/JsaWJwzB4I49BfWGpBriuolg8M6vNm24m9of4A6S+/20"
        "7Z0dt9U2W7vJkJvFAqwSGjE3uXoR4IAJPjl5ETSN7xWM4QXf2iAFVbDg7CQgDeTHQLAGyMf0531/gfRD4DsTz1et"
        "iVLTm8F8282mxYM1fE69rIlQYfUmYXQpx7/wD41P+ZP5VhV6ZqsMe5syTI6vF+FVxTW7zFP+69yT2G+j7h6qeKT/"
        "4zF7HY+1n10qK4evonKNZCbglskS6MYSBBcfP3owfjj+6NGHF+EH4wc02GXoACdpRnU1amHuNPryksqF7+WjBoqK"
        "1GQ5TpA3SWF0aTSM4LSF/0Rnm+DOHl+PDcP5/D8byJN9"
    ),
    "datasets 3.2.0, pyarrow 18.1.0": (
        "eNrlVluPGzUUTrJNk2721oLKRahazdOibiO0vQrxRBCiDI0qQPCAIssz44lHO7eOPd2GKhI87NKV/BbzA5BAqI+8"
        "ICQe+WFwjueSybZ9Ki9VLTnxObbP5TufPf7h3M9vbbRMU5c9KqlgUgxpliVHpBS16n1Sjhb6/R/1XO+pLgliP9Fq"
        "s95SyINy5V2U6tUDjwk3C1IZJLFWLa36biCpkfiG6vMkYimdMhR6YeCyWJhx32dU5hkTWr1b+6l0w+Vk/9NquDDu"
        "zkn2SGp+UXW/oWHOGlF7cpYyrc4LmQXxVKtO4Omx6qWUFBODdGZSH4aBo9UWKomfZISGAUXr9c5j/aXOHdUNqcNC"
        "dLU+CqkQXxhx6S+mEUQ1weG3SRZ6YOCrNMkkBv1xLoKYCaEZf2+sBnEeERdtwAZ7Ta2brcQPQgYR9gFueQC+0Ra/"
        "yvf5NQZKUBzABPriV+0W37fb/JrdyXMnxwDVVpoISdIsccEPw1S3RZ6y7GEAEjlkMwGqDScPQo9lBD2iXEJdyQM3"
        "if1gWom9hywTWLkxgJGGgUQbl7zkKA4T6hGXM/dQ5BFqN2utCL7HvW824wEYK33tspQ38R9SJs5MAhxjQPo8Mc5K"
        "LDz2CPRzDTzErZBpzQ9JHYBMbd6N77EoyWZfG7kuSY8ICDGiml+B+IvhwqB6RXX9gEGNFksK7a4U/MlYwi+/v1fX"
        "fVd1Af9bNxrTbK5HA55Pp7DLpy7To8VjCw+H9eHuY6sirRHQhxkYWsLIKpxZ+7sWqVSGwtYcVManWW+4AaPvLMMq"
        "XF/QCkcVr6xJ08ySntYcmhYnSJA+cagEEJCjAMA7JGNQbYgid6UZZ16xosZoC9RCJhkjcFDoDME6g5K9ZrfsFqwe"
        "w/IL6Yw4ue+zDE9PH6kmgxjofwFLW5kY7eD904W+Dn0burGEncf8wWibhimnzj9PJZ3SCCpWzbKJBtDNOr63Wo1G"
        "GGji7U5rtbXL/+fYYvweJnv/daEBdgpcSHwfj5BWl+EySmdDAvVnwyiHkhWVUhtNgmBFu2YlfCFiryqm3TrWo7aj"
        "fwKre3bb7hxr/lt19S7wzr2jT58Us2uq/ZEej8ef/wvN/NgtqZ3TghDY1qoygVp1i8MNvLq0wlRZnvGCopsuz+ND"
        "uOCqiCYlO17AUqTHyxOQnnGAoPK/J/8rMemqpZPXlKvwOTAfAXgpCM0/K252biMSmGmvngIs8rPJ0meSjV6UbGln"
        "Nd/C4PPynWPGPphlWQqYIE7WjQPn9s1b9Prtm3fodfqBY5VpcAdiZTUxG1HanSU9RjtnyfEMIV6hnM01w3/hv/Lf"
        "8Y7gT5s3xB+NM99pnHn+J/9r0jhILwHV6uaTVxE+YP4GPkgjKosX6xg+yKV8eESzqXkUbVcqNwnzKMan2BskyWWa"
        "S3jJhrX6FI0tnWu1c9Y3OBz+B1JHa14="
    ),
}


@pytest.mark.parametrize("version", OLD)
def test_old_layouts_arrive_whole(version: str) -> None:
    """Real pickles of older libraries; the layouts differ, the rows do not."""
    table = read(io.BytesIO(zlib.decompress(base64.b64decode(OLD[version]))))
    if "datasets" in version:
        assert table.to_pydict() == OLD_DATASET
        assert class_names(table) == {"label": NAMES[:3]}
    else:
        assert table.to_pydict() == OLD_FRAME


@pytest.mark.parametrize("value", [pd.DataFrame(FRAMES["str"]), labelled().shuffle(seed=3)])
def test_the_child_hands_back_what_it_read(value: Any, tmp_path: Path) -> None:
    """The same table comes out of the child process as out of the reader inside it."""
    table = read_pickle(saved(tmp_path, value))
    assert table.equals(loaded(value), check_metadata=True)


def test_the_published_size_of_8000_rows(tmp_path: Path) -> None:
    """One column `text` and nothing else, as the competition's own file."""
    texts = [f"text {row} " + "word " * (row % 90) for row in range(8000)]
    path = saved(tmp_path, datasets.Dataset.from_dict({"text": texts}))
    assert read_pickle(path).to_pydict() == {"text": texts}


def test_the_child_is_deaf_to_its_surroundings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the current folder nor variables can slip it another numpy."""
    path = saved(tmp_path, labelled())
    for planted in ("numpy.py", "pyarrow.py", "sitecustomize.py"):
        (tmp_path / planted).write_text("raise SystemExit('planted')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert read_pickle(path).num_rows == 5


def test_the_child_runs_this_very_tightfit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Found where this one lies, be it installed or on PYTHONPATH, and before any other."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    path_only, _, _ = child._START.partition("from importlib")
    code = f"{path_only}import tightfit\nraise SystemExit(tightfit.__file__)\n"
    monkeypatch.setattr(child, "_START", code)
    with pytest.raises(DataError, match=re.escape(tightfit.__file__)):
        read_pickle(saved(tmp_path, []))


def test_half_a_character_is_a_fault_of_the_rows() -> None:
    """Python strings may hold lone surrogates, which no Arrow table and no tokenizer takes."""
    frame = pd.DataFrame({"text": pd.Series(["a", "\ud83d"], dtype=object)})
    with pytest.raises(DataError, match="lone surrogate"):
        loaded(frame)
