"""New data under both formula engines: levels not seen before are refused."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import pandas as pd
import patsy

from .statsmodels import apply_specification, engine_of


def evaluate_new(
    specification: Any, frame: pd.DataFrame, namespace: Mapping[str, Any], role: str
) -> pd.DataFrame:
    """Evaluate a specification on new data without missing values.

    Raises
    ------
    ValueError
        If that cannot be done, or an expression such as ``C(k + 1)`` takes a value
        that it did not take in the model's data.
    """
    refuses = engine_of(specification) == "patsy"  # it refuses new levels by itself
    try:
        with nullcontext() if refuses else _no_new_categories():
            return apply_specification(specification, frame, namespace)
    except _errors(specification) as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise ValueError(
            f"{role} cannot be evaluated on the new data: {reason}"
        ) from error


def _errors(specification: Any) -> tuple[type[Exception], ...]:
    """What the engine of a specification raises here."""
    if engine_of(specification) == "patsy":
        return (patsy.PatsyError,)
    from formulaic.errors import (
        DataMismatchWarning,
        FactorEncodingError,
        FactorEvaluationError,
    )

    return DataMismatchWarning, FactorEncodingError, FactorEvaluationError


@contextmanager
def _no_new_categories() -> Iterator[None]:
    """Make formulaic's warning of a level it has not seen an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Data has categories outside")
        yield
