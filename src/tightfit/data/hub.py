"""Data sets of the Hugging Face Hub: ``hf:NAME[@REVISION][:CONFIG[:SPLIT]]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tightfit import extras
from tightfit.errors import DataError

if TYPE_CHECKING:
    import datasets

HUB_PREFIX = "hf:"
HUB_FORM = "hf:NAME[@REVISION][:CONFIG[:SPLIT]]"


@dataclass(frozen=True)
class HubName:
    """What to load from the Hub; NAME may also be a local folder."""

    name: str
    revision: str | None = None
    """Branch, tag or commit; None is the newest."""
    config: str | None = None
    """None is the only one, or the default one."""
    split: str = "train"
    """May be a slice, such as ``train[:10%]``."""


def parse_hub(spec: str) -> HubName:
    """Read ``hf:NAME[@REVISION][:CONFIG[:SPLIT]]``; CONFIG may be empty where SPLIT follows.

    Raises:
        DataError: a part that is announced by ``@`` or ``:`` is empty, or there is no NAME.
    """
    head, *rest = spec.removeprefix(HUB_PREFIX).split(":", maxsplit=2)
    name, at, revision = head.partition("@")
    if not name or (at and not revision) or (rest and not rest[-1]):
        raise DataError(
            "a Hub data set with an empty part",
            seen=spec,
            allowed=HUB_FORM,
            next_step="for example hf:fancyzhx/ag_news, or hf:fancyzhx/ag_news::test",
        )
    config, split = [*rest, "", ""][:2]
    return HubName(name, revision or None, config or None, split or "train")


def load_hub(spec: str) -> datasets.Dataset:
    """Download, or take from the cache, the data set that ``spec`` names.

    Raises:
        DataError: it cannot be parsed, reached or found.
    """
    wanted = parse_hub(spec)
    library = extras.require("datasets", "a data set of the Hub")
    try:
        return library.load_dataset(
            wanted.name, wanted.config, split=wanted.split, revision=wanted.revision
        )
    # Network, hub, file formats and builders each have exceptions of their own, without a common
    # base; for the user all of them mean that this name gives no rows.
    except Exception as error:
        first_line = str(error).strip().partition("\n")[0]
        raise DataError(
            f"{spec} could not be loaded from the Hub",
            seen=f"{type(error).__name__}: {first_line}",
            allowed=HUB_FORM,
            next_step="check the name, the configuration, the split and the network; without "
            "network, give the path of a file (Parquet, CSV, JSON lines) instead",
        ) from error
