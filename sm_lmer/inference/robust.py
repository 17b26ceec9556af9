r"""Cluster-robust covariances of the fixed effects.

With V the relative covariance of y that the fit implies, M the inverse of X'V^-1 X and
e = y - X beta the marginal residuals, the covariance is the sandwich over clusters g

.. math:: M \Big[\sum_g E_g e_g e_g' E_g'\Big] M, \qquad E_g = (X'V^{-1})_g A_g .

A_g = 1 gives CR0, its multiples CR1 and CR1S. CR2 chooses A_g so that the covariance is
unbiased if V is right: it is the symmetric solution of A (V_g - X_g M X_g') A = V_g
(Bell and McCaffrey 2002; Pustejovsky and Tipton 2018). It needs V to be
block diagonal by cluster; the others do not.

Satterthwaite's degrees of freedom of a contrast c are those of the quadratic form
sum_g (c'M E_g e_g)^2 in normal e with covariance V - XMX'. Its matrix over pairs of
clusters is a diagonal one less a product of rank p, so it is never formed.

References
----------
Bell, R. M. and McCaffrey, D. F. (2002). Bias reduction in standard errors for linear
regression with multi-stage samples. Survey Methodology 28(2), 169-181.
Pustejovsky, J. E. and Tipton, E. (2018). Small-sample methods for cluster-robust
variance estimation and hypothesis testing in fixed effects models. Journal of Business
& Economic Statistics 36(4), 672-683.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..core.terms import Factor, FloatArray
from ..formula.frames import as_pandas, check_index, suggestion
from ..formula.groups import factor_codes
from ..linalg.nested import parents
from .ddf import Inference, make_inference
from .sandwich import bias_reduced, information, sums, working_model

if TYPE_CHECKING:
    from ..model import LMER
    from ..results import LMERResults

KINDS = ("CR0", "CR1", "CR1S", "CR2")
"""Corrections for few clusters, as R's clubSandwich names them."""

DDF = ("satterthwaite", "groups", "residual", "normal")
"""Degrees of freedom of the tests; "groups" is the number of clusters less one."""

DESCRIPTION = (
    "Standard errors are robust to heteroscedasticity and correlation within the "
    "{n_groups} clusters ({kind})."
)
NONROBUST = "Standard errors take the covariance of the model for the right one."


# -- inference -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ClusterRobust(Inference):
    """Tests by a cluster-robust covariance with the same degrees of freedom for all.

    Attributes
    ----------
    kind : {"CR0", "CR1", "CR1S", "CR2"}
    n_groups : int
        Number of clusters.
    df : float
        Degrees of freedom; infinite for normal tests.
    """

    kind: str
    n_groups: int
    df: float
    method: str = field(default="cluster", init=False)

    @property
    def use_t(self) -> bool:
        """Whether the degrees of freedom are finite."""
        return bool(np.isfinite(self.df))

    def each(self, L: FloatArray) -> FloatArray:
        """The same for all rows."""
        return np.full(len(L), self.df)

    def joint(self, L: FloatArray) -> tuple[float, float]:
        """The same for all contrasts."""
        return self.df, 1.0


@dataclass(frozen=True, eq=False)
class ClusterSatterthwaite(ClusterRobust):
    """Tests by a cluster-robust covariance with Satterthwaite's degrees of freedom.

    Attributes
    ----------
    to_scores : ndarray, shape (p, p)
        Contrasts times it are those of scores whose covariance is the identity.
    own : ndarray, shape (n_groups, p, p)
        Covariance of the adjusted scores if the fit did not use up residuals.
    shared : ndarray, shape (n_groups, p, p)
        ``shared_g shared_h'`` is what it takes from that of clusters g and h.
    """

    to_scores: FloatArray
    own: FloatArray
    shared: FloatArray

    def each(self, L: FloatArray) -> FloatArray:
        """Of every row by itself (Bell and McCaffrey 2002)."""
        return np.array([2.0 / self._variances(row[None]).item() for row in L])

    def joint(self, L: FloatArray) -> tuple[float, float]:
        """Approximate Hotelling's T^2 (Pustejovsky and Tipton; clubSandwich's HTZ).

        With too few clusters for so many rows the degrees of freedom are not positive
        and there is no p-value.
        """
        q = len(L)
        nu = q * (q + 1) / float(self._variances(L).sum())
        return nu - q + 1.0, max((nu - q + 1.0) / nu, 0.0)

    def _variances(self, L: FloatArray) -> FloatArray:
        """Variances of the entries of the standardised covariance of L beta.

        Its mean is the identity. Clusters g and h have the covariance
        ``(g = h) own_g - shared_g shared_h'``, in which rows s, t of the contrasts are
        picked; the variance of entry (s, t) is the sum over g and h of
        ``P_ss P_tt + P_st P_ts``.
        """
        rows = L @ self.to_scores
        own = np.einsum("si,gij,tj->gst", rows, self.own, rows, optimize=True)
        shared = np.einsum("si,gij->gsj", rows, self.shared)
        mean = own.sum(axis=0) - np.einsum("gsj,gtj->st", shared, shared)
        values, vectors = np.linalg.eigh(mean)
        with np.errstate(divide="ignore", invalid="ignore"):  # a row of zeros is nan
            root = vectors / np.sqrt(values) @ vectors.T
            own = root @ own @ root
            shared = root @ shared
        both = np.einsum("gsj,gtk->stjk", shared, shared, optimize=True)
        overlap = np.einsum("gsj,gtj->gst", shared, shared, optimize=True)
        own_s = np.einsum("gss->gs", own)
        overlap_s = np.einsum("gss->gs", overlap)
        mixed = own_s.T @ overlap_s
        out: FloatArray = own_s.T @ own_s - mixed - mixed.T
        out += np.einsum("stjk,stjk->st", both, both)
        out += (own * own - 2.0 * own * overlap).sum(axis=0)
        out += np.einsum("stjk,stkj->st", both, both)
        return out


def robust_inference(
    results: LMERResults,
    groups: Any = None,
    kind: str = "CR1S",
    ddf: str | None = None,
) -> ClusterRobust:
    """Cluster-robust inference on the fixed effects.

    Parameters
    ----------
    results : LMERResults
    groups : str or array_like, shape (nobs,), optional
        The clusters: a column that the formula uses, the name of a grouping factor, or
        one label a row (of the rows used, or of all rows of the formula's data). By
        default the coarsest grouping factor, if the others are nested in it.
    kind : {"CR0", "CR1", "CR1S", "CR2"}
        No correction for few clusters; G/(G-1); statsmodels' and Stata's
        G/(G-1) (n-1)/(n-p); or the bias-reduced one of Bell and McCaffrey.
    ddf : {"satterthwaite", "groups", "residual", "normal"}, optional
        Degrees of freedom: Satterthwaite's (the default for CR2), G - 1 (the default
        otherwise), n - p, or infinite.

    Returns
    -------
    ClusterRobust

    Raises
    ------
    ValueError
        For unusable clusters; if CR2 or Satterthwaite's degrees of freedom are asked
        for where random effects reach across clusters; or if CR2 needs a matrix of
        more than 3,000 rows for a cluster (its rows for a fit with weights, its random
        and fixed effects without).

    Examples
    --------
    >>> import numpy as np, sm_lmer.api as sml
    >>> from sm_lmer.inference.robust import robust_inference
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (1 | Subject)", data).fit()
    >>> robust = robust_inference(res, "Subject", kind="CR2")
    >>> print(np.sqrt(robust.vcov.diagonal()).round(3), robust.each(np.eye(2)).round(1))
    [6.825 1.546] [17. 17.]
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; choose one of {', '.join(KINDS)}.")
    if ddf is None:
        ddf = "satterthwaite" if kind == "CR2" else "groups"
    if ddf not in DDF:
        raise ValueError(
            f"unknown ddf {ddf!r} of a robust covariance; choose one of "
            f"{', '.join(DDF)}."
        )
    clusters = _clusters(results.model, groups)
    G, (n, p) = clusters.n_levels, results.model.exog.shape
    across = _reaching_across(results.model, clusters)
    notes = _notes(across, kind, G, p)
    if across and (kind == "CR2" or ddf == "satterthwaite"):
        what = "kind='CR2'" if kind == "CR2" else "ddf='satterthwaite'"
        raise ValueError(
            f"{what} needs clusters that contain whole levels of every grouping "
            f"factor, but levels of {across} are in several clusters; use a coarser "
            "clustering, or kind='CR1S' with ddf='groups'."
        )
    working = working_model(results)
    if kind == "CR2":
        scores, own, shared = bias_reduced(working, clusters)
    else:
        scores = sums(working.VX * working.e[:, None], clusters) @ working.root
    half = scores @ working.to_scores.T * np.sqrt(_correction(kind, G, n, p))
    vcov = half.T @ half
    if ddf != "satterthwaite":
        df = {"groups": G - 1.0, "residual": n - p, "normal": np.inf}[ddf]
        return ClusterRobust(vcov, kind, G, float(df), notes=notes)
    if kind != "CR2":
        own = shared = information(working, clusters)
    to_scores = working.to_scores
    return ClusterSatterthwaite(
        vcov, kind, G, G - 1.0, to_scores, own, shared, notes=notes
    )


def robust_covariance(
    results: LMERResults,
    cov_type: str,
    cov_kwds: Mapping[str, Any] | None = None,
    use_t: bool | None = None,
) -> tuple[Inference, dict[str, Any]]:
    """What statsmodels' ``cov_type`` and ``cov_kwds`` stand for.

    Parameters
    ----------
    results : LMERResults
    cov_type : {"cluster", "nonrobust"}
    cov_kwds : mapping, optional
        For "cluster": ``groups``; ``kind`` (see :func:`robust_inference`) or
        statsmodels' ``use_correction`` (True for CR1S, the default, False for CR0);
        ``ddf`` or statsmodels' ``df_correction`` (True for G - 1, False for n - p).
    use_t : bool, optional
        False for normal tests.

    Returns
    -------
    inference : Inference
    cov_kwds : dict
        All settings, with ``n_groups`` and a ``description``.

    Raises
    ------
    NotImplementedError
        For statsmodels' other types, which take rows to be independent.
    """
    given = dict(cov_kwds or {})
    if cov_type == "nonrobust":
        _refuse_unknown(given, ())
        method = "normal" if use_t is False else results.ddf_method
        return make_inference(results, method), {"description": NONROBUST}
    if cov_type != "cluster":
        raise NotImplementedError(
            f"cov_type={cov_type!r} is not available for LMER; use 'cluster' or "
            "'nonrobust'."
        )
    _refuse_unknown(given, ("groups", "kind", "use_correction", "df_correction", "ddf"))
    for name, other in (("kind", "use_correction"), ("ddf", "df_correction")):
        if given.get(name) is not None and given.get(other) is not None:
            raise ValueError(f"give {name} or {other}, not both.")
    uncorrected = given.get("use_correction") in (False, 0)
    kind = str(given.get("kind") or ("CR0" if uncorrected else "CR1S"))
    ddf = given.get("ddf")
    if given.get("df_correction") is not None:
        ddf = "groups" if given["df_correction"] else "residual"
    if use_t is False:
        ddf = "normal"
    inference = robust_inference(results, given.get("groups"), kind, ddf)
    settings = {"n_groups": inference.n_groups, "kind": kind}
    description = DESCRIPTION.format(**settings)
    return inference, {**given, **settings, "description": description}


def _refuse_unknown(given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise TypeError(
            f"the covariance takes no {', '.join(unknown)}; "
            f"it knows {', '.join(known) or 'no settings'}."
        )


def _correction(kind: str, G: int, n: int, p: int) -> float:
    """What the corrections for few clusters multiply the covariance with."""
    if kind in ("CR0", "CR2"):
        return 1.0
    return G / (G - 1) * ((n - 1) / (n - p) if kind == "CR1S" else 1.0)


def _notes(across: str, kind: str, G: int, p: int) -> tuple[str, ...]:
    notes = []
    if across:
        notes.append(
            f"Robust covariance: levels of {across} are in several clusters, whose "
            "errors it takes to be independent although the model does not."
        )
    rank = G if kind == "CR2" else G - 1  # the scores of all clusters add up to zero
    if p > rank:
        notes.append(
            f"Robust covariance: {G} clusters cannot tell {p} fixed effects apart; "
            f"its rank is at most {rank}."
        )
    return tuple(notes)


# -- clusters --------------------------------------------------------------------------


def _clusters(model: LMER, groups: Any) -> Factor:
    """The clusters of the rows used."""
    if groups is None:
        clusters = _coarsest(model)
    elif isinstance(groups, str):
        clusters = _named(model, groups)
    else:
        clusters = _labelled(model, as_pandas(groups))
    missing = int((clusters.codes < 0).sum())
    if missing:
        raise ValueError(
            f"groups are missing in {missing} of the {model.nobs} rows used; give "
            "every row a cluster, or leave these rows out of the model."
        )
    if clusters.n_levels < 2:
        raise ValueError("groups has one cluster only; a robust covariance needs two.")
    return clusters


def _coarsest(model: LMER) -> Factor:
    """The grouping factor with fewest levels, if all others are nested in it."""
    coarsest = min((term.factor for term in model.re_terms), key=lambda f: f.n_levels)
    across = _reaching_across(model, coarsest)
    if across:
        names = ", ".join(dict.fromkeys(term.name for term in model.re_terms))
        raise ValueError(
            f"the grouping factors {names} are not nested; say with groups= which "
            "clusters are independent."
        )
    return coarsest


def _named(model: LMER, name: str) -> Factor:
    """The clusters of a column of the model's data, or of a grouping factor."""
    columns: list[Any] = []
    if model._design is not None:
        columns = list(model._design.frame.columns)
        if name in columns:
            return factor_codes(model._design.frame[name])
    for term in model.re_terms:
        if term.name == name:
            return term.factor
    columns += [t.name for t in model.re_terms if t.name not in columns]
    raise ValueError(
        f"groups={name!r} is neither a column that the model uses nor one of its "
        f"grouping factors; pass the column itself, or {suggestion(name, columns)}"
    )


def _labelled(model: LMER, groups: Any) -> Factor:
    """The clusters of an array of labels of the rows used, or of all rows."""
    if isinstance(groups, pd.DataFrame) and groups.shape[1] == 1:
        groups = groups.iloc[:, 0]
    if np.ndim(groups) != 1:
        raise ValueError(
            f"groups has shape {np.shape(groups)}; give one label to each row "
            "(clustering in several ways is not available)."
        )
    if not isinstance(groups, pd.Series):
        # text must not become NumPy's, which would swallow a missing label
        values = groups if isinstance(groups, np.ndarray) else list(groups)
        groups = pd.Series(values, dtype=None if len(groups) else object)
        indexed = False
    else:
        indexed = True
    design = model._design
    if design is not None and len(groups) == design.n_data:
        groups = groups.iloc[design.rows]
    if len(groups) != model.nobs:
        raise ValueError(
            f"groups has {len(groups)} entries, but the model uses {model.nobs} rows "
            f"of {model.n_data}."
        )
    labels = model.data.row_labels
    if indexed and labels is not None:
        check_index(groups, labels, "groups")
    return factor_codes(groups)


def _reaching_across(model: LMER, clusters: Factor) -> str:
    """Names of the grouping factors that have levels in several clusters."""
    names = [
        term.name
        for term in model.re_terms
        if parents([term.factor.codes, clusters.codes], [term.factor.n_levels, 0])
        is None
    ]
    return ", ".join(dict.fromkeys(names))
