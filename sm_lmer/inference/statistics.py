"""What a bootstrap computes of each replicate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import components
from ..core.fitted import solve_at
from ..core.likelihood import Likelihood
from ..core.optimize import Optimum, Point, optimize
from ..core.refitting import TOLERANCE, Refits, Refitter, light, smallest_values
from ..core.terms import FloatArray, RandomTerm, theta_parts
from .clusters import DrawnRows
from .profile_parameters import correlation_name, deviation_name, sigma_name

if TYPE_CHECKING:
    from ..model import LMER
    from ..results import LMERResults


@dataclass(frozen=True, eq=False)
class Replicates:
    """Statistics of replicates, one a row.

    Attributes
    ----------
    values, errors : ndarray, shape (R, k)
        Statistics and their standard errors; nan where there are none.
    done, singular, converged : ndarray of bool, shape (R,)
    messages : ndarray of object, shape (R,)
        What went wrong; empty where nothing did.
    """

    values: FloatArray
    errors: FloatArray
    done: np.ndarray
    singular: np.ndarray
    converged: np.ndarray
    messages: np.ndarray

    @classmethod
    def blank(cls, R: int, k: int) -> Replicates:
        """Room for replicates."""
        nan, no = np.full((R, k), np.nan), np.zeros(R, dtype=bool)
        text = np.full(R, "", dtype=object)
        return cls(nan, nan.copy(), no, no.copy(), no.copy(), text)

    def put(self, rows: Sequence[int], part: Replicates) -> None:
        """Fill in some of the replicates."""
        for f in fields(self):
            getattr(self, f.name)[list(rows)] = getattr(part, f.name)

    def take(self, rows: np.ndarray) -> Replicates:
        """Some of the replicates."""
        return Replicates(*(getattr(self, f.name)[rows] for f in fields(self)))

    def fail(self, row: int, error: Exception) -> None:
        """Note that a replicate failed."""
        self.done[row] = True
        text = f"{type(error).__name__}: {error}"
        self.messages[row] = text.rstrip(": ")


@dataclass(frozen=True, eq=False)
class Statistic:
    """A function of results, or all the parameters if there is none.

    Attributes
    ----------
    func : callable or None
    names : tuple of str
    terms : tuple of RandomTerm
        Of the model, for the names and places of its parameters.
    """

    func: Callable[[Any], Any] | None
    names: tuple[str, ...] = ()
    terms: tuple[RandomTerm, ...] = ()

    def of_fit(self, results: LMERResults) -> tuple[pd.Series, pd.Series]:
        """The statistics of the fit, and their standard errors."""
        from ..results import LMERResultsWrapper

        if self.func is not None:
            value = named(self.func(LMERResultsWrapper(results)))
            return value, pd.Series(np.nan, index=value.index)
        own = Refits(
            theta=results.theta[None],
            beta=np.asarray(results.params, dtype=np.float64)[None],
            se=np.sqrt(results.scale * np.diag(results.normalized_cov_params))[None],
            sigma=np.array([results.sigma]),
            value=np.zeros(1),
            smallest=np.zeros(1),
            converged=np.ones(1, dtype=bool),
        )
        values, errors = self.parameters(own)
        return pd.Series(values[0], self.names), pd.Series(errors[0], self.names)

    def of_responses(
        self,
        results: LMERResults | None,
        refitter: Refitter,
        Y: FloatArray,
        offset: FloatArray | None,
    ) -> Replicates:
        """Statistics of fits to the columns of Y, shape (n, R).

        The results of the fit are needed for a function of results only.
        """
        out = Replicates.blank(Y.shape[1], len(self.names))
        if results is not None:
            results._likelihood()  # once a worker, not once a replicate
        inner = Y if offset is None else Y - offset[:, None]
        for r, refits in _refitted(refitter, inner, out):
            self._fill(results, refits, r, Y, out)
        return out

    def _fill(
        self,
        results: LMERResults | None,
        refits: Refits,
        rows: np.ndarray,
        Y: FloatArray,
        out: Replicates,
    ) -> None:
        if self.func is None:
            out.values[rows], out.errors[rows] = self.parameters(refits)
            out.done[rows] = True
        else:
            assert results is not None
            for k, row in enumerate(rows):
                fit = partial(results_of, results, refits, k, Y[:, row])
                self._call(fit, row, out)
        out.singular[rows], out.converged[rows] = refits.singular, refits.converged

    def _call(self, fit: Callable[[], Any], row: int, out: Replicates) -> None:
        assert self.func is not None
        try:
            value = named(self.func(fit()))
            if len(value) != len(self.names):
                raise ValueError(
                    f"func returned {len(value)} numbers, for the fit itself "
                    f"{len(self.names)}."
                )
            out.values[row] = value.to_numpy()
            out.done[row] = True
        except Exception as error:  # whatever the user's function raises is kept
            out.fail(row, error)

    def of_rows(self, results: LMERResults, draws: Sequence[DrawnRows]) -> Replicates:
        """Statistics of fits to resampled rows."""
        out = Replicates.blank(len(draws), len(self.names))
        for row, drawn in enumerate(draws):
            if self.func is not None:
                self._call(partial(_fit_to, results, drawn), row, out)
                out.converged[row] = not out.messages[row]
                continue
            try:
                refits = refit_rows(results, drawn)
            except (ValueError, np.linalg.LinAlgError) as error:
                out.fail(row, error)
                continue
            values, errors = self.parameters(refits)
            out.values[row], out.errors[row] = values[0], errors[0]
            out.done[row] = True
            out.singular[row] = refits.singular[0]
            out.converged[row] = refits.converged[0]
        return out

    def parameters(self, refits: Refits) -> tuple[FloatArray, FloatArray]:
        """All the parameters, and the standard errors of the fixed effects."""
        random = standard_deviations(self.terms, refits.theta, refits.sigma)
        values = np.column_stack([refits.beta, random, refits.sigma])
        errors = np.full_like(values, np.nan)
        errors[:, : refits.beta.shape[1]] = refits.se
        return values, errors


def default_statistic(results: LMERResults) -> Statistic:
    """All the parameters: fixed effects, SDs and correlations, sigma.

    Their names are those of the profiles.
    """
    fixed = [str(name) for name in results.model.exog_names]
    names = list(fixed)
    table = components.varcorr(results).iloc[:-1]
    for group, one, two in zip(table["grp"], table["var1"], table["var2"], strict=True):
        if isinstance(two, str):
            names.append(correlation_name(one, two, group, fixed))
        else:
            names.append(deviation_name(one, group, fixed))
    names.append(sigma_name(fixed))
    return Statistic(None, tuple(names), results.model.re_terms)


def from_function(func: Callable[[Any], Any]) -> Statistic:
    """A statistic by the user's function."""
    if not callable(func):
        raise TypeError(f"func is a function of results, not {type(func).__name__}.")
    return Statistic(func)


def named(value: Any) -> pd.Series:
    """What a function returned, as a Series of numbers.

    Raises
    ------
    TypeError
        If it is not made of numbers.
    """
    if isinstance(value, Mapping):
        value = pd.Series(dict(value))
    if isinstance(value, pd.Series):
        index = value.index.map(str)
    else:
        size = np.size(value)
        index = pd.Index(["t" if size == 1 else f"t{j + 1}" for j in range(size)])
    try:
        numbers = np.asarray(value, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise TypeError(
            f"func must return numbers, not {type(value).__name__}."
        ) from None
    return pd.Series(numbers, index=index)


def standard_deviations(
    terms: Sequence[RandomTerm], theta: FloatArray, sigma: FloatArray
) -> FloatArray:
    """SDs and correlations of all terms in the order of ``varcorr``, shape (R, k)."""
    columns = []
    for term, part in theta_parts(terms):
        rows, cols = term.positions()
        T = np.zeros((len(theta), term.q, term.q))
        T[:, rows, cols] = theta[:, part]
        norms = np.sqrt((T * T).sum(axis=2))
        columns += list((sigma[:, None] * norms).T)
        if term.diagonal:
            continue
        with np.errstate(invalid="ignore", divide="ignore"):
            unit = T / norms[:, :, None]
        for j in range(term.q):
            for i in range(j + 1, term.q):
                product = (unit[:, i] * unit[:, j]).sum(axis=1)
                columns.append(np.clip(product, -1.0, 1.0))
    return np.column_stack(columns)


# -- fits of replicates ----------------------------------------------------------------


def _refitted(
    refitter: Refitter, Y: FloatArray, out: Replicates
) -> Iterator[tuple[np.ndarray, Refits]]:
    """Refits of all responses, one by one if they fail together."""
    every = np.arange(Y.shape[1])
    try:
        yield every, refitter.refit(Y)
        return
    except np.linalg.LinAlgError:
        pass
    for row in every:
        try:
            yield every[row : row + 1], refitter.refit(Y[:, row : row + 1])
        except np.linalg.LinAlgError as error:
            out.fail(int(row), error)


def results_of(results: LMERResults, refits: Refits, k: int, y: FloatArray) -> Any:
    """Full results of the k-th of some refits."""
    model = results.model.with_response(np.ascontiguousarray(y))
    likelihood = model.likelihood(results._solver)
    theta = refits.theta[k]
    inner = likelihood.to_inner(theta)
    optimum = Optimum(
        point=Point(inner, tuple(likelihood.rotations)),
        value=float(refits.value[k]),
        decrement=0.0,
        converged=bool(refits.converged[k]),
        smallest=tuple(smallest_values(likelihood, inner[None])[0]),
        message="refitted from the estimates of another response",
        iterations=0,
        evaluations=0,
        restarts=0,
        log=(),
        seconds=0.0,
    )
    return _results(results, model, likelihood, optimum)


def _results(
    results: LMERResults, model: LMER, likelihood: Likelihood, optimum: Optimum
) -> Any:
    from ..results import LMERResults, LMERResultsWrapper

    theta, Ts = optimum.point.to_user(likelihood)
    solution = solve_at(likelihood, theta, results.reml, Ts)
    fit = LMERResults(
        model, solution, optimum, results._solver, results.ddf_method, results.optimizer
    )
    return LMERResultsWrapper(fit)


def refit_rows(results: LMERResults, drawn: DrawnRows) -> Refits:
    """The estimates on other rows."""
    likelihood = Likelihood(drawn.data(results.model))
    start = likelihood.to_inner(results.theta)
    if results.singular:
        start = likelihood.start
    optimum = optimize(likelihood, results.reml, start=start, gtol=TOLERANCE)
    return light(likelihood, optimum, results.reml)


def _fit_to(results: LMERResults, drawn: DrawnRows) -> Any:
    """Full results on other rows."""
    model, rows = results.model, drawn.rows
    exog = pd.DataFrame(
        np.asarray(model.exog)[rows], columns=[str(c) for c in model.exog_names]
    )
    drawn.data(model)
    other = type(model)(
        pd.Series(np.asarray(model.endog)[rows], name=str(model.endog_names)),
        exog,
        re_terms=drawn.terms(model),
        weights=None if model.weights is None else model.weights[rows],
        offset=None if model.offset is None else model.offset[rows],
    )
    start = None if results.singular else results.theta
    return other.fit(results.reml, start_params=start, ddf=results.ddf_method)
