"""Variance components and random effects of a fit, as labelled tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .core.fitted import conditional_covariances
from .core.optimize import SINGULAR
from .core.terms import FloatArray, RandomTerm, theta_parts

if TYPE_CHECKING:
    from .results import LMERResults

Rows = Iterator[tuple[str, str | None, str | None, float, float]]


def templates(results: LMERResults) -> list[FloatArray]:
    """The relative covariance factor T of each term, shape (q, q)."""
    parts = theta_parts(results.model.re_terms)
    return [term.template(results.theta[part]) for term, part in parts]


def covariances(results: LMERResults) -> list[FloatArray]:
    """The covariance of each term's random effects, shape (q, q)."""
    return [results.scale * T @ T.T for T in templates(results)]


def theta_names(results: LMERResults) -> list[str]:
    """lme4's names of theta: ``Subject.Intercept``, ``Subject.Days.Intercept``."""
    names = []
    for term in results.model.re_terms:
        for r, c in zip(*term.positions(), strict=True):
            parts = [term.columns[r]] if r == c else [term.columns[r], term.columns[c]]
            names.append(".".join([term.name, *parts]))
    return names


def unique_names(terms: tuple[RandomTerm, ...]) -> list[str]:
    """lme4's group names: a second term on a factor is ``g.1``."""
    seen: dict[str, int] = {}
    names = []
    for term in terms:
        count = seen.get(term.name, 0)
        names.append(f"{term.name}.{count}" if count else term.name)
        seen[term.name] = count + 1
    return names


def by_factor(results: LMERResults) -> dict[str, list[int]]:
    """Positions of the terms on each grouping factor."""
    members: dict[str, list[int]] = {}
    for k, term in enumerate(results.model.re_terms):
        members.setdefault(term.name, []).append(k)
    return members


def varcorr(results: LMERResults) -> pd.DataFrame:
    """See :meth:`sm_lmer.results.LMERResults.varcorr`."""
    rows: list[tuple[str, str | None, str | None, float, float]] = []
    terms = results.model.re_terms
    for name, term, cov in zip(
        unique_names(terms), terms, covariances(results), strict=True
    ):
        rows += _term_rows(name, term, cov)
    rows.append(("Residual", None, None, results.scale, results.sigma))
    return pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov", "sdcor"])


def _term_rows(name: str, term: RandomTerm, cov: FloatArray) -> Rows:
    sd = np.sqrt(cov.diagonal())
    for j, column in enumerate(term.columns):
        yield name, column, None, cov[j, j], sd[j]
    if term.diagonal:
        return
    for j in range(term.q):
        for i in range(j + 1, term.q):
            product = sd[i] * sd[j]
            cor = cov[i, j] / product if product > 0 else np.nan
            yield name, term.columns[j], term.columns[i], cov[i, j], cor


def cov_re(results: LMERResults) -> pd.DataFrame | dict[str, pd.DataFrame]:
    """See :attr:`sm_lmer.results.LMERResults.cov_re`."""
    found = covariances(results)
    frames: dict[str, pd.DataFrame] = {}
    for name, members in by_factor(results).items():
        columns = [c for k in members for c in results.model.re_terms[k].columns]
        cov = np.zeros((len(columns), len(columns)))
        start = 0
        for k in members:
            stop = start + len(found[k])
            cov[start:stop, start:stop] = found[k]
            start = stop
        frames[name] = pd.DataFrame(cov, index=columns, columns=columns)
    return _alone(frames)


def modes(results: LMERResults) -> dict[str, pd.DataFrame]:
    """Conditional modes, one frame a grouping factor: levels by columns."""
    out = {}
    for name, members in by_factor(results).items():
        terms = [results.model.re_terms[k] for k in members]
        out[name] = pd.DataFrame(
            np.hstack([results._solution.b[k] for k in members]),
            index=pd.Index(terms[0].factor.levels, name=name),
            columns=[c for term in terms for c in term.columns],
        )
    return out


def mode_covariances(results: LMERResults) -> dict[str, FloatArray]:
    """Conditional covariances, one array (levels, q, q) a grouping factor."""
    likelihood = results._likelihood()
    found = conditional_covariances(likelihood, results._solution)
    own: dict[str, FloatArray] = {}
    for block, cov in zip(likelihood.blocks, found, strict=True):
        columns: dict[str, list[int]] = {}  # equal factors of two names share a block
        for k, start in zip(block.terms, block.starts, strict=True):
            term = likelihood.terms[k]
            columns.setdefault(term.name, []).extend(range(start, start + term.q))
        for name, used in columns.items():
            own[name] = cov[:, used][:, :, used]
    return {name: own[name] for name in by_factor(results)}


def random_effects(results: LMERResults) -> dict[Any, Any]:
    """See :attr:`sm_lmer.results.LMERResults.random_effects`."""
    return _alone(
        {name: dict(frame.iterrows()) for name, frame in modes(results).items()}
    )


def random_effects_cov(results: LMERResults) -> dict[Any, Any]:
    """See :attr:`sm_lmer.results.LMERResults.random_effects_cov`."""
    found = mode_covariances(results)
    out = {}
    for name, frame in modes(results).items():
        columns = frame.columns
        out[name] = {
            level: pd.DataFrame(cov, index=columns, columns=columns)
            for level, cov in zip(frame.index, found[name], strict=True)
        }
    return _alone(out)


def _alone(found: dict[str, Any]) -> Any:
    """The only grouping factor's entry, or the entries of all by name."""
    return next(iter(found.values())) if len(found) == 1 else found


def coef(results: LMERResults) -> dict[str, pd.DataFrame]:
    """See :meth:`sm_lmer.results.LMERResults.coef`."""
    fixed = results.fixef()
    out = {}
    for name, frame in modes(results).items():
        columns = [*fixed.index, *(c for c in frame.columns if c not in fixed.index)]
        base = fixed.reindex(columns, fill_value=0.0).to_numpy()
        table = pd.DataFrame(
            np.tile(base, (len(frame), 1)), index=frame.index, columns=columns
        )
        for j, column in enumerate(frame.columns):
            table[column] += frame.iloc[:, j]
        out[name] = table
    return out


def singular_terms(results: LMERResults, tol: float) -> list[str]:
    """Terms whose whitened template has a singular value below the tolerance."""
    return [term.text for term in _singular(results, tol)]


def singular_words(results: LMERResults) -> str:
    """What is singular about a fit."""
    terms = _singular(results, SINGULAR)
    alone = ", ".join(term.text for term in terms if term.q == 1)
    several = ", ".join(term.text for term in terms if term.q > 1)
    found = [f"the variance of {alone} is estimated as zero"] if alone else []
    if several:
        found.append(
            f"the random effects of {several} have fewer independent directions of "
            "variance than columns"
        )
    return ", and ".join(found)


def _singular(results: LMERResults, tol: float) -> list[RandomTerm]:
    pairs = zip(results.model.re_terms, results._optimum.smallest, strict=True)
    return [term for term, smallest in pairs if smallest < tol]
