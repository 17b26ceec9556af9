"""The marginal distribution of the response, to draw from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from statsmodels.tools.rng_qrng import check_random_state

from ..core.terms import FloatArray, IntArray, RandomTerm, theta_parts

if TYPE_CHECKING:
    from ..model import LMER


class _Part(NamedTuple):
    """A random term on some rows: Z (m, q), levels of the rows, template T (q, q)."""

    Z: FloatArray
    codes: IntArray
    T: FloatArray


@dataclass(frozen=True, eq=False)
class Marginal:
    r"""The normal distribution of y with the random effects integrated out.

    Its covariance is :math:`\sigma^2 (Z \Lambda\Lambda' Z' + W^{-1})` (Bates et al.
    2015, equations 2 to 4).

    Attributes
    ----------
    mean : ndarray, shape (m,)
    scale : float
        Residual variance.
    parts : tuple
        Columns, levels and relative covariance factor of each random term.
    weights : ndarray, shape (m,), or None
        Precision weights.
    """

    mean: FloatArray
    scale: float
    parts: tuple[_Part, ...]
    weights: FloatArray | None

    def var(self) -> FloatArray:
        """Marginal variance of each row, shape (m,)."""
        relative = np.ones(len(self.mean)) if self.weights is None else 1 / self.weights
        for part in self.parts:
            relative = relative + ((part.Z @ part.T) ** 2).sum(axis=1)
        return self.scale * relative

    def rvs(
        self,
        size: int | tuple[int, ...] | None = None,
        rng: Any = None,
        random_state: Any = None,
    ) -> FloatArray:
        """Draw responses; rows of one level share its random effects.

        Parameters
        ----------
        size : int or tuple of int, optional
            m for one draw (the default), (k, m) for k of them.
        rng : int, Generator or RandomState, optional
            `random_state` is SciPy's older name of it.

        Returns
        -------
        ndarray, shape (m,) or (k, m)
        """
        m = len(self.mean)
        shape = (m,) if size is None else tuple(np.atleast_1d(np.asarray(size)))
        if len(shape) > 2 or shape[-1] != m:
            raise ValueError(
                f"size is {size!r}, but the distribution has {m} rows; use {m}, or "
                f"(draws, {m})."
            )
        seed = random_state if rng is None else rng
        random = np.random.default_rng() if seed is None else check_random_state(seed)
        draws = np.stack([self._draw(random) for _ in range(int(np.prod(shape[:-1])))])
        return draws.reshape(shape)

    def _draw(self, random: Any) -> FloatArray:
        noise = random.standard_normal(len(self.mean))
        if self.weights is not None:
            noise = noise / np.sqrt(self.weights)
        for part in self.parts:
            levels = int(part.codes.max(initial=-1)) + 1
            u = random.standard_normal((levels, part.T.shape[1]))
            noise = noise + np.einsum("nq,nq->n", part.Z, (u @ part.T.T)[part.codes])
        return self.mean + np.sqrt(self.scale) * noise


def marginal(
    model: LMER,
    params: ArrayLike,
    scale: float,
    exog: ArrayLike | None,
    theta: FloatArray,
) -> Marginal:
    """See :meth:`sm_lmer.LMER.get_distribution`."""
    model.require_rows("a distribution")
    X = np.asarray(model.exog if exog is None else exog, dtype=np.float64)
    if X.ndim != 2 or X.shape[1] != model.k_fe:
        raise ValueError(
            f"exog has shape {X.shape}, but the fixed part has {model.k_fe} columns."
        )
    own = len(X) == model.nobs
    parts = []
    for term, part in theta_parts(model.re_terms):
        codes = term.factor.codes if own else np.arange(len(X))
        T = term.template(theta[part])
        parts.append(_Part(_columns(model, term, X, own), codes, T))
    mean = model.predict(params, exog)
    return Marginal(mean, float(scale), tuple(parts), model.weights if own else None)


def _columns(model: LMER, term: RandomTerm, X: FloatArray, own: bool) -> FloatArray:
    """A term's columns at rows of the fixed part: constant, equal to one of X, or own.

    Raises
    ------
    ValueError
        For rows that are not the model's, if a column is no function of theirs.
    """
    Z = np.asarray(term.Z)
    columns = []
    for j, name in enumerate(term.columns):
        equal = np.flatnonzero((model.exog == Z[:, [j]]).all(axis=0))
        if (Z[:, j] == Z[0, j]).all():
            columns.append(np.full(len(X), Z[0, j]))
        elif len(equal):
            columns.append(X[:, equal[0]])
        elif own:
            columns.append(Z[:, j])
        else:
            raise ValueError(
                f"column {name!r} of the random term {term.text} is not in the fixed "
                f"part, so exog must have the model's {model.nobs} rows, not {len(X)}."
            )
    return np.column_stack(columns)


__all__ = ["Marginal", "marginal"]
