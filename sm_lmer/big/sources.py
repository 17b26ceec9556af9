"""Batches of rows from files, databases and lazy frames, as pandas frames.

A source knows the names of its columns and can be read again and again. Whatever it
is, its batches come as Arrow record batches or pandas frames, and :func:`as_batch`
gives their columns the types that a model in memory would see.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

BATCH_ROWS = 1_000_000
"""Rows of a batch where the user gives no number."""

EXTRAS = {"pyarrow": "big", "dask": "dask", "distributed": "dask"}
"""The extra that installs a package; others go by their own names."""


def required(package: str, what: str) -> Any:
    """A package, or one sentence that says how to install it.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        return import_module(package)
    except ImportError:
        name = package.partition(".")[0]
        extra = EXTRAS.get(name)
        how = f"pip install '{'sm_lmer[' + extra + ']' if extra else name}'"
        raise ImportError(f"{what} needs the package {name}: {how}.") from None


class Source(Protocol):
    """Rows that can be read several times, batch by batch.

    Attributes
    ----------
    columns : tuple of str
    rows : int or None
        Number of rows, where it is known without reading them.
    """

    columns: tuple[str, ...]

    @property
    def rows(self) -> int | None:
        """From metadata alone."""

    def batches(self, names: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
        """The named columns, at most about `rows` rows at a time."""


def source_of(data: Any) -> Source:
    """The source that data stand for; see :func:`sm_lmer.big.is_source`.

    Raises
    ------
    ImportError
        If the package that reads it is not installed.
    ValueError
        If a file does not exist, or a folder is empty.
    """
    if isinstance(data, (str, os.PathLike)):
        return _of_path(data)
    package = type(data).__module__.partition(".")[0]
    if package == "pyarrow":
        return ArrowSource(data)
    if package == "polars":
        return PolarsSource(data)
    if package in ("duckdb", "_duckdb"):
        return DuckDBSource(data)
    return FactorySource(data)


def _of_path(path: str | os.PathLike[str]) -> ArrowSource:
    text = os.fspath(path)
    folder = Path(text).is_dir()
    remote = "://" in text
    dataset = required("pyarrow.dataset", "reading Parquet")
    if not folder and not remote and not Path(text).exists():
        raise ValueError(f"there is no file {text!r}.")
    found = dataset.dataset(text, format="parquet", partitioning="hive")
    if not remote and not found.files:
        raise ValueError(f"the folder {text!r} holds no files.")
    return ArrowSource(found, check_files=True)


# -- sources ---------------------------------------------------------------------------


class ArrowSource:
    """A pyarrow Dataset.

    Parameters
    ----------
    dataset : pyarrow.dataset.Dataset
    check_files : bool
        Whether to look at the types of the columns in every file before reading.
    """

    def __init__(self, dataset: Any, check_files: bool = False) -> None:
        self.dataset, self.check_files = dataset, check_files
        self.columns = tuple(dataset.schema.names)

    @property
    def rows(self) -> int:
        """From the files' metadata."""
        return int(self.dataset.count_rows())

    def batches(self, names: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
        """Read one batch ahead, no more, so that memory stays bounded."""
        if self.check_files:
            self._check(names)
        pa = required("pyarrow", "reading Arrow data")
        scanned = self.dataset.to_batches(
            columns=list(names),
            batch_size=rows,
            batch_readahead=1,
            fragment_readahead=1,
            fragment_scan_options=self._unbuffered(),
        )
        try:
            for batch in _gathered(scanned, rows):
                yield as_batch(batch)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as why:
            reason = str(why).strip().splitlines()[0]
            raise ValueError(f"the data cannot be read: {reason}") from why

    def _unbuffered(self) -> Any:
        """Options that keep pyarrow from fetching the whole of a Parquet file."""
        from pyarrow import dataset

        kind = getattr(self.dataset, "format", None)
        if getattr(kind, "default_extname", None) != "parquet":
            return None
        return dataset.ParquetFragmentScanOptions(
            use_buffered_stream=True, pre_buffer=False
        )

    def _check(self, names: Sequence[str]) -> None:
        """Columns have one type in all files, numbers of all kinds being one."""
        pa = required("pyarrow", "reading Arrow data")
        schema, widened = self.dataset.schema, {}
        for fragment in self.dataset.get_fragments():
            own = fragment.physical_schema
            for name in names:
                if name not in own.names or own.field(name).type.equals(
                    schema.field(name).type
                ):
                    continue
                kinds = [arrow_kind(s.field(name).type) for s in (schema, own)]
                if "null" in kinds:
                    continue
                if kinds[0] != kinds[1]:
                    raise ValueError(
                        f"column {name!r} is {kinds[1]} in {fragment.path}, but "
                        f"{kinds[0]} in the files before it; write it with one type."
                    )
                if kinds[0] == NUMERIC:
                    widened[name] = pa.float64()
        if widened:
            for name, kind in widened.items():
                at = schema.get_field_index(name)
                schema = schema.set(at, schema.field(at).with_type(kind))
            self.dataset = self.dataset.replace_schema(schema)


def _gathered(batches: Iterable[Any], rows: int) -> Iterator[Any]:
    """Small batches put together, as small row groups would be slow one by one."""
    pa = required("pyarrow", "reading Arrow data")
    held: list[Any] = []
    size = 0
    for batch in batches:
        if batch.num_rows == 0:
            continue
        if held and size + batch.num_rows > rows:
            yield pa.Table.from_batches(held)
            held, size = [], 0
        held.append(batch)
        size += batch.num_rows
    if held:
        yield pa.Table.from_batches(held)


class PolarsSource:
    """A polars LazyFrame, run by polars' streaming engine at every pass."""

    rows = None

    def __init__(self, frame: Any) -> None:
        self.frame = frame
        self.columns = tuple(frame.collect_schema().names())

    def batches(self, names: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
        """Batches in the order of the rows."""
        chosen = self.frame.select(list(names))
        if hasattr(chosen, "collect_batches"):
            found = chosen.collect_batches(chunk_size=rows, maintain_order=True)
        else:  # before polars 1.34
            found = chosen.collect(engine="streaming").iter_slices(rows)
        for batch in found:
            yield from (as_batch(part) for part in batch.iter_slices(rows))


class DuckDBSource:
    """A DuckDB relation or query (``duckdb.sql(...)``), run anew at every pass."""

    rows = None

    def __init__(self, relation: Any) -> None:
        self.relation = relation
        self.columns = tuple(relation.columns)

    def batches(self, names: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
        """Batches as DuckDB makes them."""
        required("pyarrow", "reading from DuckDB")
        quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
        query = self.relation.project(quoted)
        reader = getattr(query, "to_arrow_reader", None) or query.fetch_arrow_reader
        for batch in _gathered(reader(rows), rows):
            yield as_batch(batch)


@dataclass
class FactorySource:
    """A function that returns batches: an iterable, or a RecordBatchReader.

    A batch is an Arrow record batch or table, a polars or a pandas frame.
    """

    make: Callable[[], Iterable[Any]]
    rows: int | None = None

    def __post_init__(self) -> None:
        for batch in self.make():
            self.columns = column_names(batch)
            return
        raise ValueError("the data have no rows.")

    def batches(self, names: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
        """Batches of the size that the function makes them."""
        for number, batch in enumerate(self.make(), start=1):
            lost = set(names) - set(column_names(batch))
            if lost:
                raise ValueError(f"batch {number} has no column {min(lost)!r}.")
            yield as_batch(batch, names)


def column_names(batch: Any) -> tuple[str, ...]:
    """Names of the columns of a record batch, a table or a frame."""
    schema = getattr(batch, "schema", None)
    names = (
        getattr(schema, "names", None)
        if callable(getattr(schema, "field", 0))
        else None
    )
    return tuple(batch.columns if names is None else names)


# -- types -----------------------------------------------------------------------------

NUMERIC, TEXT, FLAG, TIME = "numeric", "text", "true or false", "a time"


def arrow_kind(dtype: Any) -> str:
    """What an Arrow type stands for in a model."""
    types = required("pyarrow", "reading Arrow data").types
    if types.is_dictionary(dtype):
        return arrow_kind(dtype.value_type)
    if types.is_boolean(dtype):
        return FLAG
    if types.is_integer(dtype) or types.is_floating(dtype) or types.is_decimal(dtype):
        return NUMERIC
    if types.is_string(dtype) or types.is_large_string(dtype):
        return TEXT
    if types.is_string_view(dtype):
        return TEXT
    return TIME if types.is_temporal(dtype) else str(dtype)


def kind_of(column: pd.Series) -> str | None:
    """What a pandas column stands for; None where it holds nothing to tell it by."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return kind_of(pd.Series(dtype.categories))
    if pd.api.types.is_object_dtype(dtype):
        held = column[column.notna().to_numpy()]
        if len(held) == 0:
            return None
        return {"string": TEXT, "boolean": FLAG}.get(
            found := pd.api.types.infer_dtype(held.iloc[:1000]),
            NUMERIC
            if found in ("integer", "floating", "mixed-integer-float")
            else found,
        )
    if pd.api.types.is_bool_dtype(dtype):
        return FLAG
    if pd.api.types.is_numeric_dtype(dtype):
        return NUMERIC
    if pd.api.types.is_datetime64_any_dtype(dtype) or dtype.kind in "mM":
        return TIME
    return TEXT if pd.api.types.is_string_dtype(dtype) else str(dtype)


def as_batch(batch: Any, names: Sequence[str] | None = None) -> pd.DataFrame:
    """A batch as a pandas frame whose integers stay integers and texts stay Arrow's."""
    if isinstance(batch, pd.DataFrame):
        return batch if names is None else batch[list(names)]
    if hasattr(batch, "to_arrow"):  # polars
        batch = batch.to_arrow()
    table = batch if names is None else batch.select(list(names))
    columns = {
        name: _from_arrow(table.column(k)) for k, name in enumerate(table.schema.names)
    }
    return pd.DataFrame(columns, copy=False)


def _from_arrow(values: Any) -> Any:
    pa = required("pyarrow", "reading Arrow data")
    types, dtype = pa.types, values.type
    if types.is_decimal(dtype):
        return values.cast(pa.float64()).to_pandas()
    if types.is_integer(dtype) and values.null_count:
        return values.to_pandas(types_mapper={dtype: pd.Int64Dtype()}.get)
    if types.is_boolean(dtype) and values.null_count:
        return values.to_pandas(types_mapper={dtype: pd.BooleanDtype()}.get)
    if arrow_kind(dtype) == TEXT and not types.is_dictionary(dtype):
        text = values.cast(pa.large_string())
        return pd.Series(pd.array(text, dtype=pd.StringDtype("pyarrow")))
    if types.is_dictionary(dtype):
        if isinstance(values, pa.ChunkedArray):
            values = values.unify_dictionaries().combine_chunks()
        if isinstance(values, pa.ChunkedArray):
            values = values.chunk(0)
        indices = values.indices.cast(pa.int64()).fill_null(-1)
        codes = indices.to_numpy(zero_copy_only=False)
        labels = np.asarray(values.dictionary.to_pylist(), dtype=object)
        return pd.Series(pd.Categorical.from_codes(codes, labels))
    return values.to_pandas()
