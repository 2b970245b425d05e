"""Several processes, or machines, sharing one job: which rows are whose."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tightfit.errors import UsageError


@dataclass(frozen=True)
class Shard:
    """One of several parts of a job, which other processes may do.

    Raises:
        UsageError: there is no such part.
    """

    number: int
    """From 1."""
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise UsageError(
                "there is no such shard",
                seen=f"{self.number}/{self.count}",
                allowed=f"1/{self.count} to {self.count}/{self.count}" if self.count > 0 else "1/1",
                next_step="number the processes from 1",
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``3/8``.

        Raises:
            UsageError: it is something else, or there is no such shard.
        """
        match = re.fullmatch("([0-9]{1,9})/([0-9]{1,9})", text)
        if match is None:
            raise UsageError("this is no shard", seen=text, allowed="such as 3/8, the third of 8")
        return cls(int(match[1]), int(match[2]))

    def holds(self, chunk: int) -> bool:
        """Whether a chunk, counted from 0, belongs to this shard: chunks are dealt out in turn."""
        return chunk % self.count == self.number - 1

    def rows(self, total: int, chunk_rows: int) -> int:
        """How many of ``total`` rows are this shard's, in chunks of ``chunk_rows``."""
        starts = range((self.number - 1) * chunk_rows, total, self.count * chunk_rows)
        return sum(min(chunk_rows, total - start) for start in starts)


WHOLE = Shard(1, 1)
