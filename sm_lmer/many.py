"""The same model for many responses: voxels, genes, items."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from . import checks
from .core.refitting import Refits, Refitter
from .core.terms import FloatArray
from .errors import SingularFitWarning
from .formula.frames import as_frame
from .inference.ddf import named
from .inference.hypotheses import t_tail
from .inference.statistics import Statistic, default_statistic, results_of
from .model import LMER
from .results import LMERResults

AT_ONCE = 256
"""Responses that a process fits before it reports."""

EASY = ("normal", "residual")
"""Degrees of freedom that do not depend on the response."""


@dataclass(frozen=True, repr=False)
class ManyFits:
    """Fits of the same model to many responses.

    Attributes
    ----------
    coefficients : DataFrame
        One row a response and fixed effect: response, term, estimate, std_error, df,
        statistic, p_value.
    fits : DataFrame
        One row a response, under its name: nobs, criterion, converged, singular,
        message, and standard deviations, correlations and sigma under the names that
        profiles and bootstraps have. A response that could not be fitted has nan and
        the reason as its message.
    reml : bool
        Whether the criterion is the restricted one.
    """

    coefficients: pd.DataFrame
    fits: pd.DataFrame
    reml: bool

    def __len__(self) -> int:
        return len(self.fits)

    def __repr__(self) -> str:
        failed = int((self.fits["message"] != "").sum())
        singular = int(self.fits["singular"].sum())
        return (
            f"<ManyFits: {len(self):,} responses, {singular:,} singular fits, "
            f"{failed:,} without a fit>"
        )


def lmer_many(
    formula: str | Sequence[str],
    data: Any,
    responses: Any = None,
    *,
    reml: bool = True,
    ddf: str = "satterthwaite",
    weights: ArrayLike | str | None = None,
    offset: ArrayLike | str | None = None,
    n_jobs: int = 1,
) -> ManyFits:
    """Fit one model to many responses, sharing what does not depend on them.

    The design is built once, its cross-products are summed once, and the searches of
    small models run together, one array operation for all responses.

    Parameters
    ----------
    formula : str or sequence of str
        The model without a response, as ``"~ x + (1 | g)"``, with `responses`; or
        whole formulas, of which those with the same right side share their design.
    data : DataFrame
    responses : DataFrame, array_like, or sequence of str, optional
        One column a response with the rows of `data`, or names of columns of `data`.
    reml : bool
    ddf : str
        Degrees of freedom of the tests, as in :meth:`LMER.fit`. "residual" and
        "normal" take no time beside the fit.
    weights, offset : array_like or str, optional
        As in :meth:`LMER.from_formula`.
    n_jobs : int
        Processes, through joblib; the numbers do not depend on it.

    Returns
    -------
    ManyFits

    Raises
    ------
    ValueError
        If the responses do not fit the data or hold infinite values.

    Notes
    -----
    Missing values of a response leave out its rows from its own fit only; responses
    with the same rows share their design.

    Examples
    --------
    >>> import numpy as np, sm_lmer.api as sml
    >>> data = sml.datasets.load_sleepstudy()
    >>> rng = np.random.default_rng(1)
    >>> noise = rng.standard_normal((180, 3)) * 20
    >>> found = sml.lmer_many(
    ...     "~ Days + (1 | Subject)", data, data[["Reaction"]].to_numpy() + noise
    ... )
    >>> found
    <ManyFits: 3 responses, 0 singular fits, 0 without a fit>
    >>> print(found.coefficients.iloc[:2, :4].round(2).to_string(index=False))
    response      term  estimate  std_error
          y1 Intercept    253.98       9.99
          y1      Days     10.11       0.92
    """
    frame = as_frame(data)
    ddf = named(ddf)
    settings = {"weights": weights, "offset": offset}
    coefficients, fits = [], []
    for right, Y in _groups(formula, frame, responses):
        for rows, names in _same_rows(Y):
            own = frame if rows.all() else frame[rows]
            given = {k: _rows_of(v, rows) for k, v in settings.items()}
            work = partial(_fit, right, own, given, reml, ddf)
            parts = [
                Y.loc[rows, names[k : k + AT_ONCE]]
                for k in range(0, len(names), AT_ONCE)
            ]
            for table, report in _computed(work, parts, n_jobs):
                coefficients.append(table)
                fits.append(report)
    return ManyFits(pd.concat(coefficients, ignore_index=True), pd.concat(fits), reml)


# -- what is fitted ------------------------------------------------------------


def _groups(
    formula: str | Sequence[str], frame: pd.DataFrame, responses: Any
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Right sides, and the responses of each as columns."""
    if isinstance(formula, str):
        left, _, right = formula.rpartition("~")
        if left.strip() and responses is None:
            yield from _groups([formula], frame, None)
            return
        if left.strip():
            raise ValueError(
                f"the formula has the response {left.strip()!r} and responses= is "
                "given; leave out one of them."
            )
        if responses is None:
            raise ValueError("the formula has no response; give responses=.")
        yield right, _columns(frame, responses)
        return
    if responses is not None:
        raise ValueError("several formulas have their own responses; drop responses=.")
    sides: dict[str, list[str]] = {}
    for text in formula:
        left, _, right = str(text).partition("~")
        sides.setdefault(" ".join(right.split()), []).append(left.strip())
    for right, names in sides.items():
        yield right, _columns(frame, names)


def _columns(frame: pd.DataFrame, responses: Any) -> pd.DataFrame:
    """Responses as columns of numbers, in the rows of the data."""
    if isinstance(responses, (pd.DataFrame, np.ndarray)):
        Y = pd.DataFrame(responses)
        if isinstance(responses, np.ndarray):
            Y.columns = [f"y{k + 1}" for k in range(Y.shape[1])]
        elif not Y.index.equals(frame.index):
            raise ValueError(
                "responses has another index than the data; align them, or pass "
                "responses.to_numpy()."
            )
    else:
        unknown = [name for name in responses if name not in frame.columns]
        if unknown:
            raise ValueError(
                f"the data have no column {unknown[0]!r}; transform responses before, "
                "or give them as a frame."
            )
        Y = frame[list(responses)]
    if len(Y) != len(frame):
        raise ValueError(f"responses has {len(Y)} rows, the data have {len(frame)}.")
    if not Y.columns.is_unique:
        raise ValueError("names of responses repeat; give each its own.")
    wrong = [name for name in Y.columns if Y[name].dtype.kind not in "iufb"]
    if wrong:
        raise ValueError(f"the response {wrong[0]!r} is not numeric; convert it.")
    numbers = Y.astype(np.float64)
    infinite = np.isinf(numbers.to_numpy()).any(axis=0)
    if infinite.any():
        name = Y.columns[int(np.argmax(infinite))]
        raise ValueError(f"the response {name!r} has infinite values; remove them.")
    return numbers.set_axis(frame.index)


def _same_rows(Y: pd.DataFrame) -> Iterator[tuple[np.ndarray, list[Any]]]:
    """Rows without missing values, and the responses that have these."""
    known = Y.notna().to_numpy()
    patterns: dict[bytes, list[int]] = {}
    for column, rows in enumerate(known.T):
        patterns.setdefault(rows.tobytes(), []).append(column)
    for columns in patterns.values():
        yield known[:, columns[0]], [Y.columns[c] for c in columns]


def _rows_of(values: Any, rows: np.ndarray) -> Any:
    return values if values is None or isinstance(values, str) else values[rows]


def _computed(
    work: Callable[[pd.DataFrame], Any], parts: list[pd.DataFrame], n_jobs: int
) -> Iterable[Any]:
    if n_jobs == 1 or len(parts) < 2:
        return map(work, parts)
    try:
        from joblib import Parallel, delayed
    except ImportError:
        raise ImportError(
            "n_jobs needs the package joblib: pip install 'sm_lmer[bootstrap]'."
        ) from None
    found: Iterable[Any] = Parallel(n_jobs=n_jobs)(
        delayed(work)(part) for part in parts
    )
    return found


# -- one batch -----------------------------------------------------------------


def _fit(
    right: str,
    frame: pd.DataFrame,
    settings: Mapping[str, Any],
    reml: bool,
    ddf: str,
    Y: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Coefficients and reports of the responses in the columns of Y."""
    name = "response"
    while name in frame.columns:
        name += "_"
    first, reasons = None, dict.fromkeys(Y.columns, "")
    for label in Y.columns:
        data = frame.assign(**{name: Y[label].to_numpy()})
        try:
            model = LMER.from_formula(f"{name} ~ {right}", data, **settings)
            with warnings.catch_warnings():  # the reports say what a fit lacks
                warnings.simplefilter("ignore", SingularFitWarning)
                warnings.simplefilter("ignore", ConvergenceWarning)
                first = model.fit(reml, ddf=ddf)._results
            break
        except (ValueError, np.linalg.LinAlgError) as error:
            reasons[label] = str(error)
    if first is None:
        return _nothing(reasons)
    used = np.arange(len(frame)) if model._design is None else model._design.rows
    values = Y.to_numpy()[used]
    good = []
    for k, label in enumerate(Y.columns):
        try:
            checks.check_response(values[:, k], model.k_fe)
            good.append(k)
        except ValueError as error:
            reasons[label] = str(error)
    refits, done = _refitted(first, values, good, Y.columns, reasons)
    left = refits.sigma > checks.PERFECT * values[:, done].std(axis=0)
    for column in np.array(done)[~left]:
        reasons[Y.columns[column]] = checks.FIXED_PERFECT
    refits, done = refits.take(left), list(np.array(done)[left])
    statistic = default_statistic(first)
    labels = [Y.columns[k] for k in done]
    table = _tests(first, refits, values[:, done], ddf)
    table.insert(0, "response", np.repeat(np.array(labels, dtype=object), model.k_fe))
    return table, _report(statistic, first, refits, labels, reasons)


def _refitted(
    first: LMERResults,
    values: FloatArray,
    good: list[int],
    names: pd.Index,
    reasons: dict[Any, str],
) -> tuple[Refits, list[int]]:
    """Fits of the good columns, and which of them could be fitted."""
    refitter = Refitter(first._likelihood(), first.theta, first.reml)
    offset = first.model.offset
    inner = values if offset is None else values - np.asarray(offset)[:, None]
    try:
        return refitter.refit(inner[:, good]), good
    except np.linalg.LinAlgError:
        pass
    found, done = [], []
    for k in good:
        try:
            found.append(refitter.refit(inner[:, [k]]))
            done.append(k)
        except np.linalg.LinAlgError as error:
            reasons[names[k]] = str(error)
    return Refits.together(found), done


def _tests(
    first: LMERResults, refits: Refits, values: FloatArray, ddf: str
) -> pd.DataFrame:
    """t tests of all coefficients of all responses."""
    se, df = refits.se, np.full_like(refits.se, np.inf)
    if ddf == "residual":
        df[:] = first.model.df_resid
    elif ddf not in EASY:
        se = np.empty_like(refits.se)
        for k in range(len(refits)):
            fit = results_of(first, refits, k, values[:, k])
            se[k], df[k] = np.asarray(fit.bse), np.asarray(fit.ddf)
    statistic = refits.beta / se
    return pd.DataFrame(
        {
            "term": np.tile(np.array(first.model.exog_names, dtype=object), len(se)),
            "estimate": refits.beta.ravel(),
            "std_error": se.ravel(),
            "df": df.ravel(),
            "statistic": statistic.ravel(),
            "p_value": 2.0 * t_tail(np.abs(statistic), df).ravel(),
        }
    )


def _report(
    statistic: Statistic,
    first: LMERResults,
    refits: Refits,
    labels: list[Any],
    reasons: dict[Any, str],
) -> pd.DataFrame:
    """One row a response, those without a fit too."""
    parameters, _ = statistic.parameters(refits)
    p = refits.beta.shape[1]
    frame = pd.DataFrame({"nobs": first.nobs, "criterion": refits.value}, index=labels)
    frame["converged"], frame["singular"] = refits.converged, refits.singular
    frame["message"] = ""
    frame[list(statistic.names[p:])] = parameters[:, p:]
    full = frame.reindex(list(reasons))
    for label, reason in reasons.items():
        if reason:
            full.loc[label, ["converged", "singular", "message"]] = [
                False,
                False,
                reason,
            ]
    full = full.astype({"converged": bool, "singular": bool})
    full["nobs"] = full["nobs"].fillna(0).astype(np.int64)
    return full.rename_axis("response")


def _nothing(reasons: Mapping[Any, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of responses none of which could be fitted."""
    columns = ["response", "term", "estimate", "std_error", "df", "statistic"]
    report = pd.DataFrame(index=pd.Index(list(reasons), name="response"))
    report["nobs"], report["criterion"] = 0, np.nan
    report["converged"] = report["singular"] = False
    report["message"] = list(reasons.values())
    return pd.DataFrame(columns=[*columns, "p_value"]), report


__all__ = ["ManyFits", "lmer_many"]
