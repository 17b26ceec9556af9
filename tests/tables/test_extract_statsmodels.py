"""tidy and glance of statsmodels' results, against themselves and against R."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pandas as pd
import pytest
import registry
import statsmodels.api as sm
import statsmodels.formula.api as smf
from numpy.testing import assert_allclose
from scipy import stats
from statsmodels.discrete.truncated_model import HurdleCountModel
from statsmodels.miscmodels.ordinal_model import OrderedModel
from statsmodels.othermod.betareg import BetaModel
from statsmodels.sandbox.regression.gmm import IV2SLS
from statsmodels.tsa.ar_model import AutoReg
from statsmodels.tsa.arima.model import ARIMA

import sm_lmer.api as sml
from sm_lmer.tables.tidy import augment, glance, notes_of, tidy

R = registry.reference("tidy")
FAMILY = sm.families


@functools.cache
def made_up():
    rng = np.random.default_rng(5)
    n = 240
    d = pd.DataFrame(rng.normal(size=(n, 3)), columns=["x", "z", "e"])
    d["g"] = np.repeat([f"g{k:02d}" for k in range(24)], 10)
    d["s"] = np.tile(np.repeat(["s1", "s2"], 5), 24)
    d["y"] = 1 + d["x"] + d["e"] + np.repeat(rng.normal(size=24), 10)
    d["y"] += np.repeat(rng.normal(size=48), 5)
    d["y"] += np.repeat(rng.normal(size=24), 10) * d["z"]
    d["b"] = (d["y"] + rng.normal(size=n) > 1).astype(int)
    d["c"] = rng.poisson(np.exp(0.3 * d["x"] + rng.normal(size=n)))
    d["m"] = np.searchsorted([0.0, 2.0], d["y"])
    d["level"] = np.array(["low", "mid", "top"])[d["m"]]
    d["p"] = 1 / (1 + np.exp(-d["y"]))
    return d


MAKERS = {
    "ols": lambda d: smf.ols("y ~ x + z", d).fit(),
    "ols_hc1": lambda d: smf.ols("y ~ x + z", d).fit(cov_type="HC1"),
    "ols_cluster": lambda d: smf.ols("y ~ x", d).fit(
        cov_type="cluster", cov_kwds={"groups": pd.factorize(d["g"])[0]}, use_t=True
    ),
    "ols_arrays": lambda d: smf.ols("y ~ x + z", d).fit().get_robustcov_results("HC1"),
    "wls": lambda d: smf.wls("y ~ x", d, weights=d["p"]).fit(),
    "gls": lambda d: sm.GLS(d["y"], sm.add_constant(d[["x"]])).fit(),
    "glm": lambda d: smf.glm("b ~ x", d, family=FAMILY.Binomial()).fit(),
    "glm_poisson": lambda d: smf.glm("c ~ x", d, family=FAMILY.Poisson()).fit(),
    "logit": lambda d: smf.logit("b ~ x", d).fit(disp=0),
    "probit": lambda d: smf.probit("b ~ x", d).fit(disp=0),
    "poisson": lambda d: smf.poisson("c ~ x", d).fit(disp=0),
    "negbin": lambda d: smf.negativebinomial("c ~ x", d).fit(disp=0),
    "gee": lambda d: smf.gee("b ~ x", "g", d, family=FAMILY.Binomial()).fit(),
    "quantreg": lambda d: smf.quantreg("y ~ x", d).fit(0.5),
    "rlm": lambda d: smf.rlm("y ~ x", d).fit(),
    "iv": lambda d: IV2SLS(
        d["y"], sm.add_constant(d[["x"]]), sm.add_constant(d[["x", "z"]])
    ).fit(),
    "arima": lambda d: ARIMA(d["y"], order=(1, 0, 0)).fit(),
    "autoreg": lambda d: AutoReg(d["y"], 1).fit(),
    "phreg": lambda d: sm.PHReg(np.exp(d["y"]), d[["x"]]).fit(),
    "beta": lambda d: BetaModel.from_formula("p ~ x", d).fit(disp=0),
    "mnlogit": lambda d: smf.mnlogit("m ~ x + z", d).fit(disp=0),
    "mnlogit_names": lambda d: sm.MNLogit(d["level"], sm.add_constant(d[["x"]])).fit(
        disp=0
    ),
    "ordered": lambda d: OrderedModel.from_formula("m ~ x + z", d, distr="logit").fit(
        disp=0, method="bfgs", gtol=1e-7
    ),
    "zip": lambda d: sm.ZeroInflatedPoisson(
        d["c"], sm.add_constant(d[["x"]]), exog_infl=sm.add_constant(d[["z"]])
    ).fit(disp=0, method="bfgs", maxiter=200),
    "zinb": lambda d: sm.ZeroInflatedNegativeBinomialP(
        d["c"], sm.add_constant(d[["x"]])
    ).fit(disp=0, method="bfgs", maxiter=500),
    "hurdle": lambda d: HurdleCountModel(
        d["c"], sm.add_constant(d[["x"]]), dist="negbin"
    ).fit(disp=0),
    "penalised": lambda d: smf.ols("y ~ x", d).fit_regularized(alpha=0.1),
    "mixed": lambda d: smf.mixedlm("y ~ x", d, groups="g").fit(),
    "mixed_ml": lambda d: smf.mixedlm("y ~ x", d, groups="g", re_formula="~ z").fit(
        reml=False
    ),
    "mixed_nested": lambda d: smf.mixedlm(
        "y ~ x", d, groups="g", re_formula="1", vc_formula={"s": "0 + C(s)"}
    ).fit(),
    "mixed_slope": lambda d: smf.mixedlm(
        "y ~ x", d, groups="g", re_formula="1", vc_formula={"z": "0 + z"}
    ).fit(),
}


@functools.cache
def made(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MAKERS[name](made_up())


def unwrapped(res):
    return getattr(res, "_results", res)


# -- against statsmodels' own numbers --------------------------------------------------

AS_THEY_ARE = [
    *("ols", "ols_hc1", "ols_cluster", "ols_arrays", "wls", "gls", "glm"),
    *("glm_poisson", "logit", "probit", "poisson", "gee", "quantreg", "rlm", "iv"),
    *("autoreg", "phreg"),
]


@pytest.mark.parametrize("name", AS_THEY_ARE)
def test_numbers_are_those_of_the_results(name):
    res = made(name)
    frame = tidy(res, conf_level=0.9)
    assert_allclose(frame["estimate"], res.params)
    assert_allclose(frame["std_error"], res.bse, rtol=1e-6)
    assert_allclose(frame["statistic"], res.tvalues, rtol=1e-6)
    assert_allclose(frame["p_value"], res.pvalues, rtol=1e-5)
    ends = np.asarray(res.conf_int(alpha=0.1))
    assert_allclose(frame[["conf_low", "conf_high"]], ends, rtol=1e-6)
    assert (frame["effect"] == "fixed").all()
    assert (frame["type"] == "coef").all()


@pytest.mark.parametrize("name", list(MAKERS))
def test_all_read_alike_wrapped_and_unwrapped_and_without_warnings(name):
    res = made(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame, row = tidy(res, conf_level=0.95), glance(res)
        notes_of(res)
    pd.testing.assert_frame_equal(tidy(unwrapped(res), conf_level=0.95), frame)
    pd.testing.assert_frame_equal(glance(unwrapped(res)), row)
    assert row["nobs"].item() == (239 if name == "autoreg" else 240)
    assert np.isfinite(frame["estimate"]).all()


@pytest.mark.parametrize("name", ["negbin", "arima", "beta"])
def test_parameters_of_scale_have_no_tests(name):
    res = made(name)
    frame = tidy(res, conf_level=0.95)
    last = frame.iloc[-1]
    assert (last["effect"], last["component"]) == ("auxiliary", "dispersion")
    assert last[["statistic", "p_value", "conf_low", "conf_high"]].isna().all()
    assert_allclose(frame["std_error"], res.bse)
    assert_allclose(frame["p_value"].iloc[:-1], np.asarray(res.pvalues)[:-1])


def test_columns_that_are_called_as_parameters_of_scale():
    d = made_up().rename(columns={"x": "alpha", "z": "sigma2"})
    for frame in (
        tidy(smf.ols("y ~ alpha + sigma2", d).fit()),
        tidy(smf.logit("b ~ alpha + sigma2", d).fit(disp=0)),
    ):
        assert (frame["effect"] == "fixed").all()
        assert frame["p_value"].notna().all()


def test_parts_of_models_of_zeros():
    frame = tidy(made("zip"))
    assert frame["term"].tolist() == ["const", "x", "const", "z"]
    assert frame["component"].tolist() == ["conditional"] * 2 + ["zi"] * 2
    params = np.asarray(made("zip").params)
    assert_allclose(frame["estimate"], params[[2, 3, 0, 1]])
    frame = tidy(made("zinb"))
    assert frame["component"].tolist() == ["conditional"] * 2 + ["dispersion", "zi"]
    frame = tidy(made("hurdle"))
    assert frame["component"].value_counts()["zero"] == 2
    assert (frame["effect"] == "auxiliary").sum() == sum(
        "alpha" in name for name in unwrapped(made("hurdle")).model.exog_names
    )


@pytest.mark.parametrize("name", ["mnlogit", "mnlogit_names"])
def test_outcomes(name):
    res = made(name)
    frame = tidy(res)
    levels = {"mnlogit": ["1", "2"], "mnlogit_names": ["mid", "top"]}[name]
    assert list(dict.fromkeys(frame["response"])) == levels
    for j, level in enumerate(levels):
        own = frame[frame["response"] == level]
        assert_allclose(own["estimate"], np.asarray(res.params)[:, j])
        assert_allclose(own["std_error"], np.asarray(res.bse)[:, j])
        assert_allclose(own["p_value"], np.asarray(res.pvalues)[:, j])


def test_thresholds_are_on_the_scale_of_the_latent_response():
    res = made("ordered")
    frame = tidy(res)
    own = frame[frame["component"] == "threshold"]
    expected = unwrapped(res).model.transform_threshold_params(np.asarray(res.params))
    assert_allclose(own["estimate"], expected[1:-1])
    assert own["term"].tolist() == list(res.params.index[2:])
    usual = frame[frame["component"] == "conditional"]
    assert_allclose(usual["std_error"], np.asarray(res.bse)[:2])


def test_penalised_fits_have_estimates_only():
    frame = tidy(made("penalised"), conf_level=0.95)
    assert frame.drop(columns="estimate").select_dtypes(float).isna().all(axis=None)
    with pytest.raises(ValueError, match="no standard errors"):
        tidy(made("penalised"), vcov=np.eye(2))


# -- against R -------------------------------------------------------------------------


def sleepstudy():
    d = registry.dataset("sleepstudy").copy()
    d["slow"] = (d["Reaction"] > 300).astype(int)
    d["grade"] = np.searchsorted([250.0, 300.0, 350.0], d["Reaction"])
    return d


def test_least_squares_of_r():
    case, d = R["linear"], sleepstudy()
    res = smf.ols("Reaction ~ Days", d).fit()
    frame, row = tidy(res, conf_level=0.9), glance(res).iloc[0]
    for column, key in [
        ("estimate", "estimate"),
        ("std_error", "se"),
        ("p_value", "p"),
        ("conf_low", "low"),
        ("conf_high", "high"),
    ]:
        assert_allclose(frame[column], case[key], rtol=1e-9)
    for name, se in case["hc"].items():
        other = tidy(res, vcov=name, conf_level=0.9)
        assert_allclose(other["std_error"], se, rtol=1e-9)
        half = stats.t.ppf(0.95, 178) * np.array(se)
        assert_allclose(other["conf_high"], frame["estimate"] + half)
    for key, theirs in [("r2", "r2"), ("r2_adj", "r2_adj"), ("f_statistic", "f")]:
        assert_allclose(row[key], case[theirs], rtol=1e-9)
    for key in ("sigma", "rmse"):
        assert_allclose(row[key], case[key], rtol=1e-9)
    clustered = tidy(res, vcov={"cluster": "Subject"})
    assert_allclose(clustered["std_error"], case["cluster"], rtol=1e-9)
    assert_allclose(clustered["df"], 17)
    assert_allclose(augment(res)[".hat"], case["hat"], rtol=1e-9)


@pytest.mark.parametrize("kind", ["glm", "logit"])
def test_logistic_regression_of_r(kind):
    case, d = R["logistic"], sleepstudy()
    if kind == "glm":
        res = smf.glm("slow ~ Days", d, family=FAMILY.Binomial()).fit(tol=1e-13)
    else:
        res = smf.logit("slow ~ Days", d).fit(disp=0, tol=1e-13)
    frame = tidy(res, conf_level=0.95, exponentiate="auto")
    assert_allclose(frame["estimate"], np.exp(case["estimate"]), rtol=1e-6)
    se = np.exp(case["estimate"]) * np.array(case["se"])
    assert_allclose(frame["std_error"], se, rtol=1e-6)
    assert_allclose(frame["p_value"], case["p"], rtol=1e-5)
    assert_allclose(frame["conf_low"], case["odds_low"], rtol=1e-6)
    assert_allclose(frame["conf_high"], case["odds_high"], rtol=1e-6)
    assert_allclose(tidy(res, vcov="HC0")["std_error"], case["hc0"], rtol=1e-6)
    row = glance(res, metrics="all").iloc[0]
    for key in ("rmse", "aic", "bic"):
        assert_allclose(row[key], case[key], rtol=1e-7)
    assert_allclose(row["r2_pseudo"], case["mcfadden"], rtol=1e-7)


def test_ordered_and_multinomial_models_of_r():
    case, d = R["graded"], sleepstudy()
    model = OrderedModel.from_formula("grade ~ Days", d, distr="logit")
    frame = tidy(model.fit(disp=0, method="bfgs", gtol=1e-8))
    theirs = case["ordered"]
    assert_allclose(frame["estimate"], [theirs["slope"], *theirs["thresholds"]], 1e-4)
    assert_allclose(frame["std_error"], theirs["se"], rtol=2e-3)
    frame = tidy(smf.mnlogit("grade ~ Days", d).fit(disp=0, tol=1e-12))
    theirs = case["multinomial"]
    pairs = np.ravel([theirs["intercept"], theirs["slope"]], order="F")
    assert_allclose(frame["estimate"], pairs, rtol=1e-4)
    assert_allclose(frame["std_error"], theirs["se"], rtol=1e-3)


# -- covariances -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "formula"), [("glm", "b ~ x"), ("logit", "b ~ x"), ("poisson", "c ~ x")]
)
@pytest.mark.parametrize("kind", ["HC0", "HC1"])
def test_robust_covariances_are_those_of_another_fit(name, formula, kind):
    d = made_up()
    maker = {"glm": smf.glm, "logit": smf.logit, "poisson": smf.poisson}[name]
    settings = {"family": FAMILY.Binomial()} if name == "glm" else {}
    quiet = {} if name == "glm" else {"disp": 0}
    again = maker(formula, d, **settings).fit(cov_type=kind, **quiet)
    frame = tidy(made(name), vcov=kind)
    assert_allclose(frame["std_error"], again.bse, rtol=1e-6)
    assert_allclose(frame["p_value"], again.pvalues, rtol=1e-5)
    assert glance(made(name), vcov=kind)["vcov_type"].item() == kind
    assert glance(again)["vcov_type"].item() == kind
    assert notes_of(made(name), vcov=kind) == notes_of(again)
    back = tidy(again, vcov="nonrobust")
    assert_allclose(back["std_error"], tidy(made(name))["std_error"], rtol=1e-6)
    assert made(name).cov_type == "nonrobust"


def test_clusters_by_column_or_labels():
    d = made_up()
    expected = made("ols_cluster").bse
    res = smf.ols("y ~ x", d).fit()
    for groups in ("g", d["g"], d["g"].to_numpy()):
        frame = tidy(res, vcov={"cluster": groups})
        assert_allclose(frame["std_error"], expected)
    assert_allclose(frame["df"], 23)


def test_matrices_in_the_order_of_the_parameters():
    for name in ("ols", "logit", "mnlogit", "negbin"):
        res = made(name)
        cov = np.asarray(res.cov_params())
        V = np.diag(np.arange(1.0, len(cov) + 1)) ** 2
        assert_allclose(tidy(res, vcov=V)["std_error"], np.arange(1.0, len(cov) + 1))
        doubled = tidy(res, vcov=lambda r: 4.0 * np.asarray(r.cov_params()))
        assert_allclose(doubled["std_error"], 2.0 * tidy(res)["std_error"])


def test_covariances_of_gee_and_of_series():
    gee = made("gee")
    naive = tidy(gee, vcov="naive")
    assert_allclose(naive["std_error"], np.sqrt(np.diag(gee.cov_naive)))
    assert "Working correlation: Independence." in notes_of(gee)
    with pytest.raises(ValueError, match="needs a fit with cov_type"):
        tidy(gee, vcov="bias_reduced")
    arima = made("arima")
    robust = tidy(arima, vcov="robust")
    assert_allclose(robust["std_error"], np.sqrt(np.diag(arima.cov_params_robust)))


@pytest.mark.parametrize(
    ("name", "vcov", "message"),
    [
        ("ols", "HC9", "choose one of HC0"),
        ("ols", "cluster", "needs groups"),
        ("ols", {"HC1": "g"}, "take none"),
        ("ols", {"cluster": "nowhere"}, "no column 'nowhere'"),
        ("ols", {"cluster": [1, 2]}, "240 rows used"),
        ("ols", np.eye(2), "has 3 coefficients"),
        ("mixed", "HC1", "not available for MixedLMResults"),
        ("quantreg", "HC1", "not available for QuantRegResults"),
        ("iv", "HC1", "not available for IVRegressionResults"),
        ("arima", "HC1", "choose one of approx"),
    ],
)
def test_covariances_that_there_are_not(name, vcov, message):
    with pytest.raises(ValueError, match=message):
        tidy(made(name), vcov=vcov)


# -- exponentiated coefficients --------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "ratios"),
    [
        *[(n, True) for n in ("glm", "glm_poisson", "logit", "poisson", "negbin")],
        *[(n, True) for n in ("gee", "mnlogit", "ordered", "phreg", "zip", "beta")],
        *[(n, False) for n in ("ols", "probit", "quantreg", "mixed", "arima", "iv")],
    ],
)
def test_exponentiate_by_link(name, ratios):
    res = made(name)
    usual, auto = (
        tidy(res, conf_level=0.9),
        tidy(res, conf_level=0.9, exponentiate="auto"),
    )
    always = tidy(res, conf_level=0.9, exponentiate=True)
    if not ratios:
        pd.testing.assert_frame_equal(auto, usual)
    else:
        pd.testing.assert_frame_equal(auto, always)
    rows = (usual["effect"] == "fixed").to_numpy()
    pd.testing.assert_frame_equal(always[~rows], usual[~rows])
    assert_allclose(always.loc[rows, "estimate"], np.exp(usual.loc[rows, "estimate"]))
    assert_allclose(always.loc[rows, "conf_low"], np.exp(usual.loc[rows, "conf_low"]))
    delta = np.exp(usual["estimate"]) * usual["std_error"]
    assert_allclose(always.loc[rows, "std_error"], delta[rows])
    assert_allclose(always["p_value"], usual["p_value"])


# -- MixedLM ---------------------------------------------------------------------------


def random_part(res, **settings):
    frame = tidy(res, effects="random", **settings)
    key = ["group", "type", "term", "term2"]
    return {tuple(row[k] for k in key): row["estimate"] for _, row in frame.iterrows()}


def test_variances_are_in_the_units_of_the_response():
    res = made("mixed")
    found = random_part(res, re_scale="var")
    assert list(found) == [
        ("g", "var", "Intercept", ""),
        ("Residual", "var", "Observation", ""),
    ]
    assert_allclose(list(found.values()), [res.cov_re.iloc[0, 0], res.scale])
    deviations = list(random_part(res).values())
    assert_allclose(deviations, np.sqrt(list(found.values())))


def test_mixed_models_read_as_lmer():
    d = made_up()
    pairs = {
        "mixed": sml.lmer("y ~ x + (1 | g)", d).fit(),
        "mixed_ml": sml.lmer("y ~ x + (1 + z | g)", d).fit(reml=False),
    }
    for name, lmer in pairs.items():
        ours, theirs = random_part(lmer), random_part(made(name))
        assert set(ours) == set(theirs)
        for key, value in ours.items():
            assert_allclose(theirs[key], value, rtol=5e-3, atol=5e-3)
        row, other = glance(made(name)).iloc[0], glance(lmer).iloc[0]
        for key in ("r2_marginal", "r2_conditional", "icc", "rmse", "ngroups_g"):
            assert_allclose(row[key], other[key], rtol=5e-3)
        fixed = tidy(made(name), effects="fixed")
        assert_allclose(fixed["std_error"], made(name).bse_fe)
    assert_allclose(made("mixed").bse_fe, pairs["mixed"].bse, rtol=1e-3)
    assert_allclose(glance(made("mixed_ml"))["aic"], pairs["mixed_ml"].aic, rtol=1e-6)
    assert "aic" not in glance(made("mixed"))


def test_variance_components_are_grouping_factors_or_slopes():
    d = made_up()
    lmer = sml.lmer("y ~ x + (1 | g) + (1 | g:s)", d).fit()
    expected = {k[0]: v for k, v in random_part(lmer).items()}
    found = random_part(made("mixed_nested"))
    assert_allclose(found["s", "sd", "Intercept", ""], expected["g:s"], rtol=1e-3)
    assert_allclose(found["g", "sd", "Intercept", ""], expected["g"], rtol=1e-2)
    row = glance(made("mixed_nested")).iloc[0]
    assert (row["ngroups_g"], row["ngroups_s"]) == (24, 48)
    assert_allclose(row["icc"], glance(lmer)["icc"].item(), rtol=1e-3)
    assert ("g", "sd", "z", "") in random_part(made("mixed_slope"))
    assert "ngroups_z" not in glance(made("mixed_slope"))


@pytest.mark.parametrize("re_formula", ["1", "~ z"])
def test_mixed_models_of_ten_times_the_response(re_formula):
    d = made_up()
    fits = [
        smf.mixedlm("y ~ x", d.assign(y=k * d["y"]), groups="g", re_formula=re_formula)
        for k in (1.0, 10.0)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        once, times = (tidy(fit.fit()) for fit in fits)
    factor = np.where(once["type"] == "cor", 1.0, 10.0)
    assert_allclose(times["estimate"], factor * once["estimate"], rtol=1e-3)
    assert_allclose(times["p_value"], once["p_value"], rtol=1e-3)


def test_random_rows_of_mixed_models_have_no_tests():
    for name in ("mixed", "mixed_ml", "mixed_nested"):
        frame = tidy(made(name), effects="random", conf_level=0.95)
        numbers = ["std_error", "statistic", "df", "p_value", "conf_low", "conf_high"]
        assert frame[numbers].isna().all(axis=None)


def test_mixed_models_from_arrays():
    d = made_up()
    X, Z = sm.add_constant(d[["x"]]).to_numpy(), np.ones((240, 1))
    res = sm.MixedLM(d["y"].to_numpy(), X, d["g"].to_numpy(), exog_re=Z).fit()
    expected = list(random_part(made("mixed")).values())
    found = random_part(res)
    assert next(iter(found)) == ("Group", "sd", "Intercept", "")
    assert_allclose(list(found.values()), expected, rtol=1e-4)


def test_mixed_models_with_another_covariance():
    res = made("mixed")
    usual = tidy(res, effects="fixed")["std_error"]
    whole = tidy(res, effects="fixed", vcov=lambda r: 4 * np.asarray(r.cov_params()))
    own = tidy(res, effects="fixed", vcov=np.diag(4 * usual**2))
    assert_allclose(whole["std_error"], 2 * usual)
    assert_allclose(own["std_error"], 2 * usual)


def test_singular_mixed_models():
    rng = np.random.default_rng(0)
    d = pd.DataFrame({"y": rng.normal(size=60), "g": np.repeat(list("abcdef"), 10)})
    d["y"] -= d.groupby("g")["y"].transform("mean")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        res = smf.mixedlm("y ~ 1", d, groups="g").fit()
    assert_allclose(random_part(res)["g", "sd", "Intercept", ""], 0.0, atol=1e-3)
    assert "rmse" in glance(res) or res.cov_re.iloc[0, 0] == 0.0


# -- augment ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "response"),
    [("ols", "y"), ("wls", "y"), ("glm", "b"), ("logit", "b"), ("poisson", "c")]
    + [("gee", "b"), ("quantreg", "y"), ("rlm", "y"), ("mixed", "y"), ("arima", "y")],
)
def test_fitted_and_residuals_add_up(name, response):
    frame = augment(made(name))
    assert len(frame) == 240
    assert_allclose(frame[".fitted"] + frame[".resid"], made_up()[response], atol=1e-9)


def test_augment_after_missing_rows():
    d = made_up().copy()
    d.loc[4, "x"] = np.nan
    res = smf.ols("y ~ x", d).fit()
    for frame in (augment(res), augment(res, d)):
        assert 4 not in frame.index
        assert_allclose(frame[".fitted"] + frame[".resid"], frame["y"])


# -- statistics ------------------------------------------------------------------------


def test_estimators_and_responses():
    said = {name: glance(made(name)).iloc[0] for name in ("glm", "quantreg", "gee")}
    assert said["glm"]["estimator"] == "GLM (Binomial)"
    assert said["quantreg"]["estimator"] == "QuantReg (0.5)"
    assert said["gee"]["estimator"] == "GEE (Binomial)"
    assert said["gee"]["ngroups_g"] == 24
    assert said["glm"]["depvar"] == "b"
    assert "aic" not in said["gee"]
    assert notes_of(made("ols")) == ()
    assert notes_of(made("ols_arrays")) == ("Standard errors: HC1.",)


def test_fits_that_did_not_converge():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        res = smf.logit("b ~ x", made_up()).fit(disp=0, maxiter=1)
    assert "The fit did not converge." in notes_of(res)
    assert not glance(res)["converged"].item()
