"""R squared, intraclass correlation and part R squared: performance, published, dense."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
import registry

import sm_lmer.api as sml
from sm_lmer.inference.rsquared import (
    ICC,
    RSquared,
    icc,
    partial_rsquared,
    rsquared,
    variances,
)

REFERENCE = registry.reference("rsquared")
CASES = {case["id"]: case for case in REFERENCE["cases"]}
SCHOOLS = (
    "2030 2990 3999 4325 4931 5761 5838 7101 8150 8188 8193 8800 9104 9158 9198 9508"
)


@cache
def frame(name):
    if name == "hsb_sample":
        data = registry.dataset("hsb")
        data = data[data["School"].astype(str).isin(SCHOOLS.split())].copy()
        data["catholic"] = (data["Sector"] == "Catholic").astype(int)
        means = data.groupby("School", observed=True)["SES"].transform("mean")
        return data.assign(ses_cmc=data["SES"] - means)
    if name.startswith("sleepstudy_"):
        data = registry.dataset("sleepstudy")
        i = np.arange(1, len(data) + 1)
        return data.assign(w=0.5 + (i % 5) / 4, o=0.5 * data["Days"] ** 2)
    return registry.dataset(name)


@cache
def fitted(name):
    case = CASES[name]
    return fit(case["formula"], frame(case["data"]), case["reml"], case["weights"])


def fit(formula, data, reml=True, weights=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return sml.lmer(formula, data, weights=weights).fit(reml=reml)._results


def simulated(seed):
    rng = np.random.default_rng(seed)
    n = 90
    data = pd.DataFrame({"g": rng.integers(0, 9, n), "h": rng.integers(0, 7, n)})
    data["f"] = rng.choice(list("abc"), n)
    data["x"], data["z"] = rng.normal(size=(2, n))
    slope = 1.0 + rng.normal(size=9)[data["g"]]
    data["y"] = slope * data.x + 2.0 * (data.f == "b") + rng.normal(size=7)[data["h"]]
    data["y"] += rng.normal(size=9)[data["g"]] + rng.normal(size=n)
    return data


# -- performance -----------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_variances_agree_with_insight(name):
    case, found = CASES[name], variances(fitted(name))
    assert found.fixed == pytest.approx(
        case["insight"]["var.fixed"], abs=1e-9, rel=1e-7
    )
    assert found.residual == pytest.approx(case["insight"]["var.residual"], rel=1e-7)
    assert found.between == pytest.approx(case["random"], rel=1e-6)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"sleepstudy_independent"}))
def test_agrees_with_performance(name):
    """Of (x || g) performance counts the first term alone: compared by variances."""
    case, res = CASES[name], fitted(name)
    marginal, conditional = rsquared(res)
    assert marginal == pytest.approx(case["marginal"], abs=1e-9, rel=1e-6)
    assert conditional == pytest.approx(case["conditional"], rel=1e-6)
    assert icc(res).adjusted == pytest.approx(case["adjusted"], rel=1e-6)
    assert icc(res).unadjusted == pytest.approx(case["unadjusted"], rel=1e-6)


@pytest.mark.parametrize("name", ["penicillin", "pastes", "cake"])
def test_by_group_agrees_with_performance(name):
    found = icc(fitted(name), by_group=True)
    expected = CASES[name]["by_group"]
    assert found.name == "ICC"
    swapped = {"cask:batch": "batch:cask"}
    assert {swapped.get(k, k) for k in found.index} == set(expected)
    for group, value in found.items():
        assert value == pytest.approx(expected[swapped.get(group, group)], rel=1e-6)


def test_published_numbers_of_singular_fits():
    """R2 and ICC of the HSB subset as modelsummary prints them."""
    by_reml, by_ml = fitted("hsb_sample"), fitted("hsb_sample_ml")
    assert [f"{r:.3f}" for r in rsquared(by_reml)] == ["0.248", "0.299"]
    assert [f"{r:.3f}" for r in rsquared(by_ml)] == ["0.247", "0.286"]
    assert f"{icc(by_reml).adjusted:.2f} {icc(by_ml).adjusted:.2f}" == "0.07 0.05"


# -- properties ------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("reml", [True, False])
def test_agrees_with_dense_algebra(reml, weights):
    data = simulated(1).assign(w=np.linspace(0.5, 2, 90))
    res = fit("y ~ f + x + (x | g) + (0 + z | g) + (1 | h)", data, reml, weights)
    f = np.asarray(res.model.exog) @ np.asarray(res.params)
    G = {"g": np.zeros((90, 90)), "h": np.zeros((90, 90))}
    vc = res.varcorr().set_index(["grp", "var1", "var2"])["vcov"]
    same_g = data["g"].to_numpy()[:, None] == data["g"].to_numpy()
    x, z = data["x"].to_numpy(), data["z"].to_numpy()
    rows = {(g, a): v for (g, a, b), v in vc.items() if not isinstance(b, str)}
    cross = next(v for (_, _, b), v in vc.items() if isinstance(b, str))
    V = rows["g", "Intercept"] + rows["g", "x"] * np.outer(x, x)
    V += cross * np.add.outer(x, x) + rows["g.1", "z"] * np.outer(z, z)
    G["g"] = same_g * V
    G["h"] = rows["h", "Intercept"] * (
        data["h"].to_numpy()[:, None] == data["h"].to_numpy()
    )
    r = {name: np.trace(M) / 90 for name, M in G.items()}
    total = np.var(f, ddof=1) + sum(r.values()) + res.scale
    expected = RSquared(np.var(f, ddof=1) / total, 1.0 - res.scale / total)
    assert rsquared(res) == pytest.approx(expected, rel=1e-10)
    shares = icc(res, by_group=True)
    for name, value in r.items():
        assert shares[name] == pytest.approx(value / (sum(r.values()) + res.scale))
    assert shares.sum() == pytest.approx(icc(res).adjusted)
    assert icc(res).unadjusted == pytest.approx(sum(r.values()) / total)


def test_units_and_origin_do_not_matter():
    data = simulated(2)
    moved = data.assign(y=1e8 + 1e-3 * data.y, x=2000 + 1e3 * data.x)
    one = fit("y ~ f + x + (x | g) + (1 | h)", data)
    two = fit("y ~ f + x + (x | g) + (1 | h)", moved)
    assert rsquared(two) == pytest.approx(rsquared(one), rel=1e-5)
    assert icc(two) == pytest.approx(icc(one), rel=1e-5)
    pd.testing.assert_frame_equal(
        partial_rsquared(two, ddf="residual"),
        partial_rsquared(one, ddf="residual"),
        atol=1e-5,
    )


def test_no_random_variance():
    res = registry.fitted("dyestuff2")._results
    assert icc(res) == ICC(0.0, 0.0)
    assert rsquared(res) == RSquared(0.0, 0.0)


def test_kinds_of_answer(fits):
    res = fits("sleepstudy")
    assert isinstance(res.rsquared, RSquared)
    assert res.rsquared_marginal == res.rsquared.marginal
    assert res.rsquared_conditional == res.rsquared.conditional
    assert isinstance(res.icc(), ICC)
    assert list(res.icc(by_group=True).index) == ["Subject"]


# -- parts -----------------------------------------------------------------------------


def test_parts_agree_with_refits_in_r(formula_engine):
    expected = REFERENCE["cake_parts"]
    res = fit(
        "angle ~ recipe * temp + (1 | recipe:replicate)", registry.dataset("cake")
    )
    found = partial_rsquared(res, ddf="residual")
    q = {"recipe": 4, "temp": 3, "recipe:temp": 2}
    assert list(found.index) == list(q)
    for term, df in q.items():
        part = found.loc[term, "part_rsquared"]
        assert part == pytest.approx(expected[term], abs=1e-8)
        explained = df * expected["wald"][term] / 264
        beta = found.loc[term, "rsquared_beta"]
        assert beta == pytest.approx(explained / (1 + explained), rel=1e-6)


def test_parts_do_not_depend_on_coding():
    data = simulated(3)
    one = partial_rsquared(fit("y ~ f * x + z + (1 | g)", data))
    two = partial_rsquared(fit("y ~ C(f, Sum) * x + z + (1 | g)", data))
    np.testing.assert_allclose(one, two, atol=1e-7)


def test_a_part_is_the_fall_of_the_marginal_share():
    data = simulated(4)
    formula = "y ~ 0 + {} + (x | g) + (1 | h)"
    whole = fit(formula.format("f + x + z"), data, False)
    left = {"f": "x + z", "x": "f + z", "z": "f + x"}
    found = partial_rsquared(whole)["part_rsquared"]
    for term, rest in left.items():
        fall = (
            rsquared(whole).marginal
            - rsquared(fit(formula.format(rest), data, False)).marginal
        )
        assert found[term] == pytest.approx(fall, abs=1e-7)


def test_parts_of_a_model_from_arrays():
    data = simulated(5)
    X = pd.DataFrame({"const": 1.0, "x": data["x"], "z": data["z"]})
    res = sml.LMER(data["y"], X, groups=data["g"]).fit()._results
    found = partial_rsquared(res, ["z", "x"])
    assert list(found.index) == ["z", "x"]
    same = partial_rsquared(fit("y ~ x + z + (1 | g)", data), ["z", "x"])
    np.testing.assert_allclose(found, same, atol=1e-7)


def test_one_row_of_beta_is_a_function_of_t():
    res = fitted("sleepstudy")
    t = res.t_test("Days = 0")
    share = float(np.squeeze(t.tvalue)) ** 2 / float(np.squeeze(t.df_denom))
    found = partial_rsquared(res, "Days").loc["Days", "rsquared_beta"]
    assert found == pytest.approx(share / (1 + share))


def test_terms_of_any_order_and_none_at_all():
    res = fit(
        "angle ~ recipe * temp + (1 | recipe:replicate)", registry.dataset("cake")
    )
    found = partial_rsquared(res, "temp:recipe", ddf="normal")
    assert list(found.index) == ["recipe:temp"]
    assert found["rsquared_beta"].isna().all()
    assert partial_rsquared(fitted("pastes")).shape == (0, 2)
    with pytest.raises(ValueError, match="no term 'tmp'; it has recipe, temp, recipe:"):
        partial_rsquared(res, ["tmp"])
