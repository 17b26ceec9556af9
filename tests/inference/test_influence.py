"""Influence against R's refits, dense formulas and invariances."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
import registry
from numpy.testing import assert_allclose

import sm_lmer.api as sml
from sm_lmer.core import deletion_updates
from sm_lmer.core.deletion import Units, levels_left
from sm_lmer.inference import influence as module

REFERENCE = registry.reference("influence")
CASES = {case["id"]: case for case in REFERENCE["cases"]}


def fit(formula, data, reml=True, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return sml.lmer(formula, data, **kwargs).fit(reml=reml)


def frame(name):
    if name in REFERENCE["inline"]:
        return pd.DataFrame(REFERENCE["inline"][name])
    return registry.dataset(name)


@cache
def influenced(name, method="exact"):
    case = CASES[name]
    data, weights = frame(case["data"]), case["weights"]
    res = fit(case["formula"], data, case["reml"], weights=weights)
    return res.influence(case["groups"], method=method)


def simulated(seed=1, n=60):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"x": rng.normal(size=n), "g": rng.integers(0, 9, n)})
    data["h"] = rng.integers(0, 6, n)
    data["w"] = rng.uniform(0.4, 2.0, n)
    b = rng.normal(size=(9, 2))
    data["y"] = data.x + b[data.g, 0] + b[data.g, 1] * data.x + rng.normal(size=n)
    data["y"] += rng.normal(size=6)[data.h]
    return data


# Exact refits, against R ---------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_refits_agree_with_r(name):
    case, found = CASES[name], influenced(name)
    assert found.method == "exact"
    if case["groups"] is None:
        order = [int(k) - 1 for k in case["labels"]]
    else:
        labels = [str(k) for k in found.labels]
        order = [labels.index(k) for k in case["labels"]]

    def close(values, expected, size=None):
        expected = np.array(expected, dtype=float)
        size = np.abs(expected).max() if size is None else size
        own = np.asarray(values)[order]
        assert_allclose(own, expected, rtol=1e-6, atol=1e-6 * size)

    names = list(found.dfbetas)
    if case["data"] == "crossed":  # R keeps the order of the formula
        names = ["Intercept", "x", "z[T.b]"]
    close(found.dfbetas[names], case["dfbetas"], 1.0)
    bse = found.bse[names].to_numpy()
    close(found.dfbeta[names] / bse, case["dfbeta"] / bse, 1.0)
    close(found.cooks_distance, case["cooks"])
    close(found.cooks_distance_lme4, case["cooks_lme4"])
    close(found.mdffits, case["mdffits"])
    close(found.covratio, case["covratio"], 1.0)
    close(found.covtrace, case["covtrace"], 1.0)
    sigma2 = np.array(case["varcomp_deleted"])[:, -1]
    close(found.varcomp_deleted["sigma2"], sigma2)
    base = case["varcomp"][-1]
    close(found.rvc["sigma2"], sigma2 / base - 1.0, 1.0)


def test_relative_variance_changes_agree_with_r():
    case, found = CASES["crossed_g"], influenced("crossed_g")
    assert list(found.rvc) == ["sigma2", "var Intercept|g", "var Intercept|h"]
    expected = np.array(case["varcomp_deleted"]) / case["varcomp"] - 1.0
    assert_allclose(found.rvc, expected[:, [2, 0, 1]], atol=2e-6)
    slopes, ref = influenced("sleepstudy"), CASES["sleepstudy"]
    expected = np.array(ref["varcomp_deleted"]) / ref["varcomp"] - 1.0
    # R's frame has both variances before the covariance
    assert_allclose(slopes.rvc, expected[:, [3, 0, 2, 1]], atol=2e-5)


# The formulas --------------------------------------------------------------------------


def dense(res, codes):
    """Measures with all variances held, from n by n matrices (HLMdiag's)."""
    res = res._results
    model = res.model
    w = np.ones(model.nobs) if model.weights is None else model.weights
    V, start = np.diag(res.scale / w), 0
    for term in model.re_terms:
        T = term.template(res.theta[start : start + term.n_theta])
        start += term.n_theta
        ZT = np.asarray(term.Z) @ T
        V += res.scale * (ZT @ ZT.T) * (term.factor.codes[:, None] == term.factor.codes)
    X, y = np.asarray(model.exog), np.asarray(model.endog)

    def gls(rows):
        VX = np.linalg.solve(V[np.ix_(rows, rows)], X[rows])
        C = np.linalg.inv(X[rows].T @ VX)
        return C @ (VX.T @ y[rows]), C

    beta, C = gls(np.arange(len(y)))
    p, out = len(beta), []
    for g in range(codes.max() + 1):
        b, Cg = gls(np.flatnonzero(codes != g))
        d = beta - b
        ratio = np.linalg.solve(C, Cg)
        out.append(
            (
                d @ np.linalg.solve(C, d) / p,
                d @ np.linalg.solve(Cg, d) / p,
                np.linalg.det(ratio),
                abs(np.trace(ratio) - p),
            )
        )
    return np.array(out)


COLUMNS = ["cooks_d", "mdffits", "covratio", "covtrace"]


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("formula", ["y ~ x + (x | g)", "y ~ x + (1 | g) + (x | h)"])
@pytest.mark.parametrize("group", ["g", "h", None])
def test_fixed_variances_agree_with_published_formulas(formula, reml, group):
    data = simulated()
    if group == "h" and "h" not in formula:
        data["y"] += 0.0
    res = fit(formula, data, reml, weights="w")
    codes = np.arange(len(data)) if group is None else data[group].to_numpy()
    found = res.influence(None if group is None else codes, method="fixed")
    assert_allclose(
        found.summary_frame()[COLUMNS], dense(res, codes), rtol=1e-4, atol=1e-6
    )
    assert found.rvc.isna().all(axis=None)


@pytest.mark.parametrize("name", ["crossed_g", "crossed_rows", "weighted"])
def test_one_step_is_closer_to_refits_than_fixed_variances(name):
    exact, step, fixed = (influenced(name, m) for m in ("exact", "one-step", "fixed"))
    for column in ["covratio", "covtrace"]:
        truth = exact.measure(column)
        far = np.abs(fixed.measure(column) - truth).mean()
        assert np.abs(step.measure(column) - truth).mean() < 0.35 * far
    errors = np.abs(step.rvc["sigma2"] - exact.rvc["sigma2"])
    assert errors.mean() < 0.1 * np.abs(exact.rvc["sigma2"]).mean()


def test_large_blocks_by_cross_products_agree(monkeypatch):
    res = fit("y ~ x + (1 | g) + (1 | h)", simulated(3))
    for method in ("fixed", "one-step"):
        small = res.influence("g", method=method)
        monkeypatch.setattr(deletion_updates, "LARGEST_BLOCK", (0, 0))
        large = res.influence("g", method=method)
        monkeypatch.undo()
        apart = np.abs(np.log(large.covratio / small.covratio))
        assert apart.max() < (1e-8 if method == "fixed" else 0.2)
        assert apart.median() < (1e-8 if method == "fixed" else 0.05)
        size = 1e-9 if method == "fixed" else 3e-2
        assert_allclose(large.params_deleted, small.params_deleted, atol=size)


def test_batches_of_groups_do_not_matter(monkeypatch):
    res = fit("y ~ x + (x | g) + (1 | h)", simulated(4))
    whole = res.influence("h", method="one-step").summary_frame()
    rows = res.influence(method="one-step").summary_frame()
    monkeypatch.setattr(deletion_updates, "NUMBERS_AT_ONCE", 1)
    monkeypatch.setattr(module, "UNITS_AT_ONCE", 8)
    one = res.influence("h", method="one-step").summary_frame()
    assert_allclose(one, whole, rtol=1e-6, atol=1e-9)
    one = res.influence(method="one-step").summary_frame()
    assert_allclose(one, rows, rtol=1e-6, atol=1e-9)


# What cannot be estimated --------------------------------------------------------------


def test_group_that_alone_tells_a_coefficient():
    data = simulated(5)
    data["new"] = (data.g == 3).astype(float)
    res = fit("y ~ x + new + (1 | g) + (1 | h)", data)
    for method in ("exact", "one-step", "fixed"):
        found = res.influence("g", method=method)
        assert found.dfbetas.loc[3].isna().all()
        assert np.isnan(found.cooks_distance[3])
        assert found.dfbetas.drop(3).notna().all(axis=None)
        assert found.notes == (
            "3: without it new cannot be estimated, so its measures are nan.",
        )


def test_only_level_and_last_but_one():
    data = simulated(6)
    data["k"] = "all"
    data["two"] = np.where(data.g < 4, "a", "b")
    res = fit("y ~ x + (1 | g)", data)
    found = res.influence(data["k"], method="exact")
    assert found.cooks_distance.isna().all()
    assert found.notes == ("all: it is the only level, so its measures are nan.",)
    res = fit("y ~ x + (1 | g) + (1 | two)", data)
    found = res.influence("two")
    assert "leaves two with one level" in found.notes[0]


def test_outlier_is_left_out_without_loss_of_digits():
    data = simulated(7)
    data.loc[10, "y"] += 1e9
    clean = data.drop(index=10)
    res = fit("y ~ x + (1 | g)", data)
    other = fit("y ~ x + (1 | g)", clean)
    found = res.influence(method="exact")
    assert_allclose(found.params_deleted.loc[10], other.params, rtol=1e-6)
    assert_allclose(found.varcomp_deleted["sigma2"][10], other.scale, rtol=1e-6)


def test_singular_fit(fits):
    for method in ("exact", "one-step"):
        found = fits("dyestuff2").influence("Batch", method=method)
        assert found.cooks_distance.notna().all()
        assert found.rvc["var Intercept|Batch"].isna().all()
        expected = [
            registry.dataset("dyestuff2").query(f"Batch != '{k}'").Yield.mean()
            for k in found.labels
        ]
        assert_allclose(found.params_deleted["Intercept"], expected, rtol=1e-8)


def test_levels_left():
    units = Units(np.array([0, 0, 1, 1, 2]), 3)
    assert levels_left(np.array([0, 1, 1, 2, 2]), 3, units).tolist() == [2, 3, 3]


# Invariances, interface ----------------------------------------------------------------


def test_scale_and_order_of_rows_do_not_matter():
    data = simulated(8)
    base = fit("y ~ x + (1 | g)", data).influence("g").summary_frame()
    moved = data.assign(y=1e5 * data.y + 1e6, x=data.x / 1e3).sample(
        frac=1, random_state=1
    )
    other = fit("y ~ x + (1 | g)", moved).influence("g").summary_frame()
    columns = ["cooks_d", "mdffits", "covratio", "dfb_x", "rvc_sigma2"]
    # the intercept means the same, as x keeps its origin, but for the shift of y
    assert_allclose(other[columns], base[columns], atol=2e-6)


def test_number_of_jobs_does_not_matter(fits):
    joblib = pytest.importorskip("joblib")
    one = fits("sleepstudy").influence("Subject").summary_frame()
    with joblib.parallel_config(backend="threading"):
        two = fits("sleepstudy").influence("Subject", n_jobs=2).summary_frame()
    assert_allclose(two, one, atol=1e-7)


def test_model_from_arrays_has_the_same_influence():
    data = simulated(9)
    X = np.column_stack([np.ones(len(data)), data.x])
    terms = [sml.RandomTerm(data.g.to_numpy(), name="g")]
    arrays = sml.LMER(data.y.to_numpy(), X, re_terms=terms).fit()
    by_formula = fit("y ~ x + (1 | g)", data).influence("g")
    assert_allclose(arrays.influence("g").cooks_distance, by_formula.cooks_distance)
    assert_allclose(
        arrays.influence(data.h.to_numpy()).mdffits,
        fit("y ~ x + (1 | g)", data).influence(data.h).mdffits,
    )


def test_auto_says_which_ran_and_long_refits_warn(fits, monkeypatch):
    res = fits("dyestuff")
    assert res.influence().method == "exact"
    monkeypatch.setattr(module, "AUTO_SECONDS", 0.0)
    assert res.influence().method == "one-step"
    monkeypatch.setattr(module, "WARN_SECONDS", 0.0)
    with pytest.warns(UserWarning, match="6 exact refits will take about"):
        res.influence("Batch", method="exact")


def test_summary_most_and_cutoff(fits):
    found = fits("sleepstudy").influence("Subject")
    table = found.summary_frame()
    assert {"dfb_Days", "cooks_d", "hat_diag", "n_rows"} <= set(table)
    worst = found.most(3)
    assert worst.index.tolist() == table.cooks_d.nlargest(3).index.tolist()
    assert found.most(1, "covratio").index[0] == (np.log(table.covratio).abs().idxmax())
    assert found.cutoff("dfb_Days") == (-2 / 18**0.5, 2 / 18**0.5)
    q1, q3 = table.cooks_d.quantile([0.25, 0.75])
    assert_allclose(found.cutoff()[1], q3 + 3 * (q3 - q1))
    assert str(found).startswith("Influence of 18 units of Subject, by exact refits")
    rows = fits("sleepstudy").influence(method="one-step").summary_frame()
    assert {"cooks_conditional", "standard_resid"} <= set(rows)
    with pytest.raises(ValueError, match="unknown measure 'cook'"):
        found.measure("cook")


def test_bad_arguments(fits):
    res = fits("dyestuff")
    with pytest.raises(ValueError, match="auto, exact, one-step, fixed"):
        res.influence(method="refit")
    with pytest.raises(ValueError, match="group 'batch' is neither"):
        res.influence("batch")
    labels = ["a"] * 29 + [None]
    with pytest.raises(ValueError, match="missing in 1 of the 30 rows"):
        res.influence(labels)
