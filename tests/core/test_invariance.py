"""Fits do not depend on units, origins, the order of rows or terms, or labels.

Each test fits a model twice and says what the second fit must be, given the first.
The Jacobians: a response times c adds 2 df log c to the criterion (df = n for ML,
n - p for REML); a column of X times c adds 2 log c to the REML criterion, whose
log|X'V^-1X| it multiplies by c^2, and nothing to the deviance; shifts of the response
or of columns beside a constant add nothing, and neither do weights times c.
"""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from registry import dataset

import sm_lmer.api as sml

SCHOOLS = [
    "2030",
    "2990",
    "3999",
    "4325",
    "4931",
    "5761",
    "5838",
    "7101",
    "8150",
    "8188",
    "8193",
    "8800",
    "9104",
    "9158",
    "9198",
    "9508",
]

FORMULAS = {
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "hsb": "MathAch ~ SES + (SES | School)",
    "hsb16": "MathAch ~ SES + (SES | School)",  # singular: correlation -1 or 1
    "penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
    "pastes": "strength ~ 1 + (1 | batch/cask)",
}
SLOPES = {"sleepstudy": "Days", "hsb": "SES", "hsb16": "SES"}
CRITERION = 1e-6
RELATIVE = 1e-6


@cache
def data(name):
    if not name.startswith("hsb"):
        return dataset(name)
    frame = dataset("hsb")
    every = sorted(frame["School"].astype(str).unique(), key=int)
    some = every[::4] if name == "hsb" else SCHOOLS
    frame = frame[frame["School"].astype(str).isin(some)]
    return frame.assign(School=frame["School"].cat.remove_unused_categories())


def response(name):
    return FORMULAS[name].split(" ~ ")[0]


@cache
def base(name, reml=True):
    return fit(FORMULAS[name], data(name), reml=reml)


def fit(formula, frame, reml=True, **extras):
    """A fit that must converge; that hsb16 is singular is no surprise."""
    with warnings.catch_warnings():
        if len(frame) == 686:
            warnings.simplefilter("ignore", sml.SingularFitWarning)
        res = sml.lmer(formula, frame, **extras).fit(reml=reml)
    assert res.converged
    assert res.singular == (len(frame) == 686)
    return res


def criterion(res):
    return -2.0 * res.llf


def near(actual, desired, scale=None):
    """Entries agree relative to `scale`, by default each to its own size."""
    desired = np.asarray(desired, dtype=float)
    scale = np.abs(desired) if scale is None else scale
    error = np.abs(np.asarray(actual, dtype=float) - desired)
    assert (error <= RELATIVE * scale).all(), (error / scale).max()


def modes(res, name):
    """Conditional modes of one factor, levels in their sorted order."""
    return res.ranef()[name].sort_index()


def same_fit(res, old, unit=1.0, jacobian=0.0):
    """The fit is the old one with a response in another unit."""
    assert abs(criterion(res) - criterion(old) - jacobian) < CRITERION
    assert abs(res.aic - old.aic - jacobian) < CRITERION
    assert abs(res.llf - old.llf + 0.5 * jacobian) < CRITERION
    assert abs(res.bic - old.bic - jacobian) < CRITERION
    near(res.sigma, unit * old.sigma)
    near(np.sort(res.varcorr()["vcov"]), unit**2 * np.sort(old.varcorr()["vcov"]))
    near(res.bse, unit * old.bse)


def largest(frame):
    return np.abs(np.asarray(frame)).max()


# -- predictors -------------------------------------------------------------------

SHIFTS = [2010.0, -1e4, 1e6]
SCALES = [1e8, 1e-8, -3.0]


@pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])
@pytest.mark.parametrize(
    ("shift", "scale"), [(s, 1.0) for s in SHIFTS] + [(0.0, c) for c in SCALES]
)
@pytest.mark.parametrize("name", SLOPES)
def test_shift_and_scale_of_a_predictor(name, shift, scale, reml):
    """x' = c (x + s): intercept' = intercept - s slope, slope' = slope / c.

    Jacobian: 2 log|c| by REML, 0 by ML.
    """
    old, x = base(name, reml), SLOPES[name]
    changed = data(name).assign(**{x: scale * (data(name)[x] + shift)})
    res = fit(FORMULAS[name], changed, reml=reml)
    assert res.converged
    jacobian = 2.0 * np.log(abs(scale)) * reml
    assert abs(criterion(res) - criterion(old) - jacobian) < CRITERION
    assert abs(res.aic - old.aic - jacobian) < CRITERION

    M = np.array([[1.0, -shift], [0.0, 1.0 / scale]])
    covariance = M @ old.cov_re.to_numpy() @ M.T
    near(res.sigma, old.sigma)
    near(res.params, M @ old.params)
    near(res.cov_params(), M @ old.cov_params().to_numpy() @ M.T)
    near(res.cov_re, covariance)
    near(res.fittedvalues, old.fittedvalues)
    group = next(iter(old.n_groups))
    moved = modes(old, group).to_numpy() @ M.T
    near(modes(res, group), moved, np.abs(moved).max(axis=0))
    near(np.abs(res.theta[0]), np.sqrt(covariance[0, 0]) / old.sigma)
    # det T is invariant but for the scale, and the last digits of theta are in it
    det = old.theta[0] * old.theta[2] / abs(scale)
    size = old.theta[0] * np.linalg.norm(old.theta[1:]) / abs(scale)
    near(res.theta[0] * res.theta[2], det, size if old.singular else None)


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("name", SLOPES)
def test_shift_is_undone(name, shift):
    """Estimates of the shifted fit, brought back, are those of the first.

    The intercept's variance comes back through theta's factor, not the covariance:
    (1, s) T has norm sd(intercept) / sigma, and here 12 digits of (T T') would cancel.
    """
    old, x = base(name), SLOPES[name]
    changed = data(name).assign(**{x: data(name)[x] + shift})
    res = fit(FORMULAS[name], changed)
    (a, b, c) = res.theta
    row = np.array([a + shift * b, shift * c])
    sd = np.linalg.norm(row) * res.sigma
    lost = 1.0 + shift**2 * 1e-10  # theta itself carries 16 digits only
    assert abs(sd / np.sqrt(old.cov_re.iloc[0, 0]) - 1.0) < RELATIVE * lost
    assert abs(res.params.iloc[0] + shift * res.params.iloc[1] - old.params.iloc[0]) < (
        RELATIVE * abs(old.params.iloc[0]) * lost
    )


@pytest.mark.parametrize("scale", [1e8, 1e-8])
@pytest.mark.parametrize("formula", ["x || g", "0 + x | g", "diag(x | g)"])
def test_scale_of_a_predictor_in_diagonal_terms(formula, scale):
    """These are invariant under scaling alone. Jacobian: 2 log c."""
    frame = data("sleepstudy").rename(columns={"Days": "x", "Subject": "g"})
    text = f"Reaction ~ x + ({formula})".replace("(diag(x | g))", "diag(x | g)")
    old = fit(text, frame)
    res = fit(text, frame.assign(x=frame["x"] * scale))
    assert abs(criterion(res) - criterion(old) - 2.0 * np.log(scale)) < CRITERION
    near(res.sigma, old.sigma)
    near(res.params, old.params / [1.0, scale])
    near(res.theta, old.theta / (1.0, scale)[-len(old.theta) :])
    near(res.fittedvalues, old.fittedvalues)


def test_published_sleepstudy_in_calendar_years():
    """The likelihood has no origin: lme4 stops at 1786.4 here, statsmodels' MixedLM at 1890.5."""
    frame = data("sleepstudy")
    frame = frame.assign(Y=frame["Days"] + 2010)
    res = fit("Reaction ~ Y + (Y | Subject)", frame)
    assert res.remlcrit == pytest.approx(1743.6283, abs=5e-5)


# -- the response -----------------------------------------------------------------


@pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])
@pytest.mark.parametrize("unit", [1e9, 1e-9, -2.5])
@pytest.mark.parametrize("name", FORMULAS)
def test_unit_of_the_response(name, unit, reml):
    """y' = c y. Jacobian: 2 df log|c|, df = n - p by REML and n by ML."""
    old, y = base(name, reml), response(name)
    changed = data(name).assign(**{y: unit * data(name)[y]})
    res = fit(FORMULAS[name], changed, reml=reml)
    df = old.nobs - len(old.params) * reml
    same_fit(res, old, abs(unit), 2.0 * df * np.log(abs(unit)))
    near(res.theta, old.theta)
    near(res.params, unit * old.params)
    near(res.fittedvalues, unit * old.fittedvalues)
    for group in old.n_groups:
        expected = unit * modes(old, group)
        near(modes(res, group), expected, largest(expected))


@pytest.mark.parametrize("name", FORMULAS)
def test_origin_of_the_response(name):
    """y' = y + 1e9: the intercept moves. Jacobian: 0.

    A double near 1e9 is rounded to 1e-7, so decimals are first made such that the
    shift is exact; what is left is the engine's own.
    """
    y = response(name)
    rounded = data(name).assign(**{y: (data(name)[y] * 1024).round() / 1024})
    old = fit(FORMULAS[name], rounded)
    res = fit(FORMULAS[name], rounded.assign(**{y: rounded[y] + 1e9}))
    same_fit(res, old)
    near(res.theta, old.theta)
    near(res.params.iloc[1:], old.params.iloc[1:])
    assert res.params.iloc[0] - 1e9 == pytest.approx(old.params.iloc[0], abs=1e-6)
    for group in old.n_groups:
        near(modes(res, group), modes(old, group), largest(modes(old, group)))


# -- rows, labels, terms, weights ---------------------------------------------------


@pytest.mark.parametrize("name", FORMULAS)
def test_order_of_rows(name):
    """Jacobian: 0."""
    old = base(name)
    order = np.random.default_rng(1).permutation(len(data(name)))
    res = fit(FORMULAS[name], data(name).iloc[order])
    same_fit(res, old)
    near(res.theta, old.theta)
    near(res.params, old.params)
    near(res.fittedvalues.loc[old.fittedvalues.index], old.fittedvalues)
    for group in old.n_groups:
        near(modes(res, group), modes(old, group), largest(modes(old, group)))


@pytest.mark.parametrize("kind", ["reversed", "numbers", "strings"])
@pytest.mark.parametrize("name", FORMULAS)
def test_labels_of_levels(name, kind):
    """Jacobian: 0. New labels sort in another order, so Z's columns are permuted."""
    old = base(name)
    frame, labels = data(name), {}
    for group in {"cask", "batch", "plate", "sample", "Subject", "School"}:
        if group not in frame:
            continue
        levels = sorted(frame[group].unique(), key=str)
        new = {
            "reversed": levels[::-1],
            "numbers": np.random.default_rng(3).permutation(len(levels)).tolist(),
            "strings": [f"level {(7 * k) % 101:03d}" for k in range(len(levels))],
        }[kind]
        labels[group] = dict(zip(levels, new, strict=True))
        column = frame[group].astype(object).map(labels[group])
        frame = frame.assign(**{group: column})
    res = fit(FORMULAS[name], frame)
    same_fit(res, old)
    near(res.theta, old.theta)
    near(res.params, old.params)
    near(res.fittedvalues, old.fittedvalues)
    for group in set(old.n_groups) & set(labels):
        was = modes(old, group)
        index = [labels[group][level] for level in was.index]
        near(modes(res, group).loc[index], was, largest(was))


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("penicillin", "diameter ~ (1 | sample) + (1 | plate) + 1"),
        ("pastes", "strength ~ (1 | batch) + (1 | batch:cask)"),
        ("pastes", "strength ~ (1 | batch:cask) + 1 + (1 | batch)"),
        ("pastes", "strength ~ 1 + (1 | sample) + (1 | batch)"),
        ("sleepstudy", "Reaction ~ (Days | Subject) + Days"),
        ("sleepstudy", "Reaction ~ (1 + Days | Subject) + 1 + Days"),
    ],
)
def test_order_of_terms(name, formula):
    """Jacobian: 0."""
    old = base(name)
    res = fit(formula, data(name))
    same_fit(res, old)
    near(np.sort(res.theta), np.sort(old.theta))
    near(res.params[old.params.index], old.params)
    near(res.fittedvalues, old.fittedvalues)


def test_order_of_columns_within_a_term():
    """(0 + Days + one | Subject) is (Days | Subject) with its columns exchanged.

    Jacobian: 0. theta is the factor of the exchanged covariance matrix.
    """
    old = base("sleepstudy")
    frame = data("sleepstudy").assign(one=1.0)
    res = fit("Reaction ~ Days + (0 + Days + one | Subject)", frame)
    same_fit(res, old)
    covariance = old.cov_re.to_numpy()[::-1, ::-1]
    near(res.cov_re, covariance)
    T = np.linalg.cholesky(covariance) / old.sigma
    near(res.theta, [T[0, 0], T[1, 0], T[1, 1]])


@pytest.mark.parametrize("factor", [1e-6, 4.0, 1e6])
@pytest.mark.parametrize("name", FORMULAS)
def test_unit_of_the_weights(name, factor):
    """w' = c w: sigma' = sqrt(c) sigma, theta' = theta / sqrt(c). Jacobian: 0.

    The covariances of y, and so its density, are the same: sigma^2 / w is.
    """
    w = np.random.default_rng(5).uniform(0.5, 2.0, len(data(name)))
    old = fit(FORMULAS[name], data(name), weights=w)
    res = fit(FORMULAS[name], data(name), weights=factor * w)
    assert abs(criterion(res) - criterion(old)) < CRITERION
    near(res.sigma, np.sqrt(factor) * old.sigma)
    near(res.theta, old.theta / np.sqrt(factor))
    near(res.params, old.params)
    near(res.bse, old.bse)
    near(res.varcorr()["vcov"].iloc[:-1], old.varcorr()["vcov"].iloc[:-1])
    for group in old.n_groups:
        near(modes(res, group), modes(old, group), largest(modes(old, group)))


def test_constant_weights_and_offsets_are_none():
    """Weights of 1 and an offset of 0 are as good as absent. Jacobian: 0."""
    old = base("sleepstudy")
    frame = data("sleepstudy")
    n = len(frame)
    formula = FORMULAS["sleepstudy"]
    res = fit(formula, frame, weights=np.ones(n), offset=np.zeros(n))
    same_fit(res, old)
    near(res.theta, old.theta)


def test_integer_weights_are_not_replications():
    """The mean of w rows is one row of weight w: the fixed effects agree.

    Jacobian: none; the criteria differ, because replications say something of sigma.
    """
    rng = np.random.default_rng(12)
    rows = pd.DataFrame({"g": np.repeat(np.arange(8), 10), "cell": np.arange(80) // 4})
    rows["x"] = np.repeat(rng.normal(size=20), 4)
    rows["y"] = rows["x"] + rng.normal(size=8)[rows["g"]] + rng.normal(size=80)
    cells = rows.groupby(["g", "cell"], as_index=False).agg(
        y=("y", "mean"), x=("x", "mean"), w=("y", "size")
    )
    full = sml.lmer("y ~ x + (1 | g)", rows)
    means = sml.lmer("y ~ x + (1 | g)", cells, weights="w")
    theta = np.array([0.7])
    from sm_lmer.core.fitted import solve_at

    a = solve_at(full.likelihood(), theta, reml=True)
    b = solve_at(means.likelihood(), theta, reml=True)
    np.testing.assert_allclose(a.beta, b.beta, rtol=1e-12)
    np.testing.assert_allclose(a.vcov_unscaled, b.vcov_unscaled, rtol=1e-12)
    np.testing.assert_allclose(a.b[0], b.b[0], rtol=1e-10)


@pytest.mark.parametrize("name", FORMULAS)
def test_offset_is_a_shift_of_the_response(name):
    """y with offset o is y - o without. Jacobian: 0."""
    frame, y = data(name), response(name)
    offset = np.random.default_rng(6).normal(scale=20.0, size=len(frame))
    old = fit(FORMULAS[name], frame)
    shifted = frame.assign(**{y: frame[y] + offset})
    res = fit(FORMULAS[name], shifted, offset=offset)
    same_fit(res, old)
    near(res.theta, old.theta)
    near(res.params, old.params)
    near(res.fittedvalues - offset, old.fittedvalues)
