"""Responses drawn from a fit, and refits to many of them."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from registry import dataset, fitted

import sm_lmer.api as sml
from sm_lmer import components
from sm_lmer.core.batched import suits
from sm_lmer.core.fitted import solve_at
from sm_lmer.core.optimize import optimize
from sm_lmer.core.refitting import Refitter
from sm_lmer.core.solving import solve_responses
from sm_lmer.inference.simulate import simulate, simulated_responses
from sm_lmer.inference.simulated_intervals import (
    errors_of_estimates,
    simulated_intervals,
)

MODELS = [
    "sleepstudy",
    "sleepstudy_ml",
    "dyestuff2",
    "penicillin",
    "pastes",
    "machines",
    "oats",
]


def fit(formula, data, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return sml.lmer(formula, data, **kwargs).fit()


def weighted():
    data = dataset("sleepstudy").copy()
    i = np.arange(len(data))
    data["w"], data["o"] = 0.5 + (i % 5) / 2, 3.0 * (i % 7)
    return data


def covariance(res):
    """Covariance of the response by definition."""
    V = np.diag(res.scale / weights_of(res))
    for term, S in zip(res.model.re_terms, components.covariances(res), strict=True):
        same = term.factor.codes[:, None] == term.factor.codes[None, :]
        V += same * (term.Z @ S @ term.Z.T)
    return V


def weights_of(res):
    w = res.model.weights
    return np.ones(res.model.nobs) if w is None else w


# -- simulate --------------------------------------------------------------------------


def test_moments_are_those_of_the_model():
    res = fit("Reaction ~ Days + offset(o) + (Days | Subject)", weighted(), weights="w")
    nsim = 20_000
    y = simulate(res, nsim, rng=1)
    V = covariance(res._results)
    sd = np.sqrt(V.diagonal())
    mean = res.model.predict(res.params)
    assert np.abs((y.mean(axis=1) - mean) / sd).max() < 5 / np.sqrt(nsim)
    gap = (np.cov(y.to_numpy()) - V) / np.outer(sd, sd)
    assert np.abs(gap).max() < 7 / np.sqrt(nsim)


def test_kept_effects_leave_only_the_errors():
    res = fit("Reaction ~ Days + (Days | Subject)", weighted(), weights="w")
    for kept in ({"use_u": True}, {"re_form": None}):
        y = simulate(res, 8000, rng=2, **kept)
        gap = (y.mean(axis=1) - res.fittedvalues) * np.sqrt(res.model.weights)
        assert np.abs(gap / res.sigma).max() < 5 / np.sqrt(8000)
        spread = y.std(axis=1) * np.sqrt(res.model.weights) / res.sigma
        assert_allclose(spread, 1.0, atol=0.04)


def test_re_form_keeps_some_terms_and_draws_the_others():
    res = fitted("penicillin")
    y = simulate(res, 8000, re_form="~ (1 | sample)", rng=3)
    expected = res.predict(re_form="~ (1 | sample)")
    sd = np.sqrt(components.covariances(res)[0][0, 0] + res.scale)
    assert np.abs(y.mean(axis=1) - expected).max() < 5 * sd / np.sqrt(8000)
    assert_allclose(y.std(axis=1), sd, rtol=0.04)


def test_part_of_a_term_is_refused():
    with pytest.raises(ValueError, match="some columns of"):
        simulate(fitted("sleepstudy"), re_form="~ (1 | Subject)")


def test_new_levels_share_their_draws():
    res = fitted("sleepstudy")
    new = pd.DataFrame(
        {"Days": [0, 9, 0, 0, 0], "Subject": ["a", "a", "b", "308", None]},
        index=list("vwxyz"),
    )
    for kept in (False, None):
        y = simulate(res, 20_000, exog=new, re_form=kept, rng=4)
        assert list(y.index) == list("vwxyz")
        S = components.covariances(res)[0]
        z = np.array([[1.0, 0.0], [1.0, 9.0]])
        within = z @ S @ z.T + res.scale * np.eye(2)
        found = np.cov(y.to_numpy())
        assert_allclose(found[:2, :2], within, rtol=0.06)
        assert np.abs(np.corrcoef(y.to_numpy())[2:, :2]).max() < 0.04
        assert abs(np.corrcoef(y.to_numpy())[2, 4]) < 0.04
        known = res.scale + (S[0, 0] if kept is False else 0.0)
        assert_allclose(found[3, 3], known, rtol=0.06)
    assert_allclose(y.loc["y"].mean(), res.predict(new.loc[["y"]]).iloc[0], rtol=0.01)


def test_other_parameters():
    res = fitted("sleepstudy")
    given = {"beta": [1.0, 0.0], "theta": [0.0, 0.0, 0.0], "sigma": 2.0}
    y = simulate(res, 500, params=given, rng=5).to_numpy()
    assert_allclose([y.mean(), y.std()], [1.0, 2.0], atol=0.03)
    with pytest.raises(ValueError, match="beta, theta and sigma"):
        simulate(res, params={"sgima": 1.0})
    with pytest.raises(ValueError, match="2 fixed effects"):
        simulate(res, params={"beta": [1.0]})


@pytest.mark.parametrize(
    "make", [lambda: 7, lambda: np.random.default_rng(7), np.random.RandomState]
)
def test_random_sources(make):
    res = fitted("dyestuff")
    if make is np.random.RandomState:
        one, two = (simulate(res, 2, rng=make(7)) for _ in range(2))
    else:
        one, two = simulate(res, 2, rng=make()), simulate(res, 2, rng=make())
    assert_array_equal(one, two)
    assert_array_equal(one.to_numpy()[:, :1], _first(res, make))


def _first(res, make):
    rng = make(7) if make is np.random.RandomState else make()
    return simulate(res, 1, rng=rng).to_numpy()


def test_missing_values_give_nan_rows():
    new = pd.DataFrame({"Days": [1.0, np.nan], "Subject": ["308", "308"]})
    y = simulate(fitted("sleepstudy"), 2, exog=new, rng=1)
    assert_array_equal(y.isna().to_numpy(), [[False, False], [True, True]])


# -- fast refits -------------------------------------------------------------------


def compared(res, Y, rtol):
    likelihood = res._likelihood()
    refits = Refitter(likelihood, res.theta, res.reml).refit(Y)
    for k, y in enumerate(Y.T):
        other = likelihood.with_response(y)
        best = optimize(other, res.reml, start=likelihood.to_inner(res.theta))
        theta, Ts = best.point.to_user(other)
        solution = solve_at(other, theta, res.reml, Ts)
        assert refits.value[k] < solution.value + 1e-8
        if refits.value[k] < solution.value - 1e-6:
            continue  # the ordinary search has another, worse optimum
        se = np.sqrt(solution.sigma2 * solution.vcov_unscaled.diagonal())
        assert_allclose(refits.beta[k], solution.beta, atol=1e-4 * se.max())
        assert_allclose(refits.se[k], se, rtol=rtol)
        assert_allclose(refits.sigma[k], np.sqrt(solution.sigma2), rtol=rtol)
        assert_allclose(refits.theta[k], theta, atol=1e-3)
    assert refits.converged.all()
    return refits


@pytest.mark.parametrize("name", MODELS)
def test_refits_are_those_of_an_ordinary_search(name):
    res = fitted(name)._results
    assert suits(res._likelihood())
    compared(res, simulated_responses(res, 12, 1), rtol=1e-5)


def test_refits_with_weights_and_independent_terms(rng):
    data = weighted()
    data["h"] = rng.integers(0, 6, len(data))
    formula = "Reaction ~ Days + (Days || Subject) + (Days | h)"
    res = fit(formula, data, weights="w")._results
    compared(res, simulated_responses(res, 6, 1), rtol=1e-5)


def test_refits_one_by_one_agree_with_those_at_once():
    res = fitted("penicillin")._results
    Y = simulated_responses(res, 5, 3)
    refitter = Refitter(res._likelihood(), res.theta, res.reml)
    at_once = refitter.refit(Y)
    refitter.batched = None
    single = refitter.refit(Y)
    assert_allclose(single.value, at_once.value, atol=1e-5)
    assert_allclose(single.beta, at_once.beta, atol=1e-5)
    assert_allclose(single.theta, at_once.theta, atol=5e-3)


@pytest.mark.parametrize("name", ["sleepstudy", "penicillin", "pastes"])
def test_gradients_at_once_are_those_of_the_engine(name, rng):
    res = fitted(name)._results
    likelihood = res._likelihood()
    Y = simulated_responses(res, 4, 1)
    batched = Refitter(likelihood, res.theta, res.reml).batched
    x = likelihood.start + 0.3 * rng.normal(size=(4, likelihood.k_theta))
    at = batched.evaluate(x, batched.responses(Y))
    for k, y in enumerate(Y.T):
        other = likelihood.with_response(y)
        one = other.evaluate(other.inner_templates(x[k]), res.reml)
        assert_allclose(at.value[k], one.value, rtol=1e-11)
        slope = other.gradient_at(x[k], one)
        assert_allclose(at.gradient[k], slope, rtol=1e-7, atol=1e-8)


def test_refits_follow_the_scale_of_the_response():
    res = fitted("sleepstudy")._results
    Y = simulated_responses(res, 3, 1)
    refitter = Refitter(res._likelihood(), res.theta, res.reml)
    one, other = refitter.refit(Y), refitter.refit(1e6 * Y)
    assert_allclose(other.beta, 1e6 * one.beta, rtol=1e-6)
    assert_allclose(other.theta, one.theta, atol=1e-5)


# -- many responses at one theta, prediction intervals --------------------------------


@pytest.mark.parametrize("name", ["sleepstudy", "penicillin", "pastes", "oats"])
def test_solutions_of_many_responses(name):
    res = fitted(name)._results
    likelihood = res._likelihood()
    _, Ts = res._optimum.point.to_user(likelihood)
    at = likelihood.evaluate(Ts, res.reml)
    Y = simulated_responses(res, 3, 1)
    beta, us = solve_responses(likelihood, at, Y)
    for k, y in enumerate(Y.T):
        one = solve_at(likelihood.with_response(y), res.theta, res.reml, Ts)
        assert_allclose(beta[:, k], one.beta, rtol=1e-9)
        for block, u in zip(likelihood.blocks, us, strict=True):
            own = np.hstack([one.u[j] for j in block.terms])
            assert_allclose(u[:, :, k], own, atol=1e-9 * np.abs(own).max())


def test_errors_have_the_covariance_of_hendersons_equations():
    res = fit("Reaction ~ Days + (Days | Subject)", weighted(), weights="w")._results
    beta, (b,) = errors_of_estimates(res, 20_000, np.random.default_rng(1))
    X, Z = res.model.exog, res.get_me("Z").toarray()
    Lambda = res.get_me("Lambda").toarray()
    ZL, W = Z @ Lambda, np.diag(res.model.weights)
    p = X.shape[1]
    H = np.block([[X.T @ W @ X, X.T @ W @ ZL], [ZL.T @ W @ X, ZL.T @ W @ ZL]])
    H[p:, p:] += np.eye(ZL.shape[1])
    back = np.block(
        [
            [np.eye(p), np.zeros((p, len(Lambda)))],
            [np.zeros((len(Lambda), p)), Lambda],
        ]
    )
    expected = res.scale * back @ np.linalg.inv(H) @ back.T
    found = np.cov(np.vstack([beta, b.reshape(-1, b.shape[2])]))
    sd = np.sqrt(expected.diagonal())
    assert np.abs((found - expected) / np.outer(sd, sd)).max() < 7 / np.sqrt(20_000)


def test_simulated_intervals_agree_with_the_analytic_ones():
    res = fitted("sleepstudy")
    new = pd.DataFrame({"Days": [0, 9, 9], "Subject": ["308", "309", "new"]})
    exact = res.get_prediction(new, allow_new_levels=True, ddf="normal")
    for residual, ends in ((True, ["obs_ci_lower", "obs_ci_upper"]), (False, None)):
        ends = ends or ["mean_ci_lower", "mean_ci_upper"]
        expected = exact.summary_frame()[ends].to_numpy()
        table = simulated_intervals(res, new, 20_000, residual=residual, rng=1)
        width = np.diff(expected, axis=1)
        gap = table[["lower", "upper"]].to_numpy() - expected
        assert np.abs(gap / width).max() < 0.025
        assert_allclose(
            table["fit"], res.predict(new, allow_new_levels=True), rtol=0.01
        )


def test_simulated_intervals_of_the_population():
    res = fitted("sleepstudy")
    table = simulated_intervals(
        res, nsim=4000, re_form=False, residual=False, rng=1, centre="mean"
    )
    exact = res.get_prediction(re_form=False, ddf="normal").conf_int()
    gap = table[["lower", "upper"]].to_numpy() - exact
    assert np.abs(gap).max() < 0.05 * np.diff(exact).max()
    with pytest.raises(ValueError, match="centre"):
        simulated_intervals(res, centre="mode")
