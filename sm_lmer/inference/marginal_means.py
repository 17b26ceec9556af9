"""Tables, tests and contrasts of estimated marginal means."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..core.terms import FloatArray
from .ddf import Inference
from .hypotheses import Rows, each_row, jointly
from .level_contrasts import coefficients
from .multiplicity import Family, adjusted_pvalues, critical_values, named
from .reference_grid import RowSpace

RANK = 1e-7
"""Singular value, relative to the largest, below which a contrast adds nothing."""


@dataclass(frozen=True, eq=False)
class Estimates:
    """What linear functions of the fixed effects are estimated and tested with.

    Attributes
    ----------
    beta : ndarray, shape (p,)
    inference : Inference
    space : RowSpace
    """

    beta: FloatArray
    inference: Inference
    space: RowSpace


@dataclass(frozen=True, eq=False, repr=False)
class EMMeans:
    """Estimated marginal means, or contrasts of them.

    Made by :func:`~sm_lmer.inference.emmeans.emmeans` and ``emtrends``; :meth:`pairs`
    and :meth:`contrast` make another one. Print it for a table with notes; take
    :attr:`frame` or :meth:`to_frame` for the numbers.

    Attributes
    ----------
    grid : DataFrame
        The levels, or names of contrasts, that each row stands for.
    rows : ndarray, shape (m, P)
        Coefficients of all columns of the fixed part, those that were dropped too.
    offset : ndarray, shape (m,)
        Known part of each mean.
    fit : Estimates
    by : tuple of str
        Variables that split the rows into families of tests.
    name : str
        Of the column of estimates.
    pairwise : bool
        Whether each family holds all pairwise differences.
    n_means : int
        Number of means that a family compares.
    adjust : str
        The adjustment that tables and tests use unless told otherwise.
    notes : tuple of str
    alpha : float
        One less the level of intervals.
    """

    grid: pd.DataFrame
    rows: FloatArray
    offset: FloatArray
    fit: Estimates
    by: tuple[str, ...] = ()
    name: str = "emmean"
    pairwise: bool = False
    n_means: int = 1
    adjust: str = "none"
    notes: tuple[str, ...] = ()
    alpha: float = 0.05

    # -- estimates ---------------------------------------------------------------

    @cached_property
    def estimable(self) -> np.ndarray:
        """Whether the data determine each row, shape (m,)."""
        return self.fit.space.estimable(self.rows)

    @cached_property
    def L(self) -> FloatArray:
        """Coefficients of the fixed effects, shape (m, p); nan if not estimable."""
        L = self.rows[:, self.fit.space.kept].copy()
        L[~self.estimable] = np.nan
        return L

    @cached_property
    def vcov(self) -> FloatArray:
        """Covariance of the estimates, shape (m, m)."""
        vcov: FloatArray = self.L @ self.fit.inference.vcov @ self.L.T
        return vcov

    @cached_property
    def _tests(self) -> Rows:
        """Unadjusted tests of every row against zero."""
        done = self.estimable
        columns = np.full((5, len(done)), np.nan)
        if done.any():
            columns[:, done] = each_row(
                self.fit.beta, self.L[done], self.fit.inference, -self.offset[done]
            )
        columns[0] += self.offset
        return Rows(*columns)

    @property
    def estimate(self) -> FloatArray:
        """The estimates, shape (m,); nan if not estimable."""
        return self._tests.estimate

    @property
    def se(self) -> FloatArray:
        """Their standard errors, shape (m,)."""
        return self._tests.se

    @property
    def df(self) -> FloatArray:
        """Degrees of freedom of a t test of each row, shape (m,)."""
        return self._tests.df

    # -- tables ------------------------------------------------------------------

    @property
    def frame(self) -> pd.DataFrame:
        """The table: means with intervals, contrasts with intervals and tests."""
        return self.to_frame()

    def to_frame(
        self,
        test: bool | None = None,
        adjust: str | None = None,
        alpha: float | None = None,
        null: float = 0.0,
    ) -> pd.DataFrame:
        """Estimates, standard errors, intervals and tests, a row each.

        Parameters
        ----------
        test : bool, optional
            Whether to show tests; by default for contrasts only.
        adjust : str, optional
            For multiplicity within the families, see :meth:`contrast`.
        alpha : float, optional
            One less the level of the intervals, .05 by default.
        null : float
            The value tested for.

        Returns
        -------
        DataFrame
            The columns of :attr:`grid`; emmean, estimate or ``x.trend``; SE, df,
            lower, upper; on request t (or z) and p. Rows that are not estimable are
            nan.

        Examples
        --------
        >>> import sm_lmer.api as sml
        >>> data = sml.datasets.load_machines()
        >>> res = sml.lmer("score ~ Machine + (1 | Worker)", data).fit()
        >>> means = res.emmeans("Machine")
        >>> print(means.to_frame().round(2).to_string(index=False))
        Machine  emmean   SE   df  lower  upper
              A   52.36 2.23 5.83  46.86  57.85
              B   60.32 2.23 5.83  54.83  65.82
              C   66.27 2.23 5.83  60.78  71.77
        """
        adjust = self.adjust if adjust is None else named(adjust)
        alpha = self.alpha if alpha is None else alpha
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha must lie between 0 and 1, not {alpha!r}.")
        half = self._by_family(
            lambda family, at: critical_values(1.0 - alpha, family, adjust)
        )
        table = self._estimates()
        table["lower"] = self.estimate - half * self.se
        table["upper"] = self.estimate + half * self.se
        shown = self.name == "estimate" if test is None else test
        return self._with_tests(table, adjust, null) if shown else table

    def _estimates(self) -> pd.DataFrame:
        columns = {self.name: self.estimate, "SE": self.se, "df": self.df}
        return self.grid.assign(**columns)

    def _with_tests(
        self, table: pd.DataFrame, adjust: str, null: float
    ) -> pd.DataFrame:
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (self.estimate - null) / self.se
        p = self._by_family(lambda family, at: adjusted_pvalues(t[at], family, adjust))
        return table.assign(**{"t" if self.fit.inference.use_t else "z": t, "p": p})

    @cached_property
    def _families(self) -> list[np.ndarray]:
        """Rows of each combination of levels of the by variables."""
        if not self.by:
            return [np.arange(len(self.grid))]
        codes = self.grid.groupby(list(self.by), sort=False, observed=True).ngroup()
        return [np.flatnonzero(codes == g) for g in range(int(codes.max()) + 1)]

    def _family(self, at: np.ndarray) -> Family:
        V = self.vcov[np.ix_(at, at)]
        se = np.sqrt(np.diag(V))
        with np.errstate(divide="ignore", invalid="ignore"):
            correlation = V / np.outer(se, se)
        return Family(
            self.df[at],
            float(self.n_means),
            rank_of(self.rows[at]),
            correlation,
            self.pairwise,
        )

    def _by_family(self, of: Callable[[Family, np.ndarray], FloatArray]) -> FloatArray:
        out = np.full(len(self.grid), np.nan)
        for at in self._families:
            out[at] = of(self._family(at), at)
        return out

    # -- tests -------------------------------------------------------------------

    def test(
        self, null: float = 0.0, joint: bool = False, adjust: str | None = None
    ) -> pd.DataFrame:
        """Test every row, or all rows of a family together.

        Parameters
        ----------
        null : float
            The value tested for.
        joint : bool
            One F test a family. Its degrees of freedom and, with Kenward-Roger, its
            scale are those of the package's other F tests; emmeans takes the smallest
            degrees of freedom of some single contrasts instead.
        adjust : str, optional
            For multiplicity, of single tests.

        Returns
        -------
        DataFrame
            Estimates with t (or z) and p; or df1, df2, F and p.
        """
        if not joint:
            chosen = self.adjust if adjust is None else named(adjust)
            return self._with_tests(self._estimates(), chosen, null)
        found = []
        for at in self._families:
            done = at[self.estimable[at]]
            F = jointly(
                self.fit.beta,
                self.L[done],
                self.fit.inference,
                null - self.offset[done],
            )
            found.append((F.df_num, F.df_denom, F.statistic, F.pvalue))
        first = [at[0] for at in self._families]
        table = self.grid[list(self.by)].iloc[first].reset_index(drop=True)
        values = pd.DataFrame(found, columns=["df1", "df2", "F", "p"])
        return pd.concat([table, values], axis=1)

    # -- contrasts ---------------------------------------------------------------

    def pairs(
        self,
        adjust: str | None = None,
        reverse: bool = False,
        by: str | Sequence[str] | None = None,
    ) -> EMMeans:
        """All pairwise differences within each family.

        Parameters
        ----------
        adjust : str, optional
            Tukey's by default, see :meth:`contrast`.
        reverse : bool
            Later levels less earlier ones.
        by : str or sequence of str, optional
            Variables that split the families, by default those of the means.

        Examples
        --------
        >>> import sm_lmer.api as sml
        >>> data = sml.datasets.load_machines()
        >>> res = sml.lmer("score ~ Machine + (1 | Worker)", data).fit()
        >>> pairs = res.emmeans("Machine").pairs().frame
        >>> print(pairs[["contrast", "estimate", "t"]].round(3).to_string(index=False))
        contrast  estimate       t
           A - B    -7.967  -7.559
           A - C   -13.917 -13.205
           B - C    -5.950  -5.646
        """
        return self.contrast("pairwise", adjust, by, reverse=reverse)

    def contrast(
        self,
        method: Any = "eff",
        adjust: str | None = None,
        by: str | Sequence[str] | None = None,
        *,
        ref: Any = None,
        reverse: bool = False,
        interaction: bool | str | Sequence[str] = False,
    ) -> EMMeans:
        """Contrasts of the levels within each family.

        Parameters
        ----------
        method : str, mapping or array_like
            "pairwise", "revpairwise", "trt.vs.ctrl", "trt.vs.ctrlk", "eff",
            "del.eff", "consec", "mean_chg", "poly" or "identity"; or a mapping of
            names to coefficients of the levels, or rows of coefficients.
        adjust : str, optional
            "tukey", "sidak", "bonferroni", "holm", "hochberg", "hommel", "fdr", "by",
            "scheffe", "mvt", "dunnettx" or "none"; by default what emmeans takes:
            tukey for pairs, dunnettx for comparisons with a control, fdr for "eff"
            and "del.eff", mvt for "consec" and "mean_chg", else none.
        by : str or sequence of str, optional
            Variables that split the families, by default those of the means; ()
            for one family.
        ref : str or int, optional
            The control of "trt.vs.ctrl", by default the first level.
        reverse : bool
            Whether differences are taken the other way round.
        interaction : bool, str or sequence of str
            Contrasts of contrasts, with `method` or these methods for the variables
            in turn.

        Raises
        ------
        ValueError
            For an unknown method, adjustment, control or variable, or coefficients
            that are not one a level.
        """
        split = self.by if by is None else split_names(by)
        for column in split:
            if column not in self.grid:
                raise ValueError(
                    f"by names {column!r}, which is not among {', '.join(self.grid)}."
                )
        factors = [column for column in self.grid if column not in split]
        if not factors:
            raise ValueError("all variables are in by, so that nothing is compared.")
        if interaction is not False:
            methods = method if interaction is True else interaction
            return self._interaction(methods, adjust, split, factors, ref, reverse)
        return self._contrasted(
            method, adjust, split, factors, "contrast", ref, reverse
        )

    def _contrasted(
        self,
        method: Any,
        adjust: str | None,
        split: tuple[str, ...],
        factors: list[str],
        name: str,
        ref: Any = None,
        reverse: bool = False,
    ) -> EMMeans:
        families = replace(self, by=split)._families
        labels, C = [], np.zeros((0, len(self.grid)))
        for at in families:
            levels = self._labels(factors, at, enhance=name == "contrast")
            found = coefficients(method, levels, ref, reverse)
            block = np.zeros((len(found.C), len(self.grid)))
            block[:, at] = found.C
            C = np.vstack([C, block])
            here = self.grid[list(split)].iloc[np.full(len(block), at[0], dtype=int)]
            here = here.reset_index(drop=True)
            here.insert(0, name, found.names)
            labels.append(here)
        grid = pd.concat(labels, ignore_index=True)
        notes = tuple(n for n in self.notes if not n.startswith("Results may be"))
        return replace(
            self,
            grid=grid,
            rows=_combined(C, self.rows),
            offset=_combined(C, self.offset[:, None])[:, 0],
            by=split,
            name="estimate",
            pairwise=found.pairwise,
            n_means=len(families[0]),
            adjust=found.adjust if adjust is None else named(adjust),
            notes=notes,
        )

    def _interaction(
        self,
        methods: Any,
        adjust: str | None,
        split: tuple[str, ...],
        factors: list[str],
        ref: Any,
        reverse: bool,
    ) -> EMMeans:
        if isinstance(methods, str) or not isinstance(methods, Sequence):
            methods = [methods] * len(factors)
        if len(methods) != len(factors):
            raise ValueError(
                f"interaction gives {len(methods)} methods for {len(factors)} "
                f"variables ({', '.join(factors)})."
            )
        current, columns = self, list(self.grid)
        for factor, method in reversed(list(zip(factors, methods, strict=True))):
            named_ = (
                f"{factor}_{method}" if isinstance(method, str) else f"{factor}_custom"
            )
            rest = tuple(c for c in columns if c != factor)
            current = current._contrasted(
                method, "none", rest, [factor], named_, ref, reverse
            )
            columns[columns.index(factor)] = named_
        chosen = "none" if adjust is None else named(adjust)
        order = current.grid[columns]
        return replace(
            current, grid=order, by=split, adjust=chosen, pairwise=False
        )._sorted()

    def _sorted(self) -> EMMeans:
        """Rows in the order of the columns: the first varies fastest."""
        codes = [pd.factorize(self.grid[c])[0] for c in self.grid]
        order = np.lexsort(codes)
        return replace(
            self,
            grid=self.grid.iloc[order].reset_index(drop=True),
            rows=self.rows[order],
            offset=self.offset[order],
        )

    def _labels(self, factors: list[str], at: np.ndarray, enhance: bool) -> list[str]:
        """What the levels are called in the names of contrasts, as emmeans does."""
        parts = []
        for factor in factors:
            texts = [_text(v) for v in self.grid[factor].iloc[at]]
            every = [_text(v) for v in self.grid[factor]]
            prefix = factor if enhance and all(map(_is_number, every)) else ""
            parts.append([prefix + text for text in texts])
        labels = [" ".join(label) for label in zip(*parts, strict=True)]
        return [f"({s})" if re.search(r"[-+/*]", s) else s for s in labels]

    # -- text --------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.grid)

    def __repr__(self) -> str:
        table = self.to_frame()
        rest = [c for c in table if c not in self.by]
        blocks = []
        for at in self._families:
            if self.by:
                first = self.grid.iloc[at[0]]
                where = ", ".join(f"{b} = {_text(first[b])}" for b in self.by)
                blocks.append(f"{where}:")
            blocks.append(_printed(table[rest].iloc[at], self.name) + "\n")
        return "\n".join([*blocks, *self._all_notes()])

    def _all_notes(self) -> list[str]:
        inference = self.fit.inference
        notes = [*self.notes, f"Degrees-of-freedom method: {inference.method}"]
        notes += [f"{note[:1].upper()}{note[1:]}" for note in inference.notes]
        notes.append(f"Confidence level used: {1.0 - self.alpha:g}")
        method = self._family(self._families[0]).method(self.adjust)
        if method != "none":
            k = len(self._families[0])
            what = f"for {k} tests"
            if method == "tukey":
                what = f"for comparing a family of {self.n_means} estimates"
            elif method == "scheffe":
                what = f"with rank {rank_of(self.rows[self._families[0]])}"
            notes.append(f"Adjustment for multiplicity: {method} method {what}")
        return notes


def _combined(C: FloatArray, values: FloatArray) -> FloatArray:
    """C times values, nan only where a coefficient other than zero meets a nan."""
    missing = np.isnan(values).any(axis=1)
    out = C @ np.where(np.isnan(values), 0.0, values)
    out[(C[:, missing] != 0).any(axis=1)] = np.nan
    return out


def rank_of(rows: FloatArray) -> int:
    """Number of independent rows, whatever the units of the columns."""
    rows = rows[np.isfinite(rows).all(axis=1)]
    size = np.abs(rows).max(axis=0, initial=0.0)
    scaled = rows[:, size > 0] / size[size > 0]
    if scaled.size == 0:
        return 0
    values = np.linalg.svd(scaled, compute_uv=False)
    return int((values > RANK * values[0]).sum())


def _text(level: Any) -> str:
    if isinstance(level, (float, np.floating)):
        return f"{level:.15g}"
    return str(level)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _printed(table: pd.DataFrame, name: str) -> str:
    """A table in text, rounded to the precision of its standard errors."""
    se = table["SE"].to_numpy(dtype=np.float64)
    least = np.nanmin(np.where(se > 0, se, np.nan)) if (se > 0).any() else 1.0
    digits = max(0, 2 - int(np.floor(np.log10(least))))
    shown = {}
    for column in table:
        values = table[column]
        if column in (name, "SE", "lower", "upper"):
            shown[column] = [f"{v:.{digits}f}" for v in values]
        elif column == "df":
            shown[column] = [f"{v:.2f}" for v in values]
        elif column in ("t", "z"):
            shown[column] = [f"{v:.3f}" for v in values]
        elif column == "p":
            shown[column] = ["<.0001" if v < 5e-5 else f"{v:.4f}" for v in values]
        else:
            shown[column] = [_text(v) for v in values]
    missing = table[name].isna().to_numpy()
    shown[name] = np.where(missing, "nonEst", shown[name]).tolist()
    return pd.DataFrame(shown).to_string(index=False)


def split_names(names: str | Sequence[str]) -> tuple[str, ...]:
    """Names in a string such as ``"a * b"``, or in a sequence, each once."""
    if isinstance(names, str):
        names = re.split(r"[:*+,]", names)
    return tuple(dict.fromkeys(n.strip() for n in names if n.strip()))
