"""Models of data that stay where they are: on disk, in a database, on a cluster.

:func:`is_source` says what is taken for such data. Nothing here imports pyarrow,
polars, DuckDB or Dask before data of that kind are given.

- :mod:`~sm_lmer.big.sources` reads batches of rows;
- :mod:`~sm_lmer.big.first_pass` finds levels, categories and a sample;
- :mod:`~sm_lmer.big.plan` fixes the columns of the design and the codes of the levels;
- :mod:`~sm_lmer.big.second_pass` adds up cross-products;
- :mod:`~sm_lmer.big.statistics` turns the sums into the likelihood's statistics;
- :mod:`~sm_lmer.big.model` is the model without rows, and its results;
- :mod:`~sm_lmer.big.dask` does the passes on the workers of a cluster.
"""

from __future__ import annotations

import os
from typing import Any

_KINDS = {
    "pyarrow": {"Dataset", "FileSystemDataset", "UnionDataset", "InMemoryDataset"},
    "polars": {"LazyFrame"},
    "duckdb": {"DuckDBPyRelation"},
    "_duckdb": {"DuckDBPyRelation"},
    "dask": {"DataFrame"},
    "dask_expr": {"DataFrame"},
}
"""Classes of data that are read batch by batch, by the package they come from."""


def is_source(data: Any) -> bool:
    """Whether data are read batch by batch rather than taken into memory.

    Parameters
    ----------
    data : object
        The name of a Parquet file or of a folder of them, a pyarrow Dataset, a polars
        LazyFrame, a DuckDB relation, a Dask DataFrame, or a function that returns
        record batches of Arrow (or a RecordBatchReader) each time it is called.
    """
    if isinstance(data, (str, os.PathLike)):
        return _may_be_parquet(os.fspath(data))
    if any(c.__name__ in _KINDS.get(_package(c), ()) for c in type(data).__mro__):
        return True
    if _package(type(data)) == "pyarrow" and type(data).__name__ == "RecordBatchReader":
        raise TypeError(
            "a RecordBatchReader can be read only once and a model needs several "
            "passes; pass a function that makes one."
        )
    return callable(data) and not hasattr(data, "columns")


def _may_be_parquet(path: str) -> bool:
    """Whether a path is that of a Parquet file, of a folder, or in an object store."""
    return path.endswith((".parquet", ".pq")) or "://" in path or os.path.isdir(path)


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


__all__ = ["is_source"]
