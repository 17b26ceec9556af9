"""Data of any common kind as a pandas frame with plain dtypes."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray


def as_frame(data: Any) -> pd.DataFrame:
    """Turn a mapping, a record array, or a polars or Arrow table into a frame."""
    if isinstance(data, pd.DataFrame):
        return data
    if hasattr(data, "collect") and hasattr(data, "lazy"):  # a polars LazyFrame
        data = data.collect()
    if hasattr(data, "to_dict") and hasattr(data, "get_columns"):  # polars
        columns = {c.name: _from_polars(c) for c in data.get_columns()}
        return pd.DataFrame(columns)
    if hasattr(data, "to_pandas"):
        frame = data.to_pandas()
        if isinstance(frame, pd.DataFrame):
            return frame
    if isinstance(data, Mapping):
        return pd.DataFrame(dict(data))
    if isinstance(data, np.ndarray) and data.dtype.names:
        return pd.DataFrame.from_records(data)
    raise TypeError(
        f"data must be a data frame or a mapping of columns, not {type(data).__name__}."
    )


def as_pandas(values: Any) -> Any:
    """A polars frame or Series in pandas, nullable numbers as floats with nan.

    Anything else is returned as it is.
    """
    if hasattr(values, "get_columns"):
        values = as_frame(values)
    elif hasattr(values, "to_numpy") and not isinstance(values, _PANDAS):
        return pd.Series(values.to_numpy(), name=getattr(values, "name", None))
    if isinstance(values, pd.DataFrame):
        if all(isinstance(dtype, np.dtype) for dtype in values.dtypes):
            return values
        floats = {k: _as_floats(values.iloc[:, k]) for k in range(values.shape[1])}
        frame = pd.DataFrame(floats, index=values.index)
        return frame.set_axis(values.columns, axis=1)
    return _as_floats(values) if isinstance(values, pd.Series) else values


_PANDAS = (pd.Series, pd.DataFrame, pd.Index, pd.api.extensions.ExtensionArray)


def _as_floats(column: pd.Series) -> pd.Series:
    dtype = column.dtype
    if isinstance(dtype, np.dtype) or not pd.api.types.is_numeric_dtype(dtype):
        return column
    values = column.to_numpy(np.float64, na_value=np.nan)
    return pd.Series(values, index=column.index, name=column.name)


def _from_polars(column: Any) -> Any:
    """A polars column without going through Arrow."""
    kind = str(column.dtype)
    if kind.startswith("Enum"):
        categories = column.dtype.categories.to_list()
        return pd.Categorical(column.to_list(), categories=categories)
    if kind.startswith("Categorical"):
        return pd.Categorical(column.to_list())
    if kind.startswith("Decimal"):
        return np.array(column.to_list(), dtype=np.float64)
    if kind in ("String", "Utf8", "Boolean", "Object"):
        return np.array(column.to_list(), dtype=object)
    return column.to_numpy()


def column_names(frame: pd.DataFrame) -> Collection[Any]:
    """The names of the columns, quick to look up."""
    names = frame.columns
    return names if isinstance(names, pd.MultiIndex) else frozenset(names)


def take_columns(
    frame: pd.DataFrame, names: Iterable[str], namespace: Mapping[str, Any]
) -> tuple[dict[str, pd.Series], list[str]]:
    """The named columns; arrays of the frame's length in the caller's scope count.

    Returns
    -------
    columns : dict of Series
        All of them with the index of the frame; first those of the frame.
    others : list of str
        Names that are not columns but something else in the caller's scope.
    """
    known = column_names(frame)
    present, added, others = {}, {}, []
    for name in names:
        if name in known:
            column = frame[name]
            if isinstance(column, pd.DataFrame):
                raise ValueError(
                    f"the data have {column.shape[1]} columns named {name!r}; "
                    "rename all but one."
                )
            present[name] = column
        elif name in namespace and _is_column(namespace[name], len(frame)):
            check_index(namespace[name], frame.index, repr(name))
            added[name] = pd.Series(np.asarray(namespace[name]), index=frame.index)
        elif name in namespace:
            others.append(name)
        else:
            raise KeyError(name)
    return present | added, others


def _is_column(value: Any, n: int) -> bool:
    shape = getattr(value, "shape", None)
    if shape is None and isinstance(value, Sequence) and not isinstance(value, str):
        shape = (len(value),)
    return shape == (n,)


def check_index(values: Any, index: Any, role: str) -> None:
    """Refuse a Series or frame whose index is not that of the data."""
    if isinstance(values, (pd.Series, pd.DataFrame)) and not values.index.equals(index):
        raise ValueError(
            f"the index of {role} is not that of the data; "
            "align it, or pass an array in the order of the rows."
        )


def one_a_row(values: ArrayLike, index: pd.Index, role: str) -> NDArray[np.float64]:
    """An array given beside the data: one number a row of `index`."""
    check_index(values, index, role)
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{role} must be numbers.") from None
    if array.shape != (len(index),):
        raise ValueError(
            f"{role} has shape {array.shape}, but the data have {len(index)} rows."
        )
    return array


def suggestion(name: str, columns: Iterable[Any]) -> str:
    """A sentence that says what the unknown name may have meant."""
    columns = list(columns)
    if name not in columns and name in map(str, columns):
        return (
            f"its name is not a string; write data.rename(columns={{{name}: 'name'}})."
        )
    known = [str(c) for c in columns]
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f"the data have {shown or 'no columns'}."


def plain(column: pd.Series) -> pd.Series:
    """A column free of missing values with a dtype both formula engines know.

    Nullable and Arrow dtypes become NumPy's, strings objects, objects that are all
    numbers numbers; categoricals lose the categories that do not occur.
    """
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return of_occurring_categories(column)
    if pd.api.types.is_object_dtype(dtype):
        inferred = column.infer_objects()
        return inferred if inferred.dtype.kind in "iufb" else column
    if isinstance(dtype, np.dtype):
        return column
    if pd.api.types.is_bool_dtype(dtype):
        return column.astype(bool)
    if pd.api.types.is_integer_dtype(dtype):
        return column.astype(np.int64)
    if pd.api.types.is_numeric_dtype(dtype):
        return column.astype(np.float64)
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return column
    return column.astype(object)


def is_text(dtype: Any) -> bool:
    """Whether it is one of pandas' own types of strings."""
    return not isinstance(dtype, np.dtype) and pd.api.types.is_string_dtype(dtype)


def of_occurring_categories(column: pd.Series) -> pd.Series:
    """A categorical without the categories that do not occur."""
    codes = np.asarray(column.array.codes, dtype=np.intp)
    counts = np.bincount(codes + 1, minlength=len(column.dtype.categories) + 1)
    return column if counts[1:].all() else column.cat.remove_unused_categories()
