"""What fails, or fails silently, in statsmodels' MixedLM works here."""

from __future__ import annotations

import pickle
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from statsmodels.stats.anova import anova_lm
from statsmodels.tools.sm_exceptions import MissingDataError

import sm_lmer.api as sml
from sm_lmer import mixedlm_names as names

mixedlm = sml.LMER.from_formula


@cache
def growth() -> pd.DataFrame:
    """Thirty groups of six rows, x and z numbers, f a factor between groups."""
    rng = np.random.default_rng(11)
    n, groups = 180, 30
    data = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n)})
    data["g"] = np.repeat(np.arange(groups), n // groups)
    data["f"] = np.array(["p", "q", "r"])[data["g"] % 3]
    data["half"] = np.arange(n) % 2
    effects = rng.normal(size=(groups, 2))[data["g"]]
    data["y"] = 1 + 0.4 * data["x"] + (data["f"] == "q") + effects[:, 0]
    data["y"] += effects[:, 1] * data["z"] + rng.normal(size=n)
    return data


@cache
def fit(reml: bool = True, formula: str = "y ~ x + f", **arguments):
    return mixedlm(formula, growth(), groups=growth()["g"]).fit(reml=reml, **arguments)


# -- contrasts ------------------------------------------------------------------------


def test_t_test_of_a_string():
    test = fit().t_test("x = 0")
    assert_allclose(test.effect, fit().params["x"])
    assert_allclose(test.pvalue, fit().pvalues["x"])


def test_t_test_of_rows():
    test = fit().t_test([[0, 0, 0, 1], [0, 1, -1, 0]])
    params = fit().params
    expected = [params["x"], params["f[T.q]"] - params["f[T.r]"]]
    assert_allclose(test.effect, expected)
    assert_allclose(fit().t_test([0, 0, 0, 1]).tvalue, fit().tvalues["x"])


def test_wald_test_of_rows():
    rows = np.eye(4)[1:3]
    test = fit().wald_test(rows, scalar=True)
    cov = np.asarray(fit().cov_params())[1:3, 1:3]
    beta = np.asarray(fit().params)[1:3]
    assert_allclose(test.statistic, beta @ np.linalg.solve(cov, beta) / 2)
    assert test.df_num == 2
    assert_allclose(fit().f_test(rows).pvalue, test.pvalue)


def test_pairs_of_levels():
    table = fit().t_test_pairwise("f").result_frame
    assert list(table.index) == ["q-p", "r-p", "r-q"]
    params = fit().params
    expected = [params["f[T.q]"], params["f[T.r]"]]
    expected.append(params["f[T.r]"] - params["f[T.q]"])
    assert_allclose(table["coef"], expected)
    least = table["P>|t|"].min()
    assert_allclose(table["pvalue-hs"].min(), 1 - (1 - least) ** 3)


# -- anova ----------------------------------------------------------------------------


@pytest.mark.parametrize("typ", [1, 2, 3])
def test_anova_lm(typ):
    table = anova_lm(fit(), typ=typ)
    last = fit().wald_test("f[T.q] = 0, f[T.r] = 0", scalar=True)
    assert_allclose(table.loc["f", "F"], last.statistic)
    assert_allclose(table.loc["f", "PR(>F)"], last.pvalue, rtol=1e-5)
    if typ > 1:  # typ 1 tests x, written first, without f
        assert_allclose(table.loc["x", "F"], fit().tvalues["x"] ** 2)
    assert_allclose(table.loc[["f", "x"], "df"], [2, 1])


# -- summaries, comparisons and criteria ----------------------------------------------


def test_summary2():
    text = str(fit().summary2())
    assert "f[T.q]" in text
    assert "P>|t|" in text


def test_likelihood_ratio():
    smaller = fit(reml=False, formula="y ~ f")
    test = fit(reml=False).compare_lr_test(smaller)
    statistic, pvalue, df = test
    assert_allclose(statistic, 2 * (fit(reml=False).llf - smaller.llf))
    assert 0 < pvalue < 1
    assert df == 1


@pytest.mark.parametrize("reml", [True, False])
def test_criteria_are_numbers(reml):
    results = fit(reml=reml)
    assert results.df_model == 3
    assert results.df_resid == 180 - 4
    assert_allclose(results.aic, -2 * results.llf + 2 * 6)
    assert_allclose(results.bic, -2 * results.llf + np.log(180) * 6)


# -- prediction -----------------------------------------------------------------------


def test_predict_is_fittedvalues():
    assert_allclose(fit().predict(), fit().fittedvalues)
    assert_allclose(growth()["y"] - fit().predict(), fit().resid)


def test_get_prediction():
    frame = fit().get_prediction().summary_frame()
    assert_allclose(frame["mean"], fit().predict())
    assert (frame["mean_se"] > 0).all()
    assert (frame["obs_ci_lower"] < frame["mean_ci_lower"]).all()


# -- use_t ----------------------------------------------------------------------------


def test_use_t():
    assert fit().use_t
    normal = fit(use_t=False)
    assert not normal.use_t
    assert normal.pvalues["x"] < fit().pvalues["x"]
    narrow = np.diff(normal.conf_int().loc["x"])
    assert narrow < np.diff(fit().conf_int().loc["x"])


# -- subset and missing values --------------------------------------------------------


def test_subset_is_honoured():
    data = growth()
    chosen = data["half"] == 0
    results = mixedlm("y ~ x", data, groups=data["g"], subset=chosen).fit()
    assert results.nobs == 90
    again = mixedlm("y ~ x", data[chosen], groups="g").fit()
    assert_allclose(results.params, again.params)
    assert_allclose(results.theta, again.theta)


def with_gaps() -> pd.DataFrame:
    """Every role has one missing value of its own; as in statsmodels' own test."""
    data = growth()[["y", "g", "x", "z"]].astype(float)
    for row, column in enumerate(data.columns):
        data.loc[7 * row + 1, column] = np.nan
    return data


@pytest.mark.parametrize("exog_re", [None, ["z"]])
def test_arrays_with_missing_values(exog_re):
    """Issue 7978."""
    data = with_gaps()
    roles = ["y", "g", "x", *(exog_re or [])]
    complete = data[roles].dropna()

    def arrays(frame, **options):
        columns = None if exog_re is None else frame[exog_re].to_numpy()
        exog = np.column_stack([np.ones(len(frame)), frame["x"]])
        y, groups = frame["y"].to_numpy(), frame["g"].to_numpy()
        return sml.LMER(y, exog, groups, columns, **options)

    dropped = arrays(data, missing="drop")
    assert dropped.nobs == len(complete) == 180 - len(roles)
    expected = arrays(complete).fit()
    assert_allclose(dropped.fit().params, expected.params)
    assert_allclose(dropped.fit().bse, expected.bse)
    with pytest.raises(MissingDataError, match="missing='drop'"):
        arrays(data)


@pytest.mark.parametrize("re_formula", [None, "1 + z"])
@pytest.mark.parametrize("vc_formula", [None, {"a": "0 + z"}])
@pytest.mark.filterwarnings("ignore::sm_lmer.errors.SingularFitWarning")
def test_formulas_with_missing_values(re_formula, vc_formula, formula_engine):
    if re_formula and vc_formula:
        vc_formula = {"a": "0 + x"}
    data = with_gaps()
    uses_z = bool(re_formula or vc_formula)
    complete = data.drop(columns=[] if uses_z else ["z"]).dropna()
    arguments = {"re_formula": re_formula, "vc_formula": vc_formula}
    expected = mixedlm("y ~ x", complete, groups="g", **arguments).fit()
    for missing in ({}, {"missing": "drop"}):
        results = mixedlm("y ~ x", data, groups="g", **arguments, **missing).fit()
        assert results.nobs == len(complete)
        assert_allclose(results.params, expected.params)
        assert_allclose(results.bse, expected.bse)
        assert_allclose(results.theta, expected.theta, atol=1e-7)


@pytest.mark.parametrize("missing", ["none", "raise"])
def test_missing_values_are_named(missing, formula_engine):
    """patsy's error names neither the column nor the remedy."""
    data = growth().copy()
    data.loc[3, "x"] = np.nan
    with pytest.raises(MissingDataError, match=r"column 'x' \(1 row\).*missing='drop'"):
        mixedlm("y ~ x", data, groups="g", missing=missing)
    whole = mixedlm("y ~ x", growth(), groups="g", missing=missing)
    assert whole.nobs == 180


def test_a_repeated_index():
    data = growth()
    vc = {"a": "0 + C(half)", "b": "0 + z"}
    repeated = data.set_axis(np.arange(len(data)) % 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        expected = mixedlm("y ~ x", data, groups="g", vc_formula=vc).fit()
        for groups in ("g", repeated["g"], repeated["g"].to_numpy()):
            model = mixedlm("y ~ x", repeated, groups=groups, vc_formula=vc)
            results = model.fit()
            assert_allclose(results.params, expected.params)
            assert_allclose(names.vcomp(results), names.vcomp(expected), atol=1e-7)


# -- pickles --------------------------------------------------------------------------


def test_remove_data_shrinks_the_pickle():
    rng = np.random.default_rng(5)
    n = 20_000
    data = pd.DataFrame({"x": rng.normal(size=n), "g": np.arange(n) % 50})
    data["y"] = data["x"] + rng.normal(size=50)[data["g"]] + rng.normal(size=n)
    results = mixedlm("y ~ x", data, groups="g").fit()
    whole = len(pickle.dumps(results))
    marginal = results.predict(data[:5], re_form=False)
    results.remove_data()
    assert len(pickle.dumps(results)) < 0.5 * whole
    assert_allclose(results.predict(data[:5], re_form=False), marginal)


# -- wrong results that MixedLM gives silently ----------------------------------------


def balanced(between: float, seed: int = 2) -> pd.DataFrame:
    """Groups whose means differ by `between` beside the residuals' own.

    The residuals of each group have mean zero, so that without `between` the
    estimated variance of the groups is exactly zero.
    """
    rng = np.random.default_rng(seed)
    groups, rows = 24, 8
    residual = rng.normal(size=(groups, rows))
    residual -= residual.mean(axis=1, keepdims=True)
    data = pd.DataFrame({"g": np.repeat(np.arange(groups), rows)})
    data["treated"] = data["g"] % 2
    data["time"] = np.tile(np.arange(rows), groups)
    data["y"] = 5 + 2 * data["treated"] + 0.3 * data["time"] + residual.ravel()
    data["y"] += between * rng.normal(size=groups)[data["g"]]
    return data


@pytest.mark.filterwarnings("ignore::sm_lmer.errors.SingularFitWarning")
@pytest.mark.parametrize("between", [0.0, 1e-8, 1e-6, 1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("method", ["bfgs", "lbfgs"])
def test_no_fixed_effect_vanishes_with_the_variance(between, method):
    """Issue 10239: effects between groups became 0.0 at a variance below 1e-10."""
    data = balanced(between)
    results = mixedlm("y ~ treated * time", data, groups="g").fit(method=method)
    X = results.model.exog
    least_squares = np.linalg.lstsq(X, data["y"], rcond=None)[0]
    # a balanced design: generalised and ordinary least squares are the same
    assert_allclose(results.params, least_squares, rtol=1e-6)
    assert abs(results.params["Intercept"] - 5) < 1 + 2 * between
    if between <= 1e-2:
        assert results.singular
        assert_allclose(names.cov_re(results), 0, atol=1e-12)


@pytest.mark.filterwarnings("ignore::sm_lmer.errors.SingularFitWarning")
def test_no_fixed_effect_vanishes_with_a_component():
    """The same for variance components, which pull request 10242 adds."""
    data = balanced(0.0)
    vc = {"g": "0 + C(g)"}
    ones = np.ones(len(data))
    results = mixedlm("y ~ treated", data, groups=ones, vc_formula=vc).fit()
    means = data.groupby("treated")["y"].mean()
    assert_allclose(results.params, [means[0], means[1] - means[0]], rtol=1e-7)
    assert_allclose(names.vcomp(results), 0, atol=1e-12)


def dense_criterion(y, X, blocks, scale, reml):
    """The (restricted) deviance at given variances, with all matrices written out."""
    V = scale * np.eye(len(y)) + sum(v * Z @ Z.T for v, Z in blocks)
    inverse = np.linalg.inv(V)
    F = X.T @ inverse @ X
    residual = y - X @ np.linalg.solve(F, X.T @ inverse @ y)
    value = np.linalg.slogdet(V)[1] + residual @ inverse @ residual
    if reml:
        value += np.linalg.slogdet(F)[1]
    return value + (len(y) - reml * X.shape[1]) * np.log(2 * np.pi)


def test_crossed_effects_are_those_of_the_data():
    """Issue 9279: items and subjects crossed, within schools that mean nothing.

    MixedLM's variance components are made within groups, so that items of different
    schools share nothing; bars, or one group of all rows, say what was meant.
    """
    rng = np.random.default_rng(9)
    subjects, items = 30, 20
    data = pd.DataFrame(
        {
            "subject": np.repeat(np.arange(subjects), items),
            "item": np.tile(np.arange(items), subjects),
        }
    )
    data["school"] = data["subject"] % 3
    data["x"] = rng.normal(size=len(data))
    data["y"] = 1 + data["x"] + 2 * rng.normal(size=subjects)[data["subject"]]
    data["y"] += rng.normal(size=items)[data["item"]] + rng.normal(size=len(data))
    bars = sml.lmer("y ~ x + (1 | item) + (1 | subject)", data).fit()
    vc = {"id1": "0 + C(item)", "id2": "0 + C(subject)"}
    one_group = mixedlm("y ~ x", data, groups=np.ones(len(data)), vc_formula=vc).fit()
    assert_allclose(names.vcomp(one_group), names.vcomp(bars)[["item", "subject"]])
    blocks = [
        (names.vcomp(bars)[name], np.equal.outer(data[name].to_numpy(), np.arange(k)))
        for name, k in (("item", items), ("subject", subjects))
    ]
    X, y = bars.model.exog, data["y"].to_numpy()
    best = dense_criterion(y, X, blocks, bars.scale, reml=True)
    assert_allclose(best, bars.remlcrit, rtol=1e-10)
    for k in range(2):
        for factor in (0.9, 1.1):
            other = list(blocks)
            other[k] = (factor * blocks[k][0], blocks[k][1])
            assert dense_criterion(y, X, other, bars.scale, reml=True) > best
    within = mixedlm("y ~ x", data, groups="school", vc_formula=vc).fit()
    assert within.model.lmer_formula == (
        "y ~ x + (1 | school:item) + (1 | school:subject)"
    )
    assert within.llf < bars.llf


@pytest.mark.filterwarnings("ignore::sm_lmer.errors.SingularFitWarning")
@pytest.mark.parametrize("method", ["bfgs", "cg", "lbfgs", "powell"])
def test_two_groups_with_slopes_converge(method):
    """Issue 3604: the reporter's data, on which results differed by Python version."""
    rng = np.random.RandomState(0)
    parts = []
    for group, slope in ((1.0, 3), (2.0, 2)):
        x = rng.normal(size=100)
        y = slope * x + rng.normal(size=100)
        parts.append(pd.DataFrame({"x": x, "y": y, "id": group}))
    data = pd.concat(parts, ignore_index=True)
    model = mixedlm("y ~ x", data, groups=data["id"], re_formula="~ x")
    results = model.fit(method=method)
    assert results.converged
    reference = model.fit()
    assert_allclose(results.llf, reference.llf, rtol=1e-8)
    assert_allclose(results.params, reference.params, atol=1e-4)
    assert_allclose(results.params["x"], 2.65, atol=0.1)
    rng = np.random.default_rng(0)
    for _ in range(30):  # no other covariance is better
        theta = reference.theta + 0.3 * rng.normal(size=3)
        assert model.criterion(theta) >= reference.remlcrit - 1e-9


@pytest.mark.filterwarnings("ignore::sm_lmer.errors.SingularFitWarning")
def test_singular_covariances_have_random_effects():
    """MixedLM: "Cannot predict random effects from singular covariance structure"."""
    results = mixedlm("y ~ treated", balanced(0.0), groups="g", re_formula="1").fit()
    effects = names.random_effects(results)
    assert len(effects) == 24
    assert all(abs(value) < 1e-6 for series in effects.values() for value in series)
