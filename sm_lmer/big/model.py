"""The model of data that are read batch by batch, and its results.

The model is an LMER without rows: it holds the statistics of the likelihood, whose size
is that of the levels and of the pairs of them that occur together. Fitted values and
residuals are made batch by batch, by reading the source once more.
"""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.base.model import LikelihoodModel
from statsmodels.tools.sm_exceptions import MissingDataError

from .. import checks
from ..checks import rows as count_rows
from ..compat import statsmodels as compat
from ..core.fitted import Solution
from ..core.terms import FloatArray, GroupingBlock
from ..errors import DroppedColumnsWarning
from ..formula import mixedlm
from ..formula.design import Design, _columns_in_use
from ..formula.grammar import parse, variables
from ..formula.namespace import evaluation_namespace
from ..formula.rows import OFFSET, WEIGHTS
from ..model import LMER
from ..results import LMERResults
from .first_pass import Found, Request
from .local import LocalPasses, Passes
from .plan import Plan, make_plan
from .second_pass import Summing, Sums, empty_sums
from .sources import BATCH_ROWS, required
from .statistics import FixedChange, fixed_change, grouping, likelihood_statistics

STREAMED = (
    "the rows of this model stay in their source, so that {what} cannot be had in "
    "memory; res.stream_fitted() and res.write_fitted(path) give fitted values and "
    "residuals batch by batch, and everything else needs a data frame."
)
"""What is said where rows would be needed."""

AGAIN = 2
"""How often the cross-products are summed again with better scales, at most."""


def streamed(
    cls: type[LMER],
    formula: str,
    data: Any,
    *,
    subset: Any = None,
    drop_cols: Collection[str] | None = None,
    weights: Any = None,
    offset: Any = None,
    missing: str = "drop",
    namespace: Mapping[str, Any] | None = None,
    batch_rows: int | None = None,
    progress: bool = False,
    **kwargs: Any,
) -> StreamedLMER:
    """The model of data that are read batch by batch.

    :meth:`sm_lmer.LMER.from_formula` comes here for the name of a Parquet file or of a
    folder of them, a pyarrow Dataset, a polars LazyFrame, a DuckDB relation, a Dask
    DataFrame, or a function that returns record batches.

    Two passes are made: one for levels, categories and rows without missing values,
    and one for cross-products. ``center()``, ``standardize()`` and ``scale()`` cost one
    more, and so do columns that a sample does not tell the scales of.

    Parameters
    ----------
    formula : str
    data : object
    subset : str, optional
        A condition in the columns, as ``"age > 17"``.
    drop_cols : collection of str, optional
    weights, offset : str, optional
        Expressions in the columns.
    missing : {"drop", "raise"}
    namespace : mapping, optional
        Names of the caller.
    batch_rows : int, optional
        Rows of a batch, a million by default.
    progress : bool
        Whether to show progress with tqdm.

    Raises
    ------
    ImportError
        If the package that reads the data is not installed; the sentence names the
        extra that installs it.
    ValueError
        For unusable data, or data that change between the passes. Nothing is left
        half done.
    """
    if kwargs:
        raise TypeError(mixedlm.unknown_arguments("LMER.from_formula", set(kwargs)))
    passes = passes_of(data, batch_rows, progress)
    request = make_request(
        formula, passes, subset, weights, offset, missing, namespace or {}
    )
    found: Found = passes.first(request)
    if found.n_data == 0:
        raise ValueError("the data have no rows.")
    if found.n == 0:
        raise ValueError(_none_left(request, found))
    plan = make_plan(request, found, drop_cols, passes.mapped)
    keys = [how.spec.factors for how in plan.design.term_designs]
    blocks = grouping(plan.design.terms, keys)
    of_blocks = [keys[block.terms[0]] for block in blocks]
    plan, sums, change = _summed(passes, plan, blocks, of_blocks, found)
    return StreamedLMER(passes, plan, found, sums, blocks, change)


def passes_of(data: Any, batch_rows: int | None, progress: bool) -> Passes:
    """How passes over the data are made: here, or on the workers of a cluster."""
    rows = BATCH_ROWS if batch_rows is None else int(batch_rows)
    if rows < 1:
        raise ValueError(f"batch_rows is at least 1, not {batch_rows!r}.")
    if type(data).__module__.partition(".")[0] in ("dask", "dask_expr"):
        from .dask import DaskPasses

        return DaskPasses(data, rows, progress)
    return LocalPasses(data, rows, progress)


def make_request(
    formula: str,
    passes: Passes,
    subset: Any,
    weights: Any,
    offset: Any,
    missing: str,
    namespace: Mapping[str, Any],
) -> Request:
    """What the formula and the arguments ask of the rows."""
    if missing not in ("drop", "raise", "none"):
        raise ValueError(f"missing must be 'drop' or 'raise', not {missing!r}.")
    given = {"subset": subset, "weights": weights, "offset": offset}
    for role, value in given.items():
        if value is not None and not isinstance(value, str):
            raise TypeError(
                f"{role} is an expression in the columns where data are read batch by "
                f"batch, as {role}='x'; put the values into the data."
            )
    parsed = parse(formula, tuple(c for c in passes.columns if isinstance(c, str)))
    if not parsed.random:
        raise ValueError(
            f"the formula {formula!r} has no random-effects term such as (1 | group); "
            "for a model without one use statsmodels.formula.api.ols."
        )
    scope = evaluation_namespace(namespace)
    nothing = pd.DataFrame(columns=list(passes.columns), dtype=np.float64)
    extra = {WEIGHTS: weights, OFFSET: offset}
    used, scope = _columns_in_use(parsed, nothing, scope, extra)
    names = [name for name in used if name in nothing.columns]
    if subset is not None:
        names += [
            name
            for name in variables(subset)
            if name in nothing.columns and name not in names
        ]
    texts = [parsed.fixed, *(spec.columns for spec in parsed.random), *parsed.offsets]
    within = {name for text in texts for name in variables(text)} & set(names)
    alone = variables(parsed.response)
    return Request(
        parsed=parsed,
        names=tuple(names),
        weights=weights,
        offset=offset,
        subset=subset,
        missing=missing,
        namespace=scope,
        coded=frozenset(name for name in within if _in_a_factor(name, texts)),
        labels=frozenset(within),
        response=alone[0] if len(alone) == 1 else None,
    )


def _in_a_factor(name: str, texts: Sequence[str]) -> bool:
    """Whether a text holds the name within C()."""
    return any(name in variables(piece) for text in texts for piece in _calls(text))


def _calls(text: str) -> Iterator[str]:
    """What stands within the parentheses of each ``C(...)``."""
    start = 0
    while (at := text.find("C(", start)) >= 0:
        start = at + 2
        if at and (text[at - 1].isalnum() or text[at - 1] in "._"):
            continue
        depth, end = 1, start
        while end < len(text) and depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        yield f"C({text[start : end - 1]})"


def _none_left(request: Request, found: Found) -> str:
    if not found.lost:
        return "subset leaves no rows."
    lost = ", ".join(f"column {name!r} {count}" for name, count in found.lost.items())
    return f"no row is complete; rows with missing values, of {found.n_data}: {lost}."


def _summed(
    passes: Passes,
    plan: Plan,
    blocks: list[GroupingBlock],
    keys: list[tuple[str, ...]],
    found: Found,
) -> tuple[Plan, Sums, FixedChange]:
    """The second pass, made again where the sample's scales have cost digits."""
    for attempt in range(1 + AGAIN):
        job = Summing(plan, blocks, keys)
        sums = passes.summed(job, empty_sums(plan, blocks))
        _check_same(found, sums, blocks, plan)
        change = fixed_change(plan, sums)
        if change.better is None or attempt == AGAIN:
            break
        plan = plan.rescaled(change.better)
    return plan, sums, change


def _check_same(
    found: Found, sums: Sums, blocks: list[GroupingBlock], plan: Plan
) -> None:
    """The passes have seen the same rows, and each level has some."""
    lost = max([0, *sums.lost.values()])
    if sums.n_data != found.n_data or not (found.n - sum(sums.lost.values()) <= sums.n):
        raise ValueError(
            "the source has changed between two passes over it: the first found "
            f"{count_rows(found.n_data)} ({found.n} used), a later one "
            f"{count_rows(sums.n_data)} ({sums.n} used)."
        )
    if (sums.lost and plan.request.missing != "drop") or (lost and sums.n == 0):
        name, count = next(iter(sums.lost.items()))
        raise MissingDataError(
            f"{name} is not a number in {count_rows(count)}, although its variables "
            "are not missing there; check the function applied to them."
        )
    for block, seen in zip(blocks, sums.seen, strict=True):
        if not seen.all():
            term = plan.design.terms[block.terms[0]]
            what = " and ".join(sums.lost) or "a column"
            raise ValueError(
                f"{what} is not a number in all rows of some levels of {term.name!r}, "
                "although its variables are not missing there; leave these rows out "
                "with subset=."
            )


# -- the model -------------------------------------------------------------------------


class StreamedLMER(LMER):
    """An LMER whose rows stay in their source.

    It is built by ``sml.lmer(formula, source)``, see :func:`streamed`. It fits, and its
    results test, predict at new data and summarise, as those of any other LMER; what
    needs rows in memory says so.

    Attributes
    ----------
    n_data : int
        Rows of the source.
    nobs : int
        Rows used.
    dropped_rows : dict
        Number of rows left out for missing values, by column.
    """

    _why_not = STREAMED
    _passes: Passes | None

    def __init__(
        self,
        passes: Passes,
        plan: Plan,
        found: Found,
        sums: Sums,
        blocks: Sequence[GroupingBlock],
        change: FixedChange,
    ) -> None:
        self._passes, self._plan = passes, plan
        self._design: Design | None = plan.design
        basis = change.fixed.basis
        self._kept = np.setdiff1d(np.arange(len(plan.names)), basis.dropped)
        self.dropped_columns = [plan.names[j] for j in basis.dropped]
        self.dropped_rows, self.n_data = found.lost | sums.lost, found.n_data
        self.weights = self.offset = None
        self._weighted = plan.request.weights is not None
        self.nobs = sums.n
        self._start(plan, change)
        checks_of_sums(plan, sums, self.k_fe)
        self.re_terms = plan.design.terms
        self._statistics = likelihood_statistics(
            plan, sums, blocks, self.re_terms, change
        )
        if self.dropped_columns:
            count = len(self.dropped_columns)
            warnings.warn(
                f"the fixed part is rank deficient: dropped {count} "
                f"column{'s' if count > 1 else ''} that earlier ones determine "
                f"({', '.join(self.dropped_columns)}).",
                DroppedColumnsWarning,
                stacklevel=4,
            )

    def _start(self, plan: Plan, change: FixedChange) -> None:
        """What statsmodels' generic code and users look for."""
        design = plan.design
        exog = design.exog.iloc[:, self._kept]
        arguments = {
            "formula": design.parsed.fixed_formula,
            compat.SPEC: design.specification,
        }
        # the sample serves statsmodels to find names; its rows are taken away below
        LikelihoodModel.__init__(
            self, design.endog, exog, missing="none", hasconst=False, **arguments
        )
        names = [str(name) for name in exog.columns]
        self.formula = design.parsed.fixed_formula
        intercept = "Intercept" in names
        self.data.k_constant = self.k_constant = int(intercept or change.constant)
        self.data.const_idx = names.index("Intercept") if intercept else None
        cached = {"xnames": self.data.xnames, "ynames": self.data.ynames}
        self.data.endog = self.data.exog = self.endog = self.exog = None
        self.data.orig_endog = self.data.orig_endog.iloc[:0]
        self.data.orig_exog = self.data.orig_exog.iloc[:0]
        self.data._cache = cached
        self.data.frame = design.frame
        self._likelihood_data = None
        self._likelihoods = {}
        self._marginal_theta = None
        self._basis = change.fixed.basis
        self.k_fe = len(names)
        self.k_theta = sum(term.n_theta for term in design.terms)
        self.df_model = float(self.k_fe - self.k_constant)
        self.df_resid = float(self.nobs - self.k_fe)
        self.lmer_formula = design.parsed.text
        self.mixedlm_roles = None

    @property
    def plan(self) -> Plan:
        """How a batch is evaluated."""
        return self._plan

    def passes(self, source: Any = None, progress: bool = False) -> Passes:
        """Passes over the source of the model, or over another one like it."""
        if source is not None:
            return passes_of(source, None, progress)
        if self._passes is None:
            raise ValueError(
                "the source of this model was not kept when it was pickled; give it as "
                "source=."
            )
        return self._passes.showing(progress)

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_likelihoods": {}}
        try:
            pickle.dumps(self._passes)
        except (TypeError, AttributeError, pickle.PicklingError):
            state["_passes"] = None  # a function or a connection
        return state


def checks_of_sums(plan: Plan, sums: Sums, p: int) -> None:
    """The checks that an LMER makes of its arrays."""
    n, response = sums.n, sums.response
    if n <= p:
        raise ValueError(
            f"too few data ({count_rows(n)}) for {p} fixed effects; drop terms or add "
            "data."
        )
    if response.low == response.high:
        raise ValueError(
            f"the response is constant ({response.low:g} in all {n} rows), so there is "
            "no variance to explain."
        )
    for term in plan.design.terms:
        checks.check_term(term, n)
    checks.check_distinct(plan.design.terms)


# -- the results -----------------------------------------------------------------------


class StreamedResults(LMERResults):
    """Results of a model whose rows stay in their source.

    ``stream_fitted`` and ``write_fitted`` take the place of ``fittedvalues`` and
    ``resid``, which would need rows in memory.
    """

    model: StreamedLMER
    _residual_quantiles = None

    def _conditional_residual(self) -> FloatArray:
        found = self._solution
        return np.array([np.sqrt(max(found.r2 - found.ussq, 0.0))])

    def stream_fitted(
        self,
        columns: Sequence[str] = (),
        source: Any = None,
        progress: bool = False,
    ) -> Iterator[pd.DataFrame]:
        """Fitted values and residuals, batch by batch.

        Parameters
        ----------
        columns : sequence of str
            Columns of the source to go with them.
        source : optional
            Where to read the rows from, if not from the model's own source.
        progress : bool
            Whether to show progress with tqdm.

        Yields
        ------
        DataFrame
            A batch: `columns`, ``fitted`` (conditional, X beta + Z b + offset) and
            ``resid``; a row for each row of the source, in its order, with nan where
            the model does not use the row.

        Examples
        --------
        >>> import sm_lmer.api as sml
        >>> import pyarrow as pa
        >>> table = pa.Table.from_pandas(sml.datasets.load_sleepstudy())
        >>> source = lambda: table.to_batches(max_chunksize=50)
        >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", source).fit()
        >>> parts = list(res.stream_fitted())
        >>> print(len(parts), list(parts[0].columns))
        4 ['fitted', 'resid']
        """
        model = self.model
        if not isinstance(model, StreamedLMER) or model._statistics is None:
            model.require_rows("a fitted value or residual")
        passes = model.passes(source, progress)
        job = _Fitted(
            model.plan, model._kept, np.asarray(self.params), self._solution, columns
        )
        yield from passes.each(job, [*model.plan.request.names, *columns])

    def write_fitted(
        self,
        path: str | os.PathLike[str],
        columns: Sequence[str] = (),
        source: Any = None,
        progress: bool = False,
    ) -> None:
        """Write fitted values and residuals to a Parquet file.

        See :meth:`stream_fitted` for the parameters and the columns. A file that is
        there already is replaced once the new one is complete.
        """
        parquet = required("pyarrow.parquet", "writing Parquet")
        pa = required("pyarrow", "writing Parquet")
        target = Path(path)
        part = target.with_name(target.name + ".part")
        writer = None
        try:
            for frame in self.stream_fitted(columns, source, progress):
                table = pa.Table.from_pandas(frame, preserve_index=False)
                if writer is None:
                    writer = parquet.ParquetWriter(part, table.schema)
                writer.write_table(table.cast(writer.schema))
            if writer is not None:
                writer.close()
                writer = None
                part.replace(target)
        finally:
            if writer is not None:
                writer.close()
            part.unlink(missing_ok=True)


StreamedLMER._results_class = StreamedResults


class _Fitted:
    """Fitted values and residuals of a batch; it can be sent to another process."""

    def __init__(
        self,
        plan: Plan,
        kept: np.ndarray,
        beta: FloatArray,
        solution: Solution,
        columns: Sequence[str],
    ) -> None:
        self.plan, self.kept, self.beta = plan, kept, beta
        self.b, self.columns = solution.b, list(columns)

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        fitted = np.full(len(frame), np.nan)
        residual = fitted.copy()
        batch = self.plan.batch(frame)
        if batch is not None:
            mean = batch.X[:, self.kept] @ self.beta
            for k, how in enumerate(self.plan.design.term_designs):
                b, Z = self.b[k][batch.codes[how.spec.factors]], batch.Zs[k]
                mean += b[:, 0] if Z is None else np.einsum("nq,nq->n", Z, b)
            residual[batch.positions] = batch.y - mean
            if batch.offset is not None:
                mean += batch.offset
            fitted[batch.positions] = mean
        given = {name: frame[name].array for name in self.columns}
        return pd.DataFrame({**given, "fitted": fitted, "resid": residual})


__all__ = ["StreamedLMER", "StreamedResults", "streamed"]
