"""Grouping factors of a data frame: their codes, their checks, their new levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from ..core.terms import Factor
from .frames import is_text, of_occurring_categories
from .grammar import variables

UNSEEN, MISSING = -1, -2


def evaluate_group(
    expression: str, frame: pd.DataFrame, namespace: Mapping[str, Any]
) -> pd.Series:
    """The values of a grouping expression, one a row of the frame."""
    names = variables(expression)
    name = names[0] if len(names) == 1 else None
    if name in frame.columns and expression in (name, f'Q("{name}")'):
        return frame[name]
    columns = {str(name): frame[name] for name in frame.columns}
    scope = {**namespace, **columns, "Q": frame.__getitem__}
    try:
        values = eval(compile(expression, "<grouping>", "eval"), scope)
    except (NameError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"the grouping {expression!r} cannot be evaluated: {error}"
        ) from error
    if np.shape(values) != (len(frame),):
        raise ValueError(
            f"the grouping {expression!r} has shape {np.shape(values)}; "
            f"it must give one label to each of the {len(frame)} rows."
        )
    if isinstance(values, pd.Series):
        return values
    return pd.Series(values, index=frame.index)


def factor_codes(groups: pd.Series) -> Factor:
    """Code the groups; a categorical keeps the order of its levels, others sort.

    Missing labels are coded -1.
    """
    if isinstance(groups.dtype, pd.CategoricalDtype):
        used = of_occurring_categories(groups).array
        codes, levels = used.codes, used.categories
    else:
        text = is_text(groups.dtype)
        codes, levels = pd.factorize(groups.array if text else _hashable(groups))
        order = levels.argsort() if text else _sorted_order(levels)
        rank = np.empty(len(order) + 1, dtype=np.int32)
        rank[order], rank[-1] = np.arange(len(order)), -1
        codes = rank[codes]
        levels = np.asarray(levels, dtype=object)[order]
    return Factor(np.asarray(codes, dtype=np.int32), np.asarray(levels, dtype=object))


def _hashable(groups: pd.Series) -> np.ndarray:
    if isinstance(groups.dtype, np.dtype) and groups.dtype.kind in "iufb":
        return groups.to_numpy()
    return groups.to_numpy(dtype=object)


def _sorted_order(levels: Any) -> np.ndarray:
    """Order of the labels; of labels of several types the numbers come first."""
    if levels.dtype.kind in "iub":
        return np.argsort(levels)
    labels = list(levels)
    try:
        order = sorted(range(len(labels)), key=labels.__getitem__)
    except TypeError:
        order = sorted(range(len(labels)), key=lambda i: _rank(labels[i]))
    return np.array(order, dtype=np.int64)


def _rank(label: Any) -> tuple[bool, str, Any]:
    if isinstance(label, Real):
        return False, "", label
    return True, type(label).__name__, str(label)


def new_codes(factor: Factor, groups: Sequence[pd.Series]) -> np.ndarray:
    """Levels of new data, matched part by part.

    Returns
    -------
    ndarray of int, shape (n,)
        Position of the level; ``UNSEEN`` or ``MISSING`` where there is none.
    """
    parts = factor.parts or (factor.levels,)
    n = len(groups[0])
    key, unseen, missing = np.zeros(n, np.int64), np.zeros(n, bool), np.zeros(n, bool)
    for part, values in zip(parts, groups, strict=True):
        codes = level_codes(part, values)
        missing |= values.isna().to_numpy()
        unseen |= codes < 0
        key = key * len(part) + np.maximum(codes, 0)
    codes = key
    if factor.combinations is not None:
        known = np.zeros(factor.n_levels, dtype=np.int64)
        for j, part in enumerate(parts):
            known = known * len(part) + factor.combinations[:, j]
        at = np.minimum(np.searchsorted(known, key), len(known) - 1)
        unseen |= known[at] != key
        codes = at
    return np.where(missing, MISSING, np.where(unseen, UNSEEN, codes))


def level_codes(part: np.ndarray, values: pd.Series) -> np.ndarray:
    """Positions of values among a factor's labels, -1 where absent.

    Labels match by value, or else by their text, so that a level 1 of the data the
    model was built on is found again as "1" in a file read another way, and "1" as
    the 1.0 that a missing value beside it makes of 1.
    """
    objects = values.astype(object)
    codes = pd.Index(part, dtype=object).get_indexer(pd.Index(objects, dtype=object))
    if (codes < 0).any():
        labels = pd.Index([_text(label) for label in part], dtype=object)
        if labels.is_unique:
            texts = pd.Index([_text(v) for v in objects], dtype=object)
            codes = np.where(codes < 0, labels.get_indexer(texts), codes)
    return codes


def _text(label: Any) -> str:
    whole = isinstance(label, float) and label.is_integer()
    return str(int(label)) if whole else str(label)
