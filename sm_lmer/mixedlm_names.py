"""What MixedLM's results and models hold, by MixedLM's names.

For a model built with ``groups=``, ``re_formula=`` and ``vc_formula=`` the tables have
MixedLM's shape and labels; for other models they follow the terms of the formula.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import components
from .core.terms import Factor, FloatArray, IntArray
from .formula.mixedlm import Component, MixedLMRoles

if TYPE_CHECKING:
    from .model import LMER
    from .results import LMERResults


class MixedLMModelNames:
    """Attributes of MixedLM that LMER has too."""

    nobs: int

    @property
    def n_totobs(self) -> int:
        """Number of rows, as MixedLM names it."""
        return self.nobs

    @property
    def k_re(self: Any) -> int:
        """Number of columns with unstructured covariance; of bars, of all columns."""
        return k_re(self)

    @property
    def k_re2(self: Any) -> int:
        """Number of parameters of the covariance of these columns."""
        return k_re2(self)

    @property
    def k_vc(self: Any) -> int:
        """Number of entries of ``vc_formula``."""
        return k_vc(self)

    @property
    def n_groups(self: Any) -> int | dict[str, int]:
        """Number of groups, or of the levels of every grouping factor."""
        return n_groups(self)

    @property
    def group_labels(self: Any) -> list[Any] | dict[str, list[Any]]:
        """Labels of the groups, or of the levels of every grouping factor."""
        return group_labels(self)


def vcomp(results: LMERResults) -> pd.Series:
    """Variances of the variance components, in squared units of the response.

    Parameters
    ----------
    results : LMERResults

    Returns
    -------
    Series
        By the names of ``vc_formula``, sorted. For a model of bars, the variance of
        every column of every term: ``batch``, or ``Subject[Days]`` for a slope.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_pastes()
    >>> vc = {"cask": "0 + C(cask)"}
    >>> model = sml.LMER.from_formula(
    ...     "strength ~ 1", data, groups="batch", re_formula="1", vc_formula=vc
    ... )
    >>> print(vcomp(model.fit()).round(3).to_string())
    cask    8.434
    """
    roles = results.model.mixedlm_roles
    covariances = components.covariances(results)
    if roles is not None:
        variances = [covariances[c.term].item() for c in roles.components]
        names = [c.name for c in roles.components]
        return pd.Series(variances, index=names, dtype=np.float64)
    terms = results.model.re_terms
    variances, names = [], []
    for name, term, cov in zip(
        components.unique_names(terms), terms, covariances, strict=True
    ):
        alone = term.columns == ("Intercept",)
        names += [name] if alone else [f"{name}[{c}]" for c in term.columns]
        variances += list(cov.diagonal())
    return pd.Series(variances, index=names, dtype=np.float64)


def cov_re(results: LMERResults) -> pd.DataFrame | dict[str, pd.DataFrame]:
    """Covariance of the random effects, in squared units of the response.

    Returns
    -------
    DataFrame or dict of DataFrame
        Of the columns of ``re_formula``, the intercept named as the groups, without
        rows if there are none. For a model of bars, a frame or one a grouping factor.
    """
    roles = results.model.mixedlm_roles
    if roles is None:
        return components.cov_re(results)
    names = _random_names(results.model, roles)
    cov = np.zeros((0, 0))
    if roles.random is not None:
        cov = components.covariances(results)[roles.random]
    return pd.DataFrame(cov, index=names, columns=names)


def cov_re_unscaled(results: LMERResults) -> Any:
    """:func:`cov_re` over the residual variance."""
    found = cov_re(results)
    if isinstance(found, dict):
        return {name: frame / results.scale for name, frame in found.items()}
    return found / results.scale


def _random_names(model: LMER, roles: MixedLMRoles) -> list[str]:
    if roles.random is None:
        return []
    columns = model.re_terms[roles.random].columns
    return [name.replace("Intercept", roles.label) for name in columns]


# The groups --------------------------------------------------------------------------


def group_labels(model: LMER) -> list[Any] | dict[str, list[Any]]:
    """Labels of the groups, or of the levels of every grouping factor."""
    roles = model.mixedlm_roles
    if roles is not None:
        return list(_groups(model, roles)[1])
    found = {term.name: list(term.factor.levels) for term in model.re_terms}
    return components._alone(found)


def n_groups(model: LMER) -> int | dict[str, int]:
    """Number of groups, or of the levels of every grouping factor."""
    labels = group_labels(model)
    if isinstance(labels, dict):
        return {name: len(of_factor) for name, of_factor in labels.items()}
    return len(labels)


def k_re(model: LMER) -> int:
    """Number of columns with unstructured covariance; of a bars model, of all."""
    return sum(model.re_terms[k].q for k in _random_terms(model))


def k_re2(model: LMER) -> int:
    """Number of parameters of the covariance of these columns."""
    return sum(model.re_terms[k].n_theta for k in _random_terms(model))


def k_vc(model: LMER) -> int:
    """Number of entries of ``vc_formula``."""
    roles = model.mixedlm_roles
    return 0 if roles is None else len(roles.components)


def _random_terms(model: LMER) -> list[int]:
    roles = model.mixedlm_roles
    if roles is None:
        return list(range(len(model.re_terms)))
    return [] if roles.random is None else [roles.random]


def _groups(model: LMER, roles: MixedLMRoles) -> tuple[IntArray, Any]:
    """The group of each row, and the labels of the groups."""
    if roles.only:
        return np.zeros(model.nobs, dtype=np.int64), roles.only
    position = roles.random if roles.random is not None else roles.components[0].term
    factor = model.re_terms[position].factor
    return _part(factor, 0)[factor.codes], _levels(factor, 0)


def _part(factor: Factor, part: int) -> IntArray:
    """The level of one part of an interaction, for each level of the factor."""
    if factor.combinations is None:
        return np.arange(factor.n_levels)
    return factor.combinations[:, part]


def _levels(factor: Factor, part: int) -> Any:
    return factor.parts[part] if factor.parts else factor.levels


# The random effects ------------------------------------------------------------------


def random_effects(results: LMERResults) -> dict[Any, Any]:
    """Conditional modes (BLUPs), in units of the response over those of the columns.

    Returns
    -------
    dict
        By group, a Series of its random effects: the columns of ``re_formula``, the
        intercept named as the groups, then the columns that each component has in
        the group, as ``cask[C(cask)[a]]``. For a model of bars, by level of the
        grouping factor, or a dict of such dicts.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_pastes()
    >>> vc = {"cask": "0 + C(cask)"}
    >>> model = sml.LMER.from_formula(
    ...     "strength ~ 1", data, groups="batch", re_formula="1", vc_formula=vc
    ... )
    >>> print(random_effects(model.fit())["A"].round(3).to_string())
    batch               0.801
    cask[C(cask)[a]]    1.775
    cask[C(cask)[b]]    0.333
    cask[C(cask)[c]]    1.967
    """
    roles = results.model.mixedlm_roles
    if roles is None:
        return components.random_effects(results)
    modes = results._solution.b
    _, labels = _groups(results.model, roles)
    out = {}
    for k, label in enumerate(labels):
        values, names = [], _random_names(results.model, roles)
        if roles.random is not None:
            values.append(modes[roles.random][k])
        for component, levels in _of_group(results.model, roles, k):
            factor = results.model.re_terms[component.term].factor
            values.append(modes[component.term][levels, 0])
            names += [_column_name(component, factor, level) for level in levels]
        out[label] = pd.Series(np.concatenate(values), index=names)
    return out


def random_effects_cov(results: LMERResults) -> dict[Any, Any]:
    """Covariances of the random effects given the response, beta taken as known.

    Returns
    -------
    dict
        By group, a frame with the labels of :func:`random_effects`.
    """
    roles = results.model.mixedlm_roles
    if roles is None:
        return components.random_effects_cov(results)
    codes, labels = _groups(results.model, roles)
    by_group = np.split(np.argsort(codes, kind="stable"), _ends(codes, len(labels)))
    named = random_effects(results)
    out = {}
    for k, label in enumerate(labels):
        cov = _conditional_covariance(results, roles, k, by_group[k])
        names = named[label].index
        out[label] = pd.DataFrame(cov, index=names, columns=names)
    return out


def _ends(codes: IntArray, n: int) -> IntArray:
    return np.cumsum(np.bincount(codes, minlength=n))[:-1]


def _of_group(
    model: LMER, roles: MixedLMRoles, group: int
) -> list[tuple[Component, IntArray]]:
    """The components with their levels in a group."""
    out: list[tuple[Component, IntArray]] = []
    for component in roles.components:
        factor = model.re_terms[component.term].factor
        levels = np.arange(factor.n_levels)
        if not roles.only:
            levels = levels[_part(factor, 0) == group]
        out.append((component, levels))
    return out


def _column_name(component: Component, factor: Factor, level: int) -> str:
    if component.names:
        part = int(_part(factor, -1)[level])
        column = component.names[_levels(factor, -1)[part]]
        return f"{component.name}[{column}]"
    names = []
    for piece in component.pieces:
        name = piece.text
        if piece.part is not None:
            at = _part(factor, piece.part)[level]
            name += f"[{_levels(factor, piece.part)[at]}]"
        names.append(name)
    return f"{component.name}[{':'.join(names) or 'Intercept'}]"


def _conditional_covariance(
    results: LMERResults, roles: MixedLMRoles, group: int, rows: IntArray
) -> FloatArray:
    """L (I + L'Z'R^-1 Z L)^-1 L' with L L' the covariance of a group's effects."""
    terms = results.model.re_terms
    templates = components.templates(results)
    columns, roots = [], []
    if roles.random is not None:
        columns.append(np.asarray(terms[roles.random].Z)[rows])
        roots.append(templates[roles.random])
    for component, levels in _of_group(results.model, roles, group):
        term = terms[component.term]
        indicators = term.factor.codes[rows][:, None] == levels
        columns.append(indicators * np.asarray(term.Z)[rows])
        roots.append(templates[component.term].item() * np.eye(len(levels)))
    scaled = np.hstack([Z @ T for Z, T in zip(columns, roots, strict=True)])
    if results.model.weights is not None:
        scaled = scaled * np.sqrt(results.model.weights[rows])[:, None]
    inner = np.linalg.inv(np.eye(scaled.shape[1]) + scaled.T @ scaled)
    root = _block_diagonal(roots)
    return results.scale * root @ inner @ root.T


def _block_diagonal(blocks: list[FloatArray]) -> FloatArray:
    size = sum(len(block) for block in blocks)
    out = np.zeros((size, size))
    start = 0
    for block in blocks:
        stop = start + len(block)
        out[start:stop, start:stop] = block
        start = stop
    return out
