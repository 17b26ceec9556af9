"""Bootstrap schemes, their refits, and how they are carried out."""

from __future__ import annotations

import pickle
import warnings
from functools import cache

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from registry import dataset, fitted, reference

import sm_lmer.api as sml
from sm_lmer import components
from sm_lmer.inference import resampling
from sm_lmer.inference.bootstrap import TYPES, _Job, _refitter, bootstrap
from sm_lmer.inference.clusters import Cases, clusters, connected
from sm_lmer.inference.leverage import hat_values
from sm_lmer.inference.simulate import simulated_responses
from sm_lmer.inference.statistics import default_statistic, refit_rows

SCHOOLS = (
    "2030 2990 3999 4325 4931 5761 5838 7101 8150 8188 8193 8800 9104 9158 9198 9508"
)


def fit(formula, data, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return sml.lmer(formula, data, **kwargs).fit()


@cache
def model(name):
    if name == "hsb_sample":
        data = dataset("hsb")
        data = data[data["School"].astype(str).isin(SCHOOLS.split())].copy()
        data["School"] = data["School"].astype(str)
        data["catholic"] = (data["Sector"] == "Catholic").astype(float)
        means = data.groupby("School")["SES"].transform("mean")
        data["ses_cmc"] = data["SES"] - means
        formula = "MathAch ~ MEANSES + catholic * ses_cmc + (ses_cmc | School)"
        return fit(formula, data)
    if name == "weighted":
        data = dataset("sleepstudy").copy()
        i = np.arange(len(data))
        data["w"], data["o"] = 0.5 + (i % 5) / 2, 3.0 * (i % 7)
        formula = "Reaction ~ Days + offset(o) + (Days | Subject)"
        return fit(formula, data, weights="w")
    return fitted(name)


class InOrder:
    """A generator whose draws with replacement are everything once, in order."""

    def integers(self, high, size):
        return np.arange(size) % high


# -- against R -------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("kind", ["parametric", "conditional", "residual"])
def test_distributions_are_those_of_r(number, kind):
    case = reference("bootstrap")["distributions"][number]
    theirs = case[kind]
    ours = bootstrap(model(case["model"]), nsim=512, type=kind, rng=11)
    assert_allclose(ours.estimate, theirs["estimate"], rtol=2e-5)
    values = ours.replicates.to_numpy()
    used = np.isfinite(values).sum(axis=0)
    n = np.minimum(used, theirs["defined"])
    sd = np.nanstd(values, axis=0, ddof=1)
    error = sd * np.sqrt(1 / used + 1 / np.array(theirs["defined"]))
    assert np.abs((np.nanmean(values, axis=0) - theirs["mean"]) / error).max() < 4.5
    centred = values - np.nanmean(values, axis=0)
    kurtosis = np.nanmean(centred**4, axis=0) / sd**4
    spread = np.sqrt((kurtosis - 1.0) / (4.0 * n) * 2.0)
    assert np.abs(np.log(sd / np.array(theirs["sd"])) / spread).max() < 4.5


@pytest.mark.parametrize("number", range(3))
def test_pieces_of_the_residual_bootstrap_are_those_of_r(number):
    case = reference("bootstrap")["distributions"][number]
    res = model(case["model"])._results
    assert_allclose(hat_values(res), case["leverage"], rtol=1e-4, atol=1e-6)
    b = np.concatenate([b.reshape(-1) for b in resampling.reflated_modes(res)])
    expected = np.array(case["reflated"])
    assert_allclose(b, expected, atol=2e-4 * np.abs(expected).max())


# -- algebra -----------------------------------------------------------------------


def dense(res):
    """sigma^-2 V, P, and Z Lambda of a fit."""
    ZL = (res.get_me("Z") @ res.get_me("Lambda")).toarray()
    V = np.diag(1.0 / resampling.parts_of(res).roots ** 2) + ZL @ ZL.T
    X, Vi = np.asarray(res.model.exog), np.linalg.inv(V)
    P = Vi - Vi @ X @ np.linalg.solve(X.T @ Vi @ X, X.T @ Vi)
    return V, P, ZL


@pytest.mark.parametrize("name", ["weighted", "penicillin", "pastes", "machines"])
def test_variances_of_modes_and_leverages_by_definition(name):
    res = model(name)._results
    _, P, ZL = dense(res)
    expected, start = ZL.T @ P @ ZL, 0
    for V in resampling.mode_variances(res):
        q = V.shape[1]
        for own in V:
            block = expected[start : start + q, start : start + q]
            assert_allclose(own, block, atol=1e-7)
            start += q
    roots = resampling.parts_of(res).roots
    h = 1.0 - P.diagonal() / roots**2
    assert_allclose(hat_values(res), h, rtol=1e-6)


@pytest.mark.parametrize("name", ["weighted", "machines", "hsb_sample"])
def test_reflated_modes_have_the_covariance_of_the_model(name):
    res = model(name)._results
    for k, V in enumerate(resampling.mode_variances(res)):
        T = components.templates(res)[k]
        for own in V:
            q = len(own)
            root = resampling._whitened(np.tile(own, (q, 1, 1)), np.eye(q)).T
            # the map applied to the modes' own covariance
            assert_allclose(T @ root @ own @ root.T @ T.T, T @ T.T, atol=1e-6)


def test_reflation_does_not_depend_on_the_coordinates_of_a_singular_term():
    res = model("hsb_sample")._results
    S = components.covariances(res)[0]
    b = resampling.reflated_modes(res)[0]
    ratio = np.sqrt(S[1, 1] / S[0, 0]) * np.sign(S[0, 1])
    assert_allclose(b[:, 1], ratio * b[:, 0], atol=1e-3 * np.abs(b).max())


@pytest.mark.parametrize("name", ["weighted", "penicillin", "hsb_sample"])
def test_cgr_matches_the_moments_of_the_estimates(name):
    res = model(name)._results
    parts = resampling.parts_of(res)
    for u, T in zip(parts.u, parts.T, strict=True):
        b = resampling._rescaled(u, T, parts.sigma)
        assert_allclose(b.mean(axis=0), 0.0, atol=1e-9)
        assert_allclose(b.T @ b / len(b), res.scale * T @ T.T, atol=1e-4)
    e = resampling._standardised(parts.residual, parts.sigma)
    assert_allclose([e.mean(), np.mean(e**2)], [0.0, res.scale], atol=1e-9)


@pytest.mark.parametrize("name", ["weighted", "penicillin", "pastes"])
def test_residuals_in_their_order_give_the_response_back(name):
    res = model(name)._results
    y = resampling.semiparametric(res)(InOrder())
    assert_allclose(y, res.model.endog, rtol=1e-10)


@pytest.mark.parametrize("name", ["weighted", "penicillin", "pastes"])
def test_whitened_residuals_in_their_order(name):
    res = model(name)._results
    V, _, _ = dense(res)
    label = connected([t.factor.codes for t in res.model.re_terms])
    order = np.argsort(label, kind="stable")
    L = np.linalg.cholesky(V[np.ix_(order, order)])
    r = np.asarray(res.model.endog - res.model.predict(res.params))[order]
    z = np.linalg.solve(L, r)
    y = resampling.transformational(res)(InOrder()) - res.model.predict(res.params)
    assert_allclose(y[order], L @ (z - z.mean()), rtol=1e-7, atol=1e-7)


def test_blocks_of_residuals_come_from_one_group():
    res = model("sleepstudy")._results
    draw = resampling.reb(res)
    codes = res.model.re_terms[0].factor.codes
    own, Z = {}, res.model.re_terms[0].Z
    r = res.model.endog - res.model.predict(res.params)
    for g in range(18):
        rows = codes == g
        b = np.linalg.lstsq(Z[rows], r[rows], rcond=None)[0]
        own[g] = np.round(r[rows] - Z[rows] @ b, 6)
    y = draw(np.random.default_rng(1)) - res.model.predict(res.params)
    for g in range(18):
        rows = codes == g
        b = np.linalg.lstsq(Z[rows], r[rows], rcond=None)[0]
        donors = [
            (h, k)
            for h in range(18)
            for k in range(18)
            if _explained(y[rows] - Z[rows] @ _effects(h, Z, r, codes), own[k])
        ]
        assert len(donors) == 1


def _effects(g, Z, r, codes):
    return np.linalg.lstsq(Z[codes == g], r[codes == g], rcond=None)[0]


def _explained(e, values):
    return np.abs(e[:, None] - values).min(axis=1).max() < 1e-4


def test_wild_draws_are_one_number_a_cluster_with_mammens_moments():
    res = model("pastes")._results
    draw, rng = resampling.wild(res), np.random.default_rng(1)
    codes, levels = clusters(res.model.re_terms)
    assert levels == 10
    mean = np.asarray(res.model.predict(res.params))
    r = res.model.endog - mean
    ratio = np.array([(draw(rng) - mean) / r for _ in range(4000)])
    one = np.array([ratio[:, codes == g].mean(axis=1) for g in range(levels)])
    assert_allclose(ratio, one.T[:, codes], rtol=1e-8)
    scale = 1.0 / np.sqrt(1.0 - 1.0 / len(r))  # leverage of an intercept
    moments = [np.mean((one / scale) ** k) for k in (1, 2, 3)]
    assert_allclose(moments, [0.0, 1.0, 1.0], atol=0.06)


def test_cases_give_every_draw_levels_of_its_own():
    res = model("pastes")._results
    cases = Cases(res.model, two_stage=False)
    drawn = cases.draw(np.random.default_rng(3))
    terms = drawn.terms(res.model)
    assert [t.factor.n_levels for t in terms] == [30, 10]
    assert len(np.unique(drawn.rows)) < 60
    assert_array_equal(np.bincount(terms[1].factor.codes), 6)


def test_cases_in_their_order_are_the_fit_itself():
    for name in ("weighted", "pastes"):
        res = model(name)._results
        refits = refit_rows(res, Cases(res.model, two_stage=False).draw(InOrder()))
        assert_allclose(refits.value[0], res.remlcrit, rtol=1e-9)
        assert_allclose(refits.beta[0], res.params, rtol=1e-6)
        assert_allclose(refits.theta[0], res.theta, atol=1e-4)


# -- what is computed ------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_has_about_the_right_mean(kind):
    res = model("sleepstudy")
    boot = bootstrap(res, nsim=48, type=kind, rng=1)
    assert boot.n_failed == 0
    gap = (boot.bias / boot.bse).iloc[:2]
    assert gap.abs().max() < 4.5 / np.sqrt(48)
    assert 0.5 < boot.bse["Days"] / res.bse["Days"] < 1.6 or kind in (
        "conditional",
        "semiparametric",
    )


def test_default_statistics_are_those_of_the_results():
    for name in ("sleepstudy", "penicillin", "machines", "hsb_sample"):
        res = model(name)
        estimate, _ = default_statistic(res._results).of_fit(res._results)
        expected = np.concatenate([res.params, res.varcorr()["sdcor"]])
        assert_allclose(estimate, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["sleepstudy", "penicillin", "hsb_sample", "weighted"])
def test_a_function_sees_the_same_fits(name):
    res = model(name)

    def func(r):
        return np.concatenate([r.params, r.varcorr()["sdcor"].fillna(9.0)])

    quick = bootstrap(res, nsim=20, type="residual", rng=3)
    full = bootstrap(res, func, nsim=20, type="residual", rng=3)
    assert full.n_failed == 0
    assert_allclose(full.replicates, quick.replicates.fillna(9.0), atol=2e-4)


def test_names_of_a_function():
    res = model("dyestuff")
    one = bootstrap(res, lambda r: r.sigma, nsim=3, rng=1)
    assert list(one.estimate.index) == ["t"]
    named = bootstrap(res, lambda r: {"a": r.sigma, "b": 1.0}, nsim=3, rng=1)
    assert list(named.replicates.columns) == ["a", "b"]
    by_cases = bootstrap(res, lambda r: r.params, nsim=3, type="cases", rng=1)
    assert list(by_cases.replicates.columns) == ["Intercept"]
    with pytest.raises(TypeError, match="must return numbers"):
        bootstrap(res, lambda r: "text", nsim=3)


def test_bias_and_errors():
    boot = bootstrap(model("dyestuff"), nsim=50, rng=1)
    table = boot.to_frame()
    t = boot.replicates
    assert_allclose(table["bias"], t.mean() - boot.estimate)
    assert_allclose(table["std_error"], t.std(ddof=1))
    assert_allclose(table["bias_corrected"], 2 * boot.estimate - t.mean())
    text = str(boot)
    assert "50 of 50 replicates, seed 1" in text
    assert "original" in text


# -- how it is carried out -------------------------------------------------------------


@pytest.mark.parametrize("kind", ["parametric", "residual", "cases"])
def test_numbers_do_not_depend_on_the_number_of_jobs(kind):
    res, nsim = model("dyestuff"), 36 if kind == "cases" else 150
    one = bootstrap(res, nsim=nsim, type=kind, rng=5)
    with joblib.parallel_config(backend="threading"):
        two = bootstrap(res, nsim=nsim, type=kind, rng=5, n_jobs=2)
    assert_array_equal(one.replicates, two.replicates)
    more = bootstrap(res, nsim=nsim + 4, type=kind, rng=5)
    assert_allclose(more.replicates.iloc[:nsim], one.replicates, atol=1e-3)


@pytest.mark.parametrize("name", ["penicillin", "hsb_sample", "weighted"])
def test_what_workers_are_sent_gives_the_same_numbers(name):
    res = model(name)._results
    boot = bootstrap(res, nsim=4, type="cgr", rng=1)
    job = _Job(None, _refitter(res), None, boot.statistic, 1, None)
    again = pickle.loads(pickle.dumps(job))
    Y = simulated_responses(res, 2, 1)
    one, two = (
        j.statistic.of_responses(None, j.refitter, Y, None) for j in (job, again)
    )
    assert_array_equal(one.values, two.values)


def test_processes_give_the_same_numbers():
    joblib_loky = pytest.importorskip("joblib.externals.loky")
    res = model("dyestuff")
    one = bootstrap(res, nsim=140, rng=5)
    two = bootstrap(res, nsim=140, rng=5, n_jobs=2)
    joblib_loky.get_reusable_executor().shutdown(wait=True)
    assert_array_equal(one.replicates, two.replicates)


def test_generators_give_other_numbers_each_time():
    res, rng = model("dyestuff"), np.random.default_rng(1)
    one, two = bootstrap(res, nsim=3, rng=rng), bootstrap(res, nsim=3, rng=rng)
    assert one.seed != two.seed
    again = bootstrap(res, nsim=3, rng=one.seed)
    assert_array_equal(again.replicates, one.replicates)
    legacy = [bootstrap(res, nsim=3, rng=np.random.RandomState(4)) for _ in range(2)]
    assert_array_equal(legacy[0].replicates, legacy[1].replicates)


def test_failures_are_counted_and_kept():
    res = model("dyestuff")

    def picky(r):
        if r.sigma > res.sigma and r.model is not res.model:
            raise ArithmeticError("too large")
        return r.sigma

    with pytest.warns(UserWarning, match="ArithmeticError: too large"):
        boot = bootstrap(res, picky, nsim=30, rng=1)
    assert 0 < boot.n_failed < 30
    failed = boot.replicates.isna()["t"]
    assert list(np.flatnonzero(failed)) == list(boot.failures)
    assert "replicates failed" in str(boot)
    assert boot.to_frame()["n"]["t"] == 30 - boot.n_failed


def test_resampled_rows_that_lose_a_column_fail_with_its_name():
    data = pd.DataFrame({"g": np.repeat(np.arange(5), 6)})
    data["x"] = (data["g"] == 0).astype(float)
    rng = np.random.default_rng(2)
    data["y"] = rng.normal(size=5)[data["g"]] * 2 + rng.normal(size=30)
    res = fit("y ~ x + (1 | g)", data)
    with pytest.warns(UserWarning, match="x depends on the other columns"):
        boot = bootstrap(res, nsim=30, type="cases", rng=1)
    assert 3 < boot.n_failed < 20


def test_an_interrupt_keeps_what_is_done():
    calls = []

    def func(r):
        calls.append(1)
        if len(calls) > 40:
            raise KeyboardInterrupt
        return r.sigma

    boot = bootstrap(model("dyestuff"), func, nsim=100, rng=1)
    assert boot.interrupted
    assert boot.nsim == 32
    assert boot.n_failed == 0


def test_save_and_resume(tmp_path):
    pytest.importorskip("pyarrow")
    res, path = model("dyestuff"), tmp_path / "boot.parquet"
    first = bootstrap(res, nsim=130, rng=7, save=path)
    both = bootstrap(res, nsim=300, save=path)
    direct = bootstrap(res, nsim=300, rng=7)
    assert both.seed == 7
    assert_array_equal(both.replicates.iloc[:128], first.replicates.iloc[:128])
    assert_allclose(both.replicates, direct.replicates, rtol=1e-12)
    assert_allclose(both.standard_errors, direct.standard_errors, rtol=1e-12)
    again = bootstrap(res, nsim=300, save=path)
    assert_array_equal(again.replicates, both.replicates)
    with pytest.raises(ValueError, match="seed 7"):
        bootstrap(res, nsim=10, rng=8, save=path)
    with pytest.raises(ValueError, match="another fit"):
        bootstrap(res, nsim=10, type="cgr", save=path)


@pytest.mark.parametrize("kind", ["wild", "cases", "cases_two_stage"])
def test_crossed_factors_are_refused_with_the_reason(kind):
    with pytest.raises(ValueError, match="crossed with sample"):
        bootstrap(model("penicillin"), nsim=3, type=kind)


def test_other_bad_input():
    res = model("dyestuff")
    with pytest.raises(ValueError, match="unknown type 'percentile'"):
        bootstrap(res, type="percentile")
    with pytest.raises(ValueError, match="number of draws"):
        bootstrap(res, nsim=0)
    with pytest.raises(TypeError, match="func is a function"):
        bootstrap(res, "sigma")
    with pytest.raises(ValueError, match="one grouping factor"):
        bootstrap(model("pastes"), type="reb")
