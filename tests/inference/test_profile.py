from __future__ import annotations

import pickle
import warnings
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from registry import dataset, fitted, reference
from scipy import optimize, stats

import sm_lmer.api as sml
from sm_lmer.core.profiling import BetterOptimum, Curve
from sm_lmer.core.restrictions import Restriction
from sm_lmer.inference import profile as module
from sm_lmer.inference.profile import profile
from sm_lmer.inference.profile_intervals import conf_int_re, fixed_intervals
from sm_lmer.inference.profile_parameters import parameters
from sm_lmer.linalg.sparse import SparseSolver

CASES = range(12)
HSB = 11


def fit(formula, data, *, weights=None, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return sml.lmer(formula, data, weights=weights).fit(**kwargs)


@cache
def case(number):
    """A case of the reference, and our fit of it."""
    found = reference("profile")["cases"][number]
    inline = reference("kr")["inline"]
    name = found["data"]
    data = pd.DataFrame(inline[name]) if name in inline else dataset(name)
    return found, fit(found["formula"], data, weights=found["weights"])


def ends(found, level):
    rows = [i for i in found["intervals"] if i["level"] == level]
    return np.array([[i["lower"], i["upper"]] for i in rows])


@cache
def sleepstudy():
    return profile(fitted("sleepstudy"))


def every_interval(res):
    return np.vstack([conf_int_re(res), fixed_intervals(res)])


def shares(ours, expected):
    """Differences of the ends as shares of the intervals' lengths."""
    ours, expected = np.asarray(ours), np.asarray(expected, dtype=float)
    return np.abs(ours - expected) / (expected[:, 1] - expected[:, 0])[:, None]


# ---- against R -------------------------------------------------------------------


def test_all_cases_are_tested():
    assert len(reference("profile")["cases"]) == len(CASES)


@pytest.mark.parametrize("number", CASES)
def test_ends_are_those_of_root_finding_in_r(number):
    found, res = case(number)
    random = conf_int_re(res, reml=found["reml"]).to_numpy()
    both = random if found["reml"] else np.vstack([random, fixed_intervals(res)])
    assert shares(both, ends(found, 0.95)).max() < 1e-8


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 7])
def test_ends_are_near_those_of_lme4s_spline(number):
    found, res = case(number)
    expected = np.array(found["lme4"]["ends"], dtype=float)
    ours = every_interval(res)
    assert parameters(res.model)[0].lme4_name == ".sig01"
    assert shares(ours, expected).max() < 5e-4


def test_lme4_searches_too_shortly_in_the_published_profile():
    _, res = case(HSB)
    assert res.singular
    published = [
        [10.4692542, 12.9863640],
        [4.0885277, 8.9516323],
        [0.1875109, 3.5912615],
        [1.9257690, 3.7740789],
        [-2.1748867, 0.4629693],
    ]
    # lme4's profile of the fit by REML, whose minimised deviances are up to 0.01 too
    # high; its profile of the same model fitted by ML is ours to 5e-5
    assert_allclose(fixed_intervals(res), published, atol=4e-3)
    by_ml = np.array(case(HSB)[0]["lme4"]["ends"], dtype=float)[-5:]
    assert shares(fixed_intervals(res), by_ml).max() < 5e-5


def test_other_levels_come_from_the_same_profile():
    found, _ = case(4)
    assert shares(sleepstudy().conf_int(), ends(found, 0.95)).max() < 1e-8
    assert shares(sleepstudy().conf_int(0.01), ends(found, 0.99)).max() < 1e-8
    narrow, wide = sleepstudy().conf_int(0.5), sleepstudy().conf_int(1e-5)
    assert (wide["lower"] < narrow["lower"]).all()
    assert (wide["upper"] > narrow["upper"]).all()


def test_published_lower_end_of_the_slopes_standard_deviation():
    assert_allclose(
        sleepstudy().conf_int().loc["sd Days|Subject", "lower"], 3.801, atol=5e-4
    )


# ---- what an end is -----------------------------------------------------------------


def random_design(seed, n=60):
    """Random small data: x varies over the groups a (9), crossed with b (5)."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"x": rng.normal(1, 1, n), "a": rng.choice(9, n)})
    data["b"], data["w"] = rng.choice(5, n), rng.uniform(0.4, 2, n)
    b = rng.normal(size=(9, 2))
    data["y"] = 2 + b[data["a"], 0] + (0.5 + 0.7 * b[data["a"], 1]) * data["x"]
    data["y"] += 0.6 * rng.normal(size=5)[data["b"]] + rng.normal(size=n) / np.sqrt(
        data["w"]
    )
    return data


def dense_minimum(data, reml, held, value):
    """The minimised normal deviance of y ~ x + (x | a) + (1 | b), with one of sd, cor,
    sd, sd, sigma held, by n x n matrices and differences."""
    X = np.column_stack([np.ones(len(data)), data["x"]])
    y, n = data["y"].to_numpy(), len(data)
    same = {g: data[g].to_numpy()[:, None] == data[g].to_numpy()[None] for g in "ab"}

    def deviance(free):
        packed = np.insert(free, held, 0.0)
        natural = np.array(
            [*np.abs(packed[:1]), np.tanh(packed[1]), *np.abs(packed[2:])]
        )
        natural[held] = value
        s0, rho, s1, sb, sigma = natural
        S = np.array([[s0**2, rho * s0 * s1], [rho * s0 * s1, s1**2]])
        V = same["a"] * (X @ S @ X.T) + sb**2 * same["b"]
        V = V + np.diag(sigma**2 / data["w"])
        try:
            U = np.linalg.cholesky(V)
        except np.linalg.LinAlgError:
            return 1e10
        Xs, ys = np.linalg.solve(U, X), np.linalg.solve(U, y)
        beta, *_ = np.linalg.lstsq(Xs, ys, rcond=None)
        out = 2 * np.log(np.diag(U)).sum() + ((ys - Xs @ beta) ** 2).sum()
        if reml:
            out += np.linalg.slogdet(Xs.T @ Xs)[1]
        return out + (n - 2 * reml) * np.log(2 * np.pi)

    best = np.inf
    for rho in (-0.8, 0.3):
        start = np.delete([1.0, rho, 0.7, 0.5, 1.0], held)
        found = optimize.minimize(
            deviance, start, method="BFGS", options={"gtol": 1e-5}
        )
        best = min(best, found.fun)
    return best


@pytest.mark.parametrize(("seed", "reml"), [(1, False), (2, True)])
def test_ends_by_a_dense_computation(seed, reml):
    data = random_design(seed)
    res = fit("y ~ x + (x | a) + (1 | b)", data, weights="w", reml=reml)
    table = conf_int_re(res, alpha=0.1, reml=reml)
    lowest = res.remlcrit if reml else res.deviance
    checked = 0
    for held, (lower, upper) in enumerate(table.to_numpy()):
        for end in (lower, upper):
            if end in (0.0, -1.0, 1.0):
                continue
            rise = dense_minimum(data, reml, held, end) - lowest
            assert_allclose(rise, stats.chi2.ppf(0.9, 1), atol=1e-5)
            checked += 1
    assert checked >= 6


def test_fixed_effects_by_refits_with_an_offset():
    data = dataset("sleepstudy")
    res = fitted("sleepstudy_ml")
    for value in fixed_intervals(res)[1]:
        moved = data.assign(Reaction=data["Reaction"] - value * data["Days"])
        other = fit("Reaction ~ 1 + (Days | Subject)", moved, reml=False)
        rise = other.deviance - res.deviance
        assert_allclose(rise, stats.chi2.ppf(0.95, 1), rtol=1e-8)


@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("name", ["sleepstudy", "machines", "pastes"])
def test_analytic_derivatives(name, reml, rng):
    res = fitted(name)
    estimate = module.starting_estimate(res, reml)
    for parameter in parameters(res.model):
        if reml and parameter.kind == "fixed":
            continue
        held = parameter.hold(estimate)
        value, gradient, slope = held.evaluate(held.start, held.centre)
        assert_allclose(value, estimate.deviance, rtol=1e-11)
        assert np.abs(gradient).max() < 1e-3
        assert abs(slope) < 1e-3
        x = held.start + 0.1 * rng.standard_normal(len(held.start))
        _, gradient, slope = held.evaluate(x, held.centre + 0.05)
        _, differences, along = held._by_differences(x, held.centre + 0.05)
        assert_allclose(gradient, differences, rtol=1e-5, atol=1e-4)
        assert_allclose(slope, along, rtol=1e-5, atol=1e-4)


# ---- invariance -----------------------------------------------------------------------


def test_scale_of_the_data():
    data = random_design(3)
    formula = "y ~ x + (x | a) + (1 | b)"
    plain = every_interval(fit(formula, data))
    scaled = data.assign(y=1e6 * data["y"], x=1e-4 * data["x"])
    other = every_interval(fit(formula, scaled))
    units = np.array([1e6, 1.0, 1e10, 1e6, 1e6, 1e6, 1e10])[:, None]
    assert shares(other / units, plain).max() < 1e-7


def test_origin_of_a_covariate_and_a_far_response():
    data = dataset("sleepstudy")
    moved = data.assign(Days=data["Days"] + 2010, Reaction=data["Reaction"] + 1e7)
    other = profile(
        fit("Reaction ~ Days + (Days | Subject)", moved),
        ["sd Days|Subject", "sigma", "Days"],
    )
    plain = sleepstudy().conf_int().loc[other.names]
    assert shares(other.conf_int(), plain).max() < 1e-6


def test_order_of_columns_and_rows():
    data = random_design(4)
    res = fit("y ~ x + (x | a) + (1 | b)", data)
    turned = data.sample(frac=1, random_state=1)
    other = fit("y ~ x + (0 + x + one | a) + (1 | b)", turned.assign(one=1.0))
    names = ["sd Intercept|a", "cor Intercept,x|a", "sd x|a", "sd Intercept|b", "sigma"]
    theirs = ["sd one|a", "cor x,one|a", "sd x|a", "sd Intercept|b", "sigma"]
    ours = conf_int_re(res).loc[names]
    assert shares(conf_int_re(other).loc[theirs], ours).max() < 1e-7


def test_solver_without_a_gradient(monkeypatch):
    monkeypatch.setattr(SparseSolver, "has_gradient", False)
    data = dataset("penicillin")
    formula = "diameter ~ 1 + (1 | plate) + (1 | sample)"
    found, _ = case(2)
    res = sml.lmer(formula, data).fit(solver="superlu")
    curve = Curve(parameters(res.model)[1].hold(module.starting_estimate(res, False)))
    assert not curve.restriction.likelihood.criterion.has_gradient
    assert shares([module.interval(curve, 0.05)], ends(found, 0.95)[[1]]).max() < 1e-6


# ---- boundaries and trouble -------------------------------------------------------------


def test_singular_fit_has_intervals_to_the_bound():
    table = conf_int_re(fitted("dyestuff2"))
    assert table.loc["sd Intercept|Batch", "lower"] == 0.0
    _, res = case(HSB)
    table = conf_int_re(res)
    assert_allclose(table.loc["cor Intercept,ses_cmc|id"], [-1, 1], rtol=0)
    assert table.loc["sd ses_cmc|id", "lower"] == 0.0
    found = profile(res, "theta_")
    assert_allclose(
        found.zeta("sd ses_cmc|id", 0.0),
        found.to_frame().query("parameter == 'sd ses_cmc|id'")["zeta"].min(),
    )


def test_correlation_of_what_does_not_vary_is_flat():
    rng = np.random.default_rng(5)
    data = pd.DataFrame(
        {"g": np.repeat(np.arange(6), 8), "x": np.tile(np.arange(8.0), 6)}
    )
    data["y"] = rng.normal(size=48)
    data["y"] -= data.groupby("g")["y"].transform("mean")  # no intercepts vary
    res = fit("y ~ x + (x | g)", data)
    found = profile(res, "cor Intercept,x|g")
    assert_allclose(found.conf_int().to_numpy(), [[-1.0, 1.0]], rtol=0)
    assert any("flat" in note for note in found.notes)


class Landscape(Restriction):
    """A deviance f(w) + x^2 of one parameter w."""

    def __init__(self, f, bounds=(-np.inf, np.inf)):
        self.f, self.bounds, self.first_step = f, bounds, 0.1
        self.centre, self.start = 0.0, np.zeros(1)
        self.likelihood = SimpleNamespace(criterion=SimpleNamespace(has_gradient=True))
        self.estimate = SimpleNamespace(deviance=f(0.0), values=None)

    def evaluate(self, x, w):
        slope = (self.f(w + 1e-6) - self.f(w - 1e-6)) / 2e-6
        return self.f(w) + float(x @ x), 2 * x, slope

    def values(self, x, w):
        return None

    def value_of(self, w):
        return w

    def coordinate_of(self, value):
        return value

    def rate(self, w):
        return 1.0

    def lifted(self, x):
        return x

    def theta(self, x, w):
        return np.array([w])

    _inner = _held = _pull = None


def curve_of(f, **kwargs):
    curve = Curve(Landscape(f, **kwargs))
    for direction in (-1, 1):
        curve.extend(direction, 3.0, 0.4)
    return curve


def test_non_monotone_profile_is_named():
    curve = curve_of(lambda w: w**2 + 3.0 * np.sin(1.5 * w) ** 2)
    assert len(module._troubles(curve)) == 2
    assert "not monotone" in module._troubles(curve)[0]
    assert module._troubles(curve_of(lambda w: w**2)) == []


def test_flat_profile_is_named():
    curve = curve_of(lambda w: 1.0 - np.exp(-(w**2)))
    assert "flat" in module._troubles(curve)[0]
    assert curve.root(1.96, 0.4) == np.inf
    assert_allclose(curve.root(0.5, 0.4), np.sqrt(-np.log(0.75)), rtol=1e-9)


def test_bound_that_comes_first():
    curve = curve_of(lambda w: w**2, bounds=(-1.0, np.inf))
    assert curve.root(-1.96, 0.4) == -1.0
    assert_allclose([curve.root(-0.7, 0.4), curve.root(1.96, 0.4)], [-0.7, 1.96])
    assert module._troubles(curve) == []


def test_better_optimum_is_found_and_told(monkeypatch):
    res = fitted("sleepstudy")
    good = module.starting_estimate(res, False)
    bad = replace(good, deviance=good.deviance + 0.1)
    curve = Curve(parameters(res.model)[0].hold(bad))
    with pytest.raises(BetterOptimum):
        curve.extend(1, 2.0, 0.1)
    monkeypatch.setattr(module, "starting_estimate", lambda *_: bad)
    found = profile(res, "sigma")
    assert any("local optimum" in note for note in found.notes)
    assert_allclose(found.conf_int(), sleepstudy().conf_int().loc[["sigma"]], rtol=1e-9)


# ---- the object ---------------------------------------------------------------------------


def test_names():
    found = sleepstudy()
    assert found.names == [
        "sd Intercept|Subject",
        "cor Intercept,Days|Subject",
        "sd Days|Subject",
        "sigma",
        "Intercept",
        "Days",
    ]
    theirs = [".sig01", ".sig02", ".sig03", ".sigma", "(Intercept)", "Days"]
    assert list(found.lme4_names.values()) == theirs
    res = fitted("sleepstudy")
    for which in (".sig03", "sd Days|Subject", 2, ["sd Days|Subject"]):
        assert profile(res, which, points=1).names == ["sd Days|Subject"]
    assert profile(res, ["beta_"], points=1).names == ["Intercept", "Days"]
    assert profile(res, "theta_", points=1, reml=True).names == found.names[:4]


def test_repr():
    expected = "<Profile of the deviance: sd Days|Subject, sigma>"
    assert repr(profile(fitted("sleepstudy"), [2, 3], points=1)) == expected


def test_independent_coefficients_in_one_term_and_in_two():
    data = random_design(7)
    one = conf_int_re(fit("y ~ x + diag(x | a)", data))
    two = conf_int_re(fit("y ~ x + (x || a)", data))
    assert list(one.index) == ["sd Intercept|a", "sd x|a", "sigma"]
    assert list(two.index) == ["sd Intercept|a", "sd x|a.1", "sigma"]
    assert shares(one, two).max() < 1e-7


def test_fixed_effect_called_sigma():
    data = random_design(6).rename(columns={"x": "sigma"})
    res = fit("y ~ sigma + (1 | a)", data)
    names = [p.name for p in parameters(res.model)]
    assert names == ["sd Intercept|a", ".sigma", "Intercept", "sigma"]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"which": "days"}, "no parameter 'days'.*'Days'"),
        ({"which": 9}, "no parameter 9: the model has 6"),
        ({"which": "Days", "reml": True}, "no likelihood of the fixed effects"),
        ({"alphamax": 0}, "alphamax is between 0 and 1"),
        ({"points": 0}, "points is at least 1"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        profile(fitted("sleepstudy"), **kwargs)


def test_bad_arguments_of_intervals():
    with pytest.raises(ValueError, match="alpha is between"):
        sleepstudy().conf_int(95)
    with pytest.raises(ValueError, match="'bayes' of conf_int_re"):
        conf_int_re(fitted("sleepstudy"), method="bayes")
    with pytest.raises(ValueError, match="'x' was not profiled"):
        sleepstudy().zeta("x", 1.0)


def test_points_of_the_profile():
    frame = sleepstudy().to_frame()
    for name, part in frame.groupby("parameter"):
        assert_allclose(part[name], part["value"], rtol=1e-9)
        assert part["zeta"].is_monotonic_increasing
        assert (part["zeta"] == 0.0).sum() == 1
        assert len(part) >= 15
    reach = frame.groupby("parameter")["zeta"].max().drop("cor Intercept,Days|Subject")
    assert (reach > 3.03).all()
    at = frame[(frame["parameter"] == "Days") & (frame["zeta"] == 0.0)].iloc[0]
    estimates = sleepstudy().estimates
    assert_allclose(at[list(estimates.index)].astype(float), estimates, rtol=1e-9)


def test_zeta_between_the_points():
    found = sleepstudy()
    table = found.conf_int(0.1)
    quantile = stats.norm.ppf(0.95)
    for name, (lower, upper) in table.iterrows():
        assert_allclose(
            found.zeta(name, [lower, upper]), [-quantile, quantile], atol=2e-4
        )
    assert np.isnan(found.zeta("Days", 1e6))
    assert found.zeta("Days", np.ones((2, 3))).shape == (2, 3)
    step = 1e-3
    slope = np.diff(
        found.zeta("sigma", [found.estimates["sigma"], found.estimates["sigma"] + step])
    )
    expected = parameters(fitted("sleepstudy").model)[3].hold(
        module.starting_estimate(fitted("sleepstudy"), False)
    )
    near = Curve(expected).node(np.log(found.estimates["sigma"] + 0.05)).zeta
    assert_allclose(slope / step, near / 0.05, rtol=5e-3)


def test_density_integrates_to_the_probability_inside():
    for _, part in sleepstudy().density().groupby("parameter"):
        assert (part["density"] >= 0).all()
        heights = part["density"].to_numpy()
        total = (np.diff(part["value"]) * (heights[1:] + heights[:-1]) / 2).sum()
        assert 0.99 < total < 1.001


def test_traces_cross_at_the_estimate():
    pairs = sleepstudy().pairs("sd Days|Subject", "sigma")
    assert set(pairs["along"]) == {"sd Days|Subject", "sigma"}
    at = pairs[(pairs["zeta_first"].abs() < 1e-6) & (pairs["zeta_second"].abs() < 1e-6)]
    assert len(at) == 2


@pytest.mark.parametrize("pair", [("Intercept", "Days"), ("sd Days|Subject", "sigma")])
def test_contour_reaches_as_far_as_the_intervals_of_its_deviance(pair):
    contour = sleepstudy().contour(*pair, level=0.9, points=400)
    alpha = stats.chi2.sf(stats.chi2.ppf(0.9, 2), 1)
    table = sleepstudy().conf_int(alpha)
    for name in pair:
        length = table.loc[name, "upper"] - table.loc[name, "lower"]
        reach = np.array([contour[name].min(), contour[name].max()])
        assert_allclose(reach, table.loc[name], atol=2e-3 * length)
        exit_at = contour[name].idxmax()
        other = pair[1 - pair.index(name)]
        pairs = sleepstudy().pairs(*pair).query("along == @name")
        expected = np.interp(reach[1], pairs[name], pairs[other])
        spread = table.loc[other, "upper"] - table.loc[other, "lower"]
        assert_allclose(contour[other][exit_at], expected, atol=0.02 * spread)


def test_contour_that_meets_a_bound_is_empty():
    found = profile(fitted("pastes"), [1, 2])
    assert found.contour(*found.names, level=0.95).empty


def test_pickle():
    again = pickle.loads(pickle.dumps(sleepstudy()))
    assert_allclose(again.conf_int(0.2), sleepstudy().conf_int(0.2), rtol=1e-12)


def test_wald_intervals():
    res = fitted("sleepstudy_ml")
    table = conf_int_re(res, method="wald")
    sds = ["sd Intercept|Subject", "sd Days|Subject", "sigma"]
    centre = np.sqrt(table.loc[sds, "lower"] * table.loc[sds, "upper"])
    assert_allclose(centre, sleepstudy().estimates[sds], rtol=1e-6)
    # in narrow intervals both are the same quadratic
    narrow = conf_int_re(res, alpha=0.98)
    wald = conf_int_re(res, alpha=0.98, method="wald")
    width = (narrow["upper"] - narrow["lower"]) / (wald["upper"] - wald["lower"])
    assert_allclose(width, 1.0, atol=2e-3)
    singular = conf_int_re(fitted("dyestuff2"), method="wald")
    assert singular.loc["sd Intercept|Batch"].isna().all()
    assert singular.loc["sigma"].notna().all()


def test_fit_without_rows_says_so():
    res = sml.lmer("Yield ~ 1 + (1 | Batch)", dataset("dyestuff")).fit()
    res.remove_data()
    with pytest.raises(ValueError, match="profile"):
        profile(res)
