"""pyarrow and its Parquet, imported at their first use: most commands do without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tightfit.extras import lazy

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    PURPOSE = "what is kept in Arrow's formats (Parquet, pickled data sets)"
    pa, pq = lazy("pyarrow", PURPOSE), lazy("pyarrow.parquet", PURPOSE)

__all__ = ["pa", "pq"]
