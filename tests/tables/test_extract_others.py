"""Results of other packages in tidy and glance: their own numbers are the reference."""

from __future__ import annotations

import copy
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from registry import dataset
from scipy import stats

from sm_lmer.tables.modelsummary import modelsummary
from sm_lmer.tables.tidy import glance, tidy


def imported(module, what):
    """A package, or a skipped test that says what is not tested without it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(
            module, reason=f"reading results of {what} is tested where it is installed"
        )


@cache
def panel():
    """Thirty firms in six years."""
    rng = np.random.default_rng(7)
    firms, years = 30, 6
    index = pd.MultiIndex.from_product(
        [range(firms), range(years)], names=["firm", "year"]
    )
    n = firms * years
    out = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n)}, index=index)
    out["w"] = out.x + out.z + rng.normal(size=n)
    effect = rng.normal(size=firms).repeat(years)
    out["y"] = 1 + 0.5 * out.x + effect + rng.normal(size=n)
    out["count"] = rng.poisson(np.exp(0.3 * out.x))
    out["binary"] = (out.y > 1).astype(float)
    return out


def check_distribution(frame, p_values):
    """The degrees of freedom are those by which the package tests."""
    found = 2 * stats.t.sf(np.abs(frame.statistic), frame.df)
    assert_allclose(found, p_values, rtol=1e-8, atol=1e-14)
    assert_allclose(frame.statistic, frame.estimate / frame.std_error)


# linearmodels ------------------------------------------------------------------------


def panel_fits():
    """Fits of linearmodels by name."""
    linear = imported("linearmodels", "linearmodels")
    data, flat = panel(), panel().reset_index()
    between = linear.PanelOLS.from_formula("y ~ x + z + EntityEffects", data)
    return {
        "fixed": between.fit(cov_type="clustered", cluster_entity=True),
        "random": linear.RandomEffects.from_formula("y ~ 1 + x", data).fit(),
        "pooled": linear.PooledOLS.from_formula("y ~ 1 + x", data).fit(),
        "means": linear.FamaMacBeth.from_formula("y ~ 1 + x", data).fit(),
        "2sls": linear.IV2SLS.from_formula("y ~ 1 + z + [x ~ w]", flat).fit(),
        "small": linear.IV2SLS.from_formula("y ~ 1 + z + [x ~ w]", flat).fit(
            debiased=True
        ),
        "absorbed": linear.AbsorbingLS(
            flat.y, flat[["x"]], absorb=flat[["firm", "year"]].astype("category")
        ).fit(),
    }


LINEAR = ("fixed", "random", "pooled", "means", "2sls", "small", "absorbed")


@pytest.mark.parametrize("name", LINEAR)
def test_coefficients_of_linearmodels(name):
    res = panel_fits()[name]
    frame = tidy(res, conf_level=0.9)
    assert frame.term.to_list() == list(res.params.index)
    assert_allclose(frame.estimate, res.params)
    assert_allclose(frame.std_error, res.std_errors)
    check_distribution(frame, res.pvalues)
    assert_allclose(frame[["conf_low", "conf_high"]], res.conf_int(level=0.9))


def test_statistics_of_panels():
    fits = panel_fits()
    fixed, random, pooled = (
        glance(fits[n]).iloc[0] for n in ("fixed", "random", "pooled")
    )
    assert fixed.nobs == 180
    assert fixed.ngroups_firm == 30
    assert fixed["FE: firm"] == "X"
    assert "FE: year" not in fixed
    assert fixed.vcov_type == "Clustered"
    assert_allclose(random.r2_within, fits["random"].rsquared_within)
    assert "r2_within" not in pooled
    # without the firms' means, the slopes are those of least squares
    data = panel()
    centred = data - data.groupby("firm").transform("mean")
    x, y = centred[["x", "z"]].to_numpy(), centred.y.to_numpy()
    residuals = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    assert_allclose(fixed.rmse, np.sqrt(np.mean(residuals**2)))


def test_fixed_effects_of_a_column():
    linear = imported("linearmodels", "linearmodels")
    data = panel().assign(state=lambda d: d.index.get_level_values("firm") % 5)
    model = linear.PanelOLS(data.y, data[["x"]], other_effects=data[["state"]])
    assert glance(model.fit()).loc[0, "FE: state"] == "X"


def test_statistics_of_instrumental_variables():
    fits = panel_fits()
    values = glance(fits["2sls"]).iloc[0]
    assert (values.estimator, values.depvar) == ("IV-2SLS", "y")
    assert values.vcov_type == "Robust"
    assert_allclose(values.rmse, np.sqrt(np.mean(fits["2sls"].resids ** 2)))
    absorbed = glance(fits["absorbed"]).iloc[0]
    assert (absorbed["FE: firm"], absorbed["FE: year"]) == ("X", "X")


def test_other_covariances_of_linearmodels():
    fits = panel_fits()
    frame = tidy(fits["fixed"], vcov="robust")
    robust = fits["fixed"].model.fit(cov_type="robust")
    assert_allclose(frame.std_error, robust.std_errors)
    assert fits["fixed"].std_errors["x"] != frame.std_error.iloc[0]
    small = tidy(fits["small"], vcov="unadjusted")
    model = fits["small"].model
    usual = model.fit(cov_type="unadjusted", debiased=True)
    assert_allclose(small.std_error, usual.std_errors)
    check_distribution(small, usual.pvalues)


def test_equations_of_a_system_are_responses():
    linear = imported("linearmodels", "linearmodels")
    data = panel().reset_index(drop=True).assign(one=1.0)
    equations = {
        name: {"dependent": data[name], "exog": data[["one", x]]}
        for name, x in [("y", "x"), ("w", "z")]
    }
    res = linear.SUR(equations).fit(debiased=True)
    frame = tidy(res, conf_level=0.95)
    assert frame.response.to_list() == ["y", "y", "w", "w"]
    assert frame.term.to_list() == ["one", "x", "one", "z"]
    check_distribution(frame, res.pvalues)
    assert_allclose(frame[["conf_low", "conf_high"]], res.conf_int())


# pyfixest ----------------------------------------------------------------------------


@cache
def fixest_fits():
    pf = imported("pyfixest", "pyfixest")
    data = panel().reset_index()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba and others, of the package itself
        return {
            "ols": pf.feols("y ~ x + z | firm + year", data, vcov={"CRV1": "firm"}),
            "plain": pf.feols("y ~ x", data, vcov="HC1"),
            "iv": pf.feols("y ~ 1 | firm | x ~ w", data),
            "poisson": pf.fepois("count ~ x | firm", data),
            "logit": pf.feglm("binary ~ x", data, family="logit"),
        }


@pytest.mark.parametrize("name", ["ols", "plain", "iv", "poisson", "logit"])
def test_coefficients_of_pyfixest(name):
    res = fixest_fits()[name]
    expected = res.tidy()
    frame = tidy(res, conf_level=0.95)
    assert frame.term.to_list() == list(expected.index)
    assert_allclose(frame.estimate, expected["Estimate"])
    assert_allclose(frame.std_error, expected["Std. Error"])
    check_distribution(frame, expected["Pr(>|t|)"])
    assert_allclose(frame[["conf_low", "conf_high"]], expected[["2.5%", "97.5%"]])


def test_statistics_of_pyfixest():
    fits = fixest_fits()
    values = glance(fits["ols"]).iloc[0]
    assert values[["FE: firm", "FE: year"]].to_list() == ["X", "X"]
    assert (values.vcov_type, values.depvar, values.nobs) == ("by: firm", "y", 180)
    assert 0 < values.r2_within < values.r2 < 1
    plain = glance(fits["plain"]).iloc[0]
    assert plain.vcov_type == "HC1"
    assert not [name for name in plain.index if name.startswith("FE:")]
    poisson = glance(fits["poisson"]).iloc[0]
    assert "r2" not in poisson
    assert poisson.estimator == "Poisson"
    assert glance(fits["iv"]).iloc[0].estimator == "IV"


def test_another_covariance_leaves_a_fit_of_pyfixest_alone():
    res = fixest_fits()["plain"]
    before = copy.deepcopy({k: v for k, v in vars(res).items() if k.startswith("_v")})
    frame = tidy(res, vcov="iid")
    design = np.column_stack([np.ones(180), panel().x])
    y = panel().y.to_numpy()
    beta, rss = np.linalg.lstsq(design, y, rcond=None)[:2]
    variance = rss[0] / 178 * np.linalg.inv(design.T @ design)
    assert_allclose(frame.std_error, np.sqrt(np.diag(variance)))
    assert_allclose(frame.estimate, beta)
    assert_allclose(res._vcov, before["_vcov"])
    assert res._vcov_type_detail == before["_vcov_type_detail"] == "HC1"
    assert_allclose(res.tidy()["Std. Error"], tidy(res).std_error)


def test_ratios_of_pyfixest():
    fits = fixest_fits()
    rate = tidy(fits["poisson"], exponentiate="auto").estimate[0]
    assert_allclose(rate, np.exp(fits["poisson"].coef()["x"]))
    slope = tidy(fits["plain"], exponentiate="auto").estimate[1]
    assert_allclose(slope, fits["plain"].coef()["x"])


def test_covariances_that_pyfixest_cannot_give():
    pf, data = imported("pyfixest", "pyfixest"), panel().reset_index()
    with pytest.raises(ValueError, match="has no covariance 'HC9'; use one of iid"):
        tidy(fixest_fits()["plain"], vcov="HC9")
    lean = pf.feols("y ~ x", data, store_data=False, lean=True)
    assert_allclose(tidy(lean).estimate, tidy(fixest_fits()["plain"]).estimate)
    with pytest.raises(ValueError, match="needs the data, which this fit"):
        tidy(lean, vcov="HC1")
    with pytest.raises(ValueError, match="has fixed effects and no coefficients"):
        tidy(pf.feols("y ~ 1 | firm", data))


def test_several_models_of_pyfixest_are_not_one():
    pf = imported("pyfixest", "pyfixest")
    several = pf.feols("y + w ~ x", panel().reset_index())
    with pytest.raises(TypeError, match=r"pass its models, fit\.to_list\(\)\."):
        tidy(several)
    assert modelsummary(several.to_list()).table.width == 2


def test_panels_of_two_packages_agree():
    fixed, ours = panel_fits()["fixed"], fixest_fits()["ols"]
    one_way = imported("pyfixest", "pyfixest").feols(
        "y ~ x + z | firm", panel().reset_index()
    )
    first, second = glance(fixed).iloc[0], glance(one_way).iloc[0]
    assert_allclose(first.rmse, second.rmse)
    assert_allclose(first.r2_within, second.r2_within)
    table = modelsummary({"linearmodels": fixed, "pyfixest": ours})
    marks = {
        row.stub[0]: [cell.text for cell in row.cells]
        for part in table.table.sections
        for row in part.rows
    }
    assert marks["FE: firm"] == ["X", "X"]
    assert marks["FE: year"] == ["", "X"]


# lifelines ---------------------------------------------------------------------------


def recidivism():
    from lifelines.datasets import load_rossi

    return load_rossi()[["week", "arrest", "fin", "age", "prio"]]


@cache
def durations():
    lifelines = imported("lifelines", "lifelines")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the package
        data = recidivism()
        return {
            "cox": lifelines.CoxPHFitter().fit(data, "week", "arrest"),
            "robust": lifelines.CoxPHFitter().fit(data, "week", "arrest", robust=True),
            "aft": lifelines.WeibullAFTFitter().fit(data, "week", "arrest"),
            "weibull": lifelines.WeibullFitter().fit(data.week, data.arrest),
        }


@pytest.mark.parametrize("name", ["cox", "robust", "aft", "weibull"])
def test_coefficients_of_lifelines(name):
    res = durations()[name]
    expected = res.summary
    frame = tidy(res, conf_level=0.95)
    assert_allclose(frame.estimate, expected["coef"])
    assert_allclose(frame.p_value, expected["p"])
    ends = expected[["coef lower 95%", "coef upper 95%"]]
    assert_allclose(frame[["conf_low", "conf_high"]], ends)


def test_second_parameters_of_lifelines_are_apart():
    frame = tidy(durations()["aft"], exponentiate="auto").set_index("component")
    plain = durations()["aft"].params_
    assert set(frame.index) == {"conditional", "rho_"}
    assert_allclose(frame.loc["rho_", "estimate"], plain["rho_"]["Intercept"])
    age = frame[frame.term == "age"].loc["conditional", "estimate"]
    assert_allclose(age, np.exp(plain["lambda_"]["age"]))


def test_statistics_of_lifelines():
    fits = durations()
    cox = glance(fits["cox"]).iloc[0]
    assert (cox.nobs, cox.nevents) == (432, 114)
    assert_allclose(cox.aic, fits["cox"].AIC_partial_)
    assert "bic" not in cox
    assert glance(fits["robust"]).iloc[0].vcov_type == "Robust"
    weibull = glance(fits["weibull"]).iloc[0]
    assert_allclose(weibull.bic, fits["weibull"].BIC_)
    aft = glance(fits["aft"]).iloc[0]
    assert_allclose(aft.aic, fits["aft"].AIC_)
    # all five parameters count
    assert_allclose(aft.bic - aft.aic, 5 * (np.log(432) - 2))


def test_lifelines_without_a_fit():
    lifelines = imported("lifelines", "lifelines")
    with pytest.raises(ValueError, match="CoxPHFitter is not fitted; call"):
        tidy(lifelines.CoxPHFitter())
    with pytest.raises(TypeError, match="nothing knows how to read lifelines"):
        tidy(lifelines.KaplanMeierFitter())


# Other conventions -------------------------------------------------------------------


class Hooked:
    """A result with maketables' hooks."""

    params = bse = pvalues = np.array([100.0])  # not what the hooks say

    @property
    def __maketables_coef_table__(self):
        values = [[0.5, 0.1, 5.0, 2 * stats.norm.sf(5.0), 0.2, 0.8]]
        names = ["b", "se", "t", "p", "ci95l", "ci95u"]
        return pd.DataFrame(values, index=["x"], columns=names)

    def __maketables_stat__(self, key):
        return {"N": 40, "adj_r2": 0.25, "ncl": 7}[key]

    __maketables_default_stat_keys__ = ["N", "ncl"]
    __maketables_stat_labels__ = {"ncl": "Clusters"}
    __maketables_depvar__ = "wage"
    __maketables_fixef_string__ = "firm+year"
    __maketables_var_labels__ = {"x": "Schooling"}


def test_hooks_of_maketables():
    frame = tidy(Hooked(), conf_level=0.95)
    assert frame.loc[0, ["term", "label"]].to_list() == ["x", "Schooling"]
    assert frame.loc[0, ["conf_low", "conf_high"]].to_list() == [0.2, 0.8]
    values = glance(Hooked()).iloc[0].to_dict()
    assert values == {
        "nobs": 40,
        "r2_adj": 0.25,
        "Clusters": 7,
        "depvar": "wage",
        "FE: firm": "X",
        "FE: year": "X",
    }


def test_intervals_of_another_level_are_not_those_of_the_hooks():
    frame = tidy(Hooked(), conf_level=0.9)
    half = stats.norm.ppf(0.95) * 0.1
    assert_allclose(frame[["conf_low", "conf_high"]], [[0.5 - half, 0.5 + half]])


class Tidy:
    """A result with broom's methods, in the manner of broom.mixed."""

    def tidy(self, effects="fixed", conf_int=False, conf_level=0.95):
        frame = pd.DataFrame(
            {
                "effect": ["fixed", "fixed", *["ran_pars"] * 4],
                "group": [None, None, "id", "id", "id", "Residual"],
                "term": [
                    "(Intercept)",
                    "x",
                    "sd__(Intercept)",
                    "sd__x",
                    "cor__(Intercept).x",
                    "sd__Observation",
                ],
                "estimate": [1.0, 2.0, 3.0, 4.0, 0.5, 6.0],
                "std.error": [0.1, 0.2, *[np.nan] * 4],
            }
        )
        if conf_int:
            frame["conf.low"] = frame.estimate - conf_level
            frame["conf.high"] = frame.estimate + conf_level
        return frame[
            frame.effect.isin([effects] if isinstance(effects, str) else effects)
        ]

    def glance(self):
        return pd.DataFrame({"nobs": [9], "logLik": [-3.5], "n_iter": [4]})


def test_methods_of_broom():
    frame = tidy(Tidy())
    keys = ["effect", "group", "type", "term", "term2"]
    assert frame[keys].to_numpy().tolist() == [
        ["fixed", "", "coef", "Intercept", ""],
        ["fixed", "", "coef", "x", ""],
        ["random", "id", "sd", "Intercept", ""],
        ["random", "id", "sd", "x", ""],
        ["random", "id", "cor", "Intercept", "x"],
        ["random", "Residual", "sd", "Observation", ""],
    ]
    assert glance(Tidy()).iloc[0].to_dict() == {"nobs": 9, "loglik": -3.5}


def test_methods_of_broom_are_asked_for_the_level():
    frame = tidy(Tidy(), conf_level=0.8, effects="fixed")
    assert_allclose(frame.conf_low, [0.2, 1.2])


def test_unknown_rows_of_a_random_part():
    res = Tidy()
    table = res.tidy(["fixed", "ran_pars"]).replace("sd__x", "tau.x")
    res.tidy = lambda: table
    with pytest.raises(ValueError, match=r"'tau\.x' of the random part is none"):
        tidy(res)


def test_mixedlm_beside_ours(fits):
    mixedlm = imported("mixedlm", "mixedlm")
    data = dataset("sleepstudy")
    theirs = tidy(mixedlm.lmer("Reaction ~ Days + (Days | Subject)", data))
    ours = tidy(fits("sleepstudy"))
    keys = ["effect", "group", "type", "term", "term2"]
    assert theirs[keys].to_numpy().tolist() == ours[keys].to_numpy().tolist()
    assert_allclose(theirs.estimate, ours.estimate, rtol=1e-3)


class Guessed:
    """A result of three attributes."""

    def __init__(self, df=None, index=None):
        estimate, error = np.array([1.0, -2.0]), np.array([0.5, 0.4])
        statistic = np.abs(estimate / error)
        tail = stats.norm.sf(statistic) if df is None else stats.t.sf(statistic, df)
        self.params = estimate if index is None else pd.Series(estimate, index)
        self.bse, self.pvalues = error, 2 * tail
        if df is not None:
            self.df_resid = df
        self.nobs = 12


@pytest.mark.parametrize("df", [None, 7])
def test_guessing_finds_the_distribution_and_warns(df):
    with pytest.warns(UserWarning, match="Guessed are read by their attributes params"):
        frame = tidy(Guessed(df, ["a", "b"]), conf_level=0.95)
    assert frame.term.to_list() == ["a", "b"]
    assert frame.df.to_list() == [np.inf if df is None else df] * 2
    q = stats.norm.ppf(0.975) if df is None else stats.t.ppf(0.975, df)
    assert_allclose(frame.conf_high, [1 + 0.5 * q, -2 + 0.4 * q])
    assert glance(Guessed(df)).loc[0, "nobs"] == 12


def test_p_values_of_an_unknown_distribution_give_no_intervals():
    res = Guessed()
    res.pvalues = res.pvalues * 0.5
    with pytest.warns(UserWarning, match="Guessed"):
        frame = tidy(res, conf_level=0.95)
    assert frame.term.to_list() == ["x1", "x2"]
    assert frame[["df", "conf_low", "conf_high"]].isna().to_numpy().all()
    assert_allclose(frame.p_value, res.pvalues)


def test_parameters_in_a_matrix_cannot_be_guessed():
    res = Guessed()
    res.params = np.ones((2, 2))
    with (
        pytest.warns(UserWarning, match="Guessed"),
        pytest.raises(TypeError, match="has 2 dimensions, not one; register"),
    ):
        tidy(res)


def test_nothing_knows_a_number():
    with pytest.raises(
        TypeError, match=r"how to read builtins\.float; pass .* register"
    ):
        tidy(1.5)
