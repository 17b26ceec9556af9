"""Many models in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .contract import check_glance
from .dispatch import extractor_of
from .gathering import PER_MODEL, Column, gathered
from .layout import lay_out, lay_out_panels
from .models import Model, TidyModel
from .modeltable import FORMATS, SUFFIXES, ModelTable
from .options import Options, requested
from .parameters import columns_named
from .tidy import LOG_LINKS, glance, notes_of, tidy

INTERVALS = {"conf_low", "conf_high"}
"""Columns that are computed only if a template names them."""


class _Unset:
    """Stands for a default, so that those of a ``with options(...)`` block apply."""

    def __repr__(self) -> str:
        return "<default>"


DEFAULT: Any = _Unset()


def modelsummary(
    models: Any,
    *,
    output: str | Path | None = None,
    estimate: str | Sequence[str] | Mapping[str, str] = DEFAULT,
    statistic: str | Sequence[str] | Mapping[str, str] | None = DEFAULT,
    fmt: Any = DEFAULT,
    stars: Any = DEFAULT,
    conf_level: float | None = DEFAULT,
    vcov: Any = DEFAULT,
    exponentiate: Any = DEFAULT,
    effects: str = DEFAULT,
    re_scale: str = DEFAULT,
    re_labels: Any = DEFAULT,
    re_section: bool | str = DEFAULT,
    re_statistic: str | Sequence[str] | None = DEFAULT,
    ci_method: str = DEFAULT,
    ddf: Any = DEFAULT,
    coef_map: Any = DEFAULT,
    coef_omit: Any = DEFAULT,
    coef_rename: Any = DEFAULT,
    gof_map: Any = DEFAULT,
    gof_omit: Any = DEFAULT,
    gof_function: Any = DEFAULT,
    metrics: Any = DEFAULT,
    likelihood: str | None = DEFAULT,
    shape: str = DEFAULT,
    header: str | Sequence[str] = DEFAULT,
    spanners: Any = DEFAULT,
    group_map: Any = DEFAULT,
    add_rows: Any = DEFAULT,
    add_columns: Any = DEFAULT,
    title: str | None = DEFAULT,
    label: str | None = DEFAULT,
    notes: str | Sequence[str] | None = DEFAULT,
    auto_notes: bool = DEFAULT,
    align: str = DEFAULT,
    theme: str = DEFAULT,
) -> Any:
    """Many models in one table.

    Parameters
    ----------
    models : result, sequence, mapping, or mapping of mappings
        A mapping's keys are the names of its models; others are called (1), (2), ...
        A mapping of mappings has panels. A :class:`~sm_lmer.tables.models.TidyModel`
        is a model given by its numbers.
    output : str or Path, optional
        "text", "markdown", "html", "latex", "latex_tabular", "typst", "docx", "gt",
        "csv" or "dataframe" for that; or a path, whose suffix says the format that is
        written (.txt, .md, .html, .tex, .typ, .csv, .docx, .xlsx, .png, .pdf, .svg).
    estimate : str, sequence or mapping
        A column of :func:`~sm_lmer.tables.tidy.tidy`, or a template such as
        ``"{estimate:.2f} [{conf_low:.2f}, {conf_high:.2f}]{stars}"``; a sequence has
        one for each model. Default "estimate".
    statistic : str, sequence or mapping, optional
        The same for the lines below; a column's name goes into parentheses, and
        "conf_int" is an interval. None for none; a mapping has them by their headers
        (for `shape` "statistics_in_columns"). Default "std_error".
    fmt : int, str, callable, mapping or None
        Decimals, a format such as ".2f", or a function such as
        :func:`~sm_lmer.tables.numbers.fmt_significant`; or those by column, term or
        statistic; None for all digits. Default 3.
    stars : bool, mapping or sequence of float
        True for ``+`` p < 0.1, ``*`` p < 0.05, ``**`` p < 0.01, ``***`` p < 0.001; see
        :func:`~sm_lmer.tables.stars.levels`. Default False. Random effects have none.
    conf_level : float
        Level of intervals, which are computed only if a template names them. Default
        0.95.
    vcov : str, mapping, matrix, callable, or sequence or mapping of them
        Another covariance of the coefficients; a sequence (or mapping by name) has one
        for each model. Several for one model make as many columns.
    exponentiate : bool or "auto", or sequence or mapping of them
        exp of coefficients; "auto" only where the link is a logarithm or logit.
    effects : {"all", "fixed", "random"}
        Which parameters of mixed models are shown.
    re_scale : {"sd", "var", "both"}
        Standard deviations and correlations, variances and covariances, or both.
    re_labels : {"lme4", "greek", "texreg", "broom"} or callable
        Labels of random effects; see
        :func:`~sm_lmer.tables.random_labels.random_label`.
    re_section : bool or "gof"
        Whether random effects are a section of their own, or (False) follow the
        coefficients; "gof" puts them before the statistics.
    re_statistic : str or sequence of str, optional
        `statistic` of the random effects. Default None.
    ci_method : {"wald", "profile", "boot"}
        How intervals of mixed models are found. Default "wald"; the others are for the
        random part too, see :func:`~sm_lmer.tables.tidy.tidy`.
    ddf : str, or sequence or mapping of them
        Degrees of freedom of mixed models; see
        :meth:`sm_lmer.results.LMERResults.inference`. "kenward-roger" adjusts the
        standard errors, too. Several for one model make as many columns.
    coef_map : mapping or sequence of str, optional
        The coefficients to show, in this order; a mapping renames them. Two that get
        the same name share a row, if no model has both.
    coef_omit : str or sequence of str, optional
        Regular expressions of rows to leave out.
    coef_rename : mapping, callable or bool, optional
        New names; True makes ``recipe: B`` of ``recipe[T.B]``.
    gof_map : "all", sequence or mapping, optional
        The statistics to show, in this order: keys, (key, label, fmt), or mappings with
        ``raw``, ``clean`` and ``fmt``.
    gof_omit : str or sequence of str, optional
        Regular expressions of statistics to leave out.
    gof_function : callable, optional
        Further statistics of a result, as a mapping.
    metrics : {"default", "all"} or sequence of str
        Statistics to compute; see :func:`~sm_lmer.tables.tidy.glance`.
    likelihood : {"REML", "ML"}, optional
        The criterion that AIC and BIC of mixed models come from; by default that of
        the fit. R's modelsummary shows "REML", also for fits by maximum likelihood.
    shape : str
        "models_in_columns" (default), "statistics_in_columns" or "models_in_rows";
        with panels, "rbind" (default: one below the other), "rcollapse" (statistics
        that are the same in all panels stand once) or "cbind" (side by side).
    header : str or sequence of str
        Rows of headers, of "number", "model", "depvar" and "estimator". Equal
        neighbours above the last row are one.
    spanners : mapping or sequence of them, optional
        Headers above: their texts with numbers of models.
    group_map : mapping or sequence of str, optional
        Groups of terms (levels of an outcome) to show, in this order; renamed.
    add_rows : sequence of AddRow, mapping or DataFrame, optional
        Rows of your own; see :class:`~sm_lmer.tables.options.AddRow`.
    add_columns : mapping, optional
        Columns of your own: values from the top, or by the rows' labels.
    title, label : str, optional
        Caption, and the name by which LaTeX and Typst refer to the table.
    notes : str or sequence of str, optional
        Lines below the table.
    auto_notes : bool
        Whether the table says how the models were fitted and what stars mean.
    align : str
        "d" (at decimal points), "l", "c" or "r"; one for all value columns or one each.
    theme : {"booktabs", "striped", "plain"}
        Look of HTML.

    Returns
    -------
    ModelTable
        It prints as text and converts itself to all formats; or what `output` names.

    Raises
    ------
    TypeError
        If nothing knows a model's class, or a template is no text.
    ValueError
        If an argument does not go with the models; the message says which.

    See Also
    --------
    sm_lmer.tables.options.options : Defaults for a block of code.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.tables.modelsummary import modelsummary
    >>> data = sml.datasets.load_sleepstudy()
    >>> models = {
    ...     "Intercepts": sml.lmer("Reaction ~ Days + (1 | Subject)", data).fit(),
    ...     "Slopes": sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit(),
    ... }
    >>> modelsummary(models, statistic="conf_int", fmt=2, gof_map=["nobs", "icc"])
    ================================================================
                                     Intercepts          Slopes
    ----------------------------------------------------------------
    Intercept                         251.41            251.41
                                  [231.23, 271.58]  [237.01, 265.80]
    Days                               10.47             10.47
                                    [8.88, 12.06]     [7.21, 13.73]
    ----------------------------------------------------------------
    Random effects
    SD (Intercept Subject)             37.12             24.74
    SD (Days Subject)                                     5.92
    Cor (Intercept~Days Subject)                          0.07
    SD (Observations)                  30.99             25.59
    ----------------------------------------------------------------
    Num.Obs.                          180               180
    ICC                                 0.589             0.722
    ================================================================
    Fitted by REML.
    Degrees of freedom: Satterthwaite.

    Statistics side by side, with the degrees of freedom of Kenward and Roger:

    >>> modelsummary(
    ...     models["Slopes"],
    ...     ddf="kenward-roger",
    ...     shape="statistics_in_columns",
    ...     statistic=["std_error", "df", "p_value"],
    ...     effects="fixed",
    ...     gof_map=[],
    ... )
    =========================================
                            (1)
               ------------------------------
                Est.    S.E.     df      p
    -----------------------------------------
    Intercept  251.405  6.825  17.000  <0.001
    Days        10.467  1.546  17.000  <0.001
    =========================================
    Fitted by REML.
    Degrees of freedom: Kenward-Roger.
    """
    given = {
        name: value
        for name, value in locals().items()
        if name not in ("models", "output") and value is not DEFAULT
    }
    _check_output(output)
    options = requested(**given)
    panels = gathered(models, {name: getattr(options, name) for name in PER_MODEL})
    filled: dict[str, list[Model]] = {}
    for panel, columns in panels.items():
        level = _level(options, len(columns))
        filled[panel] = [_model(column, options, level) for column in columns]
    table = _modeltable(filled, options)
    if output is None:
        return table
    if output in FORMATS:
        return table.as_format(str(output))
    return table.save(output)


def _check_output(output: str | Path | None) -> None:
    """Raise ValueError before any work if there is no such format."""
    if output is None or output in FORMATS:
        return
    if Path(output).suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"unknown output {str(output)!r}; use one of {', '.join(FORMATS)}, or a "
            f"path that ends in one of {', '.join(SUFFIXES)}."
        )


def _modeltable(panels: Mapping[str, Sequence[Model]], options: Options) -> ModelTable:
    if list(panels) == [""]:
        table = lay_out(panels[""], options)
    else:
        table = lay_out_panels(panels, options)
    named = [
        (
            {"panel": panel, "model": model.name} if panel else {"model": model.name},
            model,
        )
        for panel, models in panels.items()
        for model in models
    ]
    raw = pd.concat([model.tidy for _, model in named], ignore_index=True)
    sizes = [len(model.tidy) for _, model in named]
    for place, column in enumerate(named[0][0]):
        raw.insert(place, column, np.repeat([own[column] for own, _ in named], sizes))
    gof = pd.DataFrame([{**own, **model.glance} for own, model in named])
    return ModelTable(table, raw, gof, options.theme)


def _model(column: Column, options: Options, level: float | None) -> Model:
    """What the table needs to know of a model, and no more."""
    if isinstance(column.result, TidyModel):
        return _of_numbers(column, options)
    metrics = options.metrics
    if options.gof_map is not None and metrics == "default":
        metrics = "all"
    frame = tidy(
        column.result,
        effects=options.effects,
        conf_level=level,
        ci_method=options.ci_method,
        re_scale=options.re_scale,
        ddf=column.ddf,
        exponentiate=column.exponentiate,
        vcov=column.vcov,
    )
    statistics = check_glance(
        glance(
            column.result,
            metrics=metrics,
            ddf=column.ddf,
            vcov=column.vcov,
            likelihood=options.likelihood,
        ),
        column.name,
    )
    said = notes_of(column.result, ddf=column.ddf, vcov=column.vcov)
    if _is_exponentiated(column):
        said = (*said, "Coefficients are exponentiated.")
    return Model(column.name, frame, _with_own(statistics, column, options), said)


def _level(options: Options, count: int) -> float | None:
    """The level of the intervals, if a template names them."""
    named = INTERVALS & columns_named(options, count)
    if named and options.conf_level is None:
        raise ValueError(
            f"a template names {min(named)}, but conf_level is None; give a level such "
            "as 0.95."
        )
    return options.conf_level if named else None


def _of_numbers(column: Column, options: Options) -> Model:
    """A model given by its numbers, of which nothing else can be computed."""
    model: TidyModel = column.result
    if column.vcov is not None:
        raise ValueError(
            f"{column.name} is a TidyModel, which has no other covariance; pass vcov "
            "for the other models, as a mapping by name."
        )
    frame = (
        tidy(model, effects=options.effects, exponentiate=column.exponentiate)
        if column.exponentiate is True
        else model.part(options.effects)
    )
    statistics = _with_own(model.glance, column, options)
    return Model(column.name, frame, statistics, tuple(model.notes))


def _is_exponentiated(column: Column) -> bool:
    if column.exponentiate == "auto":
        return extractor_of(column.result).link(column.result) in LOG_LINKS
    return bool(column.exponentiate)


def _with_own(
    statistics: Mapping[str, Any], column: Column, options: Options
) -> dict[str, Any]:
    """The statistics with those of the caller's functions."""
    out = dict(statistics)
    given = options.gof_function
    if given is None:
        return out
    for function in given if isinstance(given, (list, tuple)) else [given]:
        out.update(check_glance(function(column.result), column.name))
    return out


__all__ = ["DEFAULT", "modelsummary"]
