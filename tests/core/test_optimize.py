"""The optimiser: one optimum from any start by any method, and honest verdicts."""

from __future__ import annotations

import re
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from registry import MODELS, dataset
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import sm_lmer.api as sml
from sm_lmer.core.bfgs import minimize_bfgs
from sm_lmer.core.optimize import METHODS, hessian, newton_decrement

PAIR = ["sleepstudy", "penicillin"]


@cache
def model(name):
    data, formula = MODELS[name]
    return sml.lmer(formula, dataset(data))


def criterion(res):
    return -2.0 * res.llf


def recorded(function):
    """The result of a call and the warnings it raised."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function()
    return result, [w.category for w in caught]


# -- one optimum ------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PAIR)
def test_every_method_reaches_the_optimum(name, method, fits):
    res = model(name).fit(method=method)
    assert res.converged
    assert criterion(res) == pytest.approx(criterion(fits(name)), abs=1e-8)
    np.testing.assert_allclose(res.theta, fits(name).theta, rtol=1e-4)
    np.testing.assert_allclose(res.params, fits(name).params, rtol=1e-7)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore::sm_lmer.errors.SingularFitWarning")
def test_every_method_finds_the_boundary(method):
    res = model("dyestuff2").fit(method=method, reml=False)
    assert res.converged
    assert res.singular
    assert res.theta[0] == 0.0
    assert criterion(res) == pytest.approx(162.8730, abs=5e-5)


def test_unknown_method():
    with pytest.raises(ValueError, match="unknown method 'newton'; choose one of bfgs"):
        model("penicillin").fit(method="newton")


@pytest.mark.parametrize("size", [0.0, 1e-3, 0.1, 10.0, 100.0])
@pytest.mark.parametrize("name", PAIR)
def test_far_starts_reach_the_optimum(name, size, fits):
    """theta = 0 among them, where the gradient vanishes."""
    m = model(name)
    start = size * m.likelihood().start
    res = m.fit(start_params=start)
    assert res.converged
    assert criterion(res) == pytest.approx(criterion(fits(name)), abs=1e-9)
    np.testing.assert_allclose(res.theta, fits(name).theta, rtol=1e-6)
    np.testing.assert_allclose(res.fit_log.iloc[0, 1:], start, atol=1e-12)


def test_start_of_another_sign_or_correlation(fits):
    m = model("sleepstudy")
    for start in ([1.0, -0.9, 0.01], [0.01, 5.0, 0.01], [-2.0, 1.0, -1.0]):
        res = m.fit(start_params=start)
        np.testing.assert_allclose(res.theta, fits("sleepstudy").theta, rtol=1e-6)


def test_start_at_the_optimum_stays_there(fits):
    old = fits("sleepstudy")
    res = model("sleepstudy").fit(start_params=old.theta)
    np.testing.assert_allclose(res.theta, old.theta, rtol=1e-6)
    assert len(res.fit_log) <= len(old.fit_log) + 2


def test_start_of_the_wrong_length():
    with pytest.raises(ValueError, match="2 entries; this model has 3"):
        model("sleepstudy").fit(start_params=[1.0, 1.0])


def test_restarts_search_again_and_keep_the_best(fits):
    m = model("penicillin")
    one, more = m.fit(), m.fit(restarts=3)
    assert len(more.fit_log) > 2 * len(one.fit_log)
    assert criterion(more) <= criterion(one) + 1e-12
    np.testing.assert_allclose(more.theta, fits("penicillin").theta, rtol=1e-6)
    again = m.fit(restarts=3)
    pd.testing.assert_frame_equal(again.fit_log, more.fit_log)


def test_optimum_is_a_minimum(fits):
    """The Hessian is positive definite, and no Newton step is left to take."""
    for name in (*PAIR, "pastes", "machines"):
        res = fits(name)
        likelihood = res.model.likelihood()
        inner = likelihood.to_inner(res.theta)
        H = hessian(likelihood, inner, res.reml)
        assert np.linalg.eigvalsh(H).min() > 0
        assert newton_decrement(likelihood, inner, res.reml) < 1e-10
        around = np.random.default_rng(0).normal(size=(50, len(inner)))
        for step in around:
            value = likelihood.value(inner + 0.05 * step, res.reml, inner=True)
            assert value > criterion(res)


# -- the boundary -------------------------------------------------------------------


@pytest.mark.parametrize("reml", [True, False])
def test_dyestuff2_is_exactly_zero(reml):
    res, caught = recorded(lambda: model("dyestuff2").fit(reml=reml))
    assert caught == [sml.SingularFitWarning]
    assert res.theta.tolist() == [0.0]
    assert res.singular
    assert res.is_singular()
    assert res.converged
    assert res.varcorr()["vcov"].iloc[0] == 0.0
    assert (res.ranef()["Batch"] == 0.0).all(axis=None)


def slopes(correlation, seed=0, levels=12, rows=15):
    """Random slopes that are a multiple of the intercepts."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(levels), rows)
    x, b = rng.normal(size=len(g)), 2.0 * rng.normal(size=levels)[g]
    y = b + correlation * b * x + rng.normal(size=len(g))
    return pd.DataFrame({"g": g, "x": x, "y": y})


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_correlation_of_one(sign):
    """The warning comes once, and names the term; the estimate is on the boundary."""
    frame = next(
        f
        for f in (slopes(sign, seed) for seed in range(20))
        if recorded(lambda f=f: sml.lmer("y ~ x + (x | g)", f).fit())[1]
    )
    with pytest.warns(sml.SingularFitWarning, match=r"\(1 \+ x \| g\)") as seen:
        res = sml.lmer("y ~ x + (x | g)", frame).fit()
    assert len(seen) == 1
    assert res.converged
    assert res.singular
    correlation = res.varcorr()["sdcor"].iloc[2]
    assert correlation == pytest.approx(sign, abs=1e-7)
    shifted = frame.assign(x=frame["x"] + 3.0)
    again, caught = recorded(lambda: sml.lmer("y ~ x + (x | g)", shifted).fit())
    assert caught == [sml.SingularFitWarning]
    assert criterion(again) == pytest.approx(criterion(res), abs=1e-7)


def test_regular_fits_are_not_called_singular(fits):
    for name in (*PAIR, "pastes", "machines", "hsb"):
        assert not fits(name).singular
        assert not fits(name).is_singular()


def test_is_singular_takes_a_tolerance(fits):
    res = fits("sleepstudy")
    assert res.is_singular(tol=10.0)
    assert not res.is_singular(tol=1e-8)


# -- the verdict and the record ------------------------------------------------------


@pytest.mark.parametrize("name", PAIR)
def test_too_few_iterations(name):
    with pytest.warns(ConvergenceWarning) as seen:
        res = model(name).fit(reml=False, maxiter=1)
    assert len(seen) == 1
    sentence = str(seen[0].message)
    assert sentence.startswith("the search stopped at maxiter=1")
    assert "with a Newton decrement of" in sentence
    assert "try more iterations (maxiter=), restarts= or another method=" in sentence
    assert not res.converged
    assert not res.mle_retvals["converged"]


@pytest.mark.parametrize("name", [*PAIR, "pastes", "insteval"])
def test_fit_log(name, fits):
    res = fits(name)
    log = res.fit_log
    assert log.columns.to_list() == ["criterion", *res.theta_names]
    assert log.index.to_list() == list(range(1, len(log) + 1))
    assert log["criterion"].min() == pytest.approx(criterion(res), abs=1e-9)
    assert len(log) == res.mle_retvals["fcalls"]
    best = log.loc[log["criterion"].idxmin()]
    np.testing.assert_allclose(best.iloc[1:], res.theta, rtol=1e-6)
    for row in log.itertuples(index=False):
        value = res.model.criterion(row[1:])
        assert row[0] == pytest.approx(value, rel=1e-10)
    assert len(log) <= 30


def test_trace(capsys):
    quiet = model("sleepstudy").fit()
    assert capsys.readouterr().out == ""
    res = model("sleepstudy").fit(disp=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(res.fit_log) == len(quiet.fit_log)
    number = r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?"
    shape = re.compile(rf"\s*(\d+)\s+({number})\s+theta =((?:\s+{number})+)")
    for k, (line, row) in enumerate(
        zip(lines, res.fit_log.itertuples(index=False), strict=True), start=1
    ):
        found = shape.fullmatch(line)
        assert found, line
        assert int(found[1]) == k
        assert float(found[2]) == pytest.approx(row[0], abs=1e-6)
        theta = [float(t) for t in found[3].split()]
        assert theta == pytest.approx(list(row[1:]), rel=1e-4, abs=1e-6)


# -- simulated problems ----------------------------------------------------------------

FORMULAS = [
    "y ~ x + (x | g)",
    "y ~ x + (x | g) + (1 | h)",
    "y ~ x + z + (x + z | g)",
    "y ~ x + (x | g) + (x | h)",
    "y ~ x + (1 | g) + (1 | h)",
    "y ~ x + (x || g)",
]


def problem(seed):
    """A small unbalanced design; odd seeds measure it in awkward units."""
    rng = np.random.default_rng(1000 + seed)
    n = int(rng.integers(60, 240))
    G, H = int(rng.integers(6, 16)), int(rng.integers(4, 9))
    g, h = rng.integers(G, size=n), rng.integers(H, size=n)
    x, z = rng.normal(size=(2, n))
    sd = rng.choice([0.0, 0.3, 1.0, 3.0], size=5)
    y = x + rng.normal(size=n)
    for s, levels, codes, column in (
        (sd[0], G, g, 1.0),
        (sd[1], G, g, x),
        (sd[2], G, g, z),
        (sd[3], H, h, 1.0),
        (sd[4], H, h, x),
    ):
        y = y + s * rng.normal(size=levels)[codes] * column
    if seed % 2:
        unit = 10.0 ** rng.integers(-6, 7, size=3)
        x = unit[0] * (x + rng.choice([0.0, 10.0, 1000.0]))
        z, y = unit[1] * z, unit[2] * y
    frame = pd.DataFrame({"g": g, "h": h, "x": x, "z": z, "y": y})
    return sml.lmer(FORMULAS[seed // 2 % len(FORMULAS)], frame)


@cache
def single(seed):
    """A fit from the one default start, and its warnings."""
    return recorded(problem(seed).fit)


@pytest.mark.parametrize("seed", range(40))
def test_no_false_alarm(seed):
    """Converged means converged: no direction goes down from where it stopped."""
    res, caught = single(seed)
    assert res.converged
    assert ConvergenceWarning not in caught
    assert caught == [sml.SingularFitWarning] * res.singular
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        again = res.model.fit(start_params=res.theta)
    assert criterion(again) == pytest.approx(criterion(res), abs=1e-6)


@pytest.mark.filterwarnings("ignore::sm_lmer.errors.SingularFitWarning")
def test_a_single_start_finds_the_best_optimum():
    """Within 1e-4 of the best of six further starts, in at least 95 % of problems."""
    gaps = []
    for seed in range(30):
        res, _ = single(seed)
        best = res.model.fit(restarts=6)
        gaps.append(criterion(res) - criterion(best))
    gaps = np.array(gaps)
    assert gaps.min() > -1e-8  # restarts never lose what the first search found
    assert np.mean(gaps < 1e-4) >= 0.95, np.sort(gaps)[-3:]


def test_number_of_evaluations():
    """Scoring steps make a fit cheap: what it costs is part of what it promises."""
    counts = [len(single(seed)[0].fit_log) for seed in range(40)]
    assert np.median(counts) <= 30
    assert max(counts) <= 200


# -- the quasi-Newton search on its own --------------------------------------------------


def identity(x, gradient):
    return 0.1 * np.eye(len(x))


def rosenbrock(x):
    a, b = 1.0 - x[0], x[1] - x[0] ** 2
    gradient = np.array([-2.0 * a - 400.0 * x[0] * b, 200.0 * b])
    return a**2 + 100.0 * b**2, gradient


def test_bfgs_on_rosenbrocks_valley():
    found = minimize_bfgs(rosenbrock, np.array([-1.2, 1.0]), identity, 1e-18, 200)
    assert found.stop == "converged"
    np.testing.assert_allclose(found.x, 1.0, rtol=1e-7)
    assert found.decrement <= 1e-18
    assert found.value == rosenbrock(found.x)[0]


def test_bfgs_steps_back_from_where_the_objective_is_not_defined():
    """-log(x) + x with a wall at 0 and another at 3, from far and near."""
    refused = 0

    def objective(x):
        nonlocal refused
        if not 0.0 < x[0] < 3.0:
            refused += 1
            raise np.linalg.LinAlgError("outside")
        return x[0] - np.log(x[0]), 1.0 - 1.0 / x

    for start in (2.99, 1e-3):
        found = minimize_bfgs(
            objective, np.array([start]), lambda x, g: np.array([[50.0]]), 1e-16, 100
        )
        assert found.stop == "converged"
        assert found.x[0] == pytest.approx(1.0, abs=1e-7)
    assert refused > 0


def test_bfgs_says_when_it_was_stopped():
    found = minimize_bfgs(rosenbrock, np.array([-1.2, 1.0]), identity, 1e-18, 3)
    assert (found.stop, found.iterations) == ("limit", 3)
    assert found.decrement > 1e-18


@pytest.mark.parametrize("shift", [0.0, 10.0, 1000.0])
def test_independent_coefficients_of_collinear_columns(shift):
    """Far from the origin `(x || g)` has a second optimum with large variances."""
    rng = np.random.default_rng(3)
    g, x = rng.integers(12, size=240), rng.normal(size=240)
    slope = rng.normal(size=12)[g]
    frame = pd.DataFrame(
        {"g": g, "x": x + shift, "y": slope * x + rng.normal(size=240)}
    )
    model = sml.lmer("y ~ x + (x || g)", frame)
    found = recorded(model.fit)[0]
    for large in (3.0, 10.0, 30.0):
        other = recorded(lambda size=large: model.fit(start_params=[size, size]))[0]
        assert found.remlcrit <= other.remlcrit + 1e-6
