"""Standard errors of predictions: against R, against dense algebra, invariance."""

from __future__ import annotations

import copy
import pickle
import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registry import MODELS, dataset, reference
from scipy import stats

import sm_lmer.api as sml
from sm_lmer.components import covariances
from sm_lmer.inference import prediction_errors
from sm_lmer.inference.prediction import design_rows

CASES = {case["id"]: case for case in reference("prediction_se")["cases"]}
FRAME_COLUMNS = [
    "mean",
    "mean_se",
    "mean_ci_lower",
    "mean_ci_upper",
    "obs_ci_lower",
    "obs_ci_upper",
]


@cache
def case_fit(name):
    case = CASES[name]
    data = dataset(name) if case["data"] is None else pd.DataFrame(case["data"])
    return sml.lmer(case["formula"], data, weights=case["weights"]).fit()


def quiet_fit(formula, data, reml=True, solver="auto", **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return sml.lmer(formula, data, **kwargs).fit(reml=reml, solver=solver)


def crossed(seed=3, n=60):
    """Made-up data: 7 groups g crossed with 6 of h, 3 of k, subgroups s of g."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n)})
    data["w"] = rng.uniform(0.5, 3, n)
    data["g"], data["h"] = rng.integers(0, 7, n), rng.integers(0, 6, n)
    data["k"], data["s"] = rng.integers(0, 3, n), rng.integers(0, 2, n)
    data["f"] = np.tile(["a", "b", "c"], n // 3)
    data["y"] = rng.normal(size=n) / np.sqrt(data["w"]) + data["x"]
    for name in ("g", "h", "k"):
        data["y"] += rng.normal(size=7)[data[name]]
    data["y"] += (rng.normal(size=7)[data["g"]]) * data["x"]
    return data


def new_crossed(data):
    """New rows: known levels, new ones in some factors and in all."""
    new = data.iloc[[0, 5, 9, 13, 20, 21]].reset_index(drop=True)
    new["x"] = [0.0, 3.0, -1.0, 0.5, 1.0, 2.0]
    new.loc[2, "g"], new.loc[3, "h"] = 99, 77
    new.loc[4, ["g", "h", "k"]] = 55
    return new


# a computation by the definition of the prediction error --------------------------


def dense_parts(res, new, re_form=None):
    """V, X, and for the new rows x, z' over known and new levels, and G over both."""
    model = res.model
    n, m = model.nobs, len(new)
    Zs, zs, Gs = [], [], []
    for k, (term, Sigma) in enumerate(
        zip(model.re_terms, covariances(res), strict=True)
    ):
        labels = [str(v) for v in term.factor.levels]
        names = term.name.split(":")
        rows = [":".join(str(new[c].iloc[i]) for c in names) for i in range(m)]
        labels += sorted(set(rows) - set(labels))
        q, L = term.q, len(labels)
        Z, z = np.zeros((n, L * q)), np.zeros((m, L * q))
        values = [
            np.ones(m) if c == "Intercept" else new[c].to_numpy() for c in term.columns
        ]
        for i, code in enumerate(term.factor.codes):
            Z[i, code * q : code * q + q] = np.asarray(term.Z)[i]
        if re_form is None or k in re_form:
            for i in range(m):
                at = labels.index(rows[i]) * q
                z[i, at : at + q] = [v[i] for v in values]
        Zs.append(Z)
        zs.append(z)
        Gs.append(np.kron(np.eye(L), Sigma))
    G = np.zeros((sum(map(len, Gs)),) * 2)
    start = 0
    for piece in Gs:
        G[start : start + len(piece), start : start + len(piece)] = piece
        start += len(piece)
    Z, z = np.hstack(Zs), np.hstack(zs)
    R = res.scale / (np.ones(n) if model.weights is None else model.weights)
    return Z @ G @ Z.T + np.diag(R), np.asarray(model.exog), Z, z, G


def error_variances(V, X, x, Z, z, G):
    """var(a'y - x'beta - z'b) with a the weights of the best linear predictor."""
    Vi = np.linalg.inv(V)
    P = np.linalg.solve(X.T @ Vi @ X, X.T @ Vi)
    C = z @ G @ Z.T
    a = x @ P + C @ Vi @ (np.eye(len(V)) - X @ P)
    return (
        np.einsum("mi,ij,mj->m", a, V, a)
        - 2 * np.einsum("mi,mi->m", a, C)
        + np.einsum("mi,ij,mj->m", z, G, z)
    )


def dense_se(res, new, re_form=None):
    V, X, Z, z, G = dense_parts(res, new, re_form)
    x = design_rows(res.model, new)
    return np.sqrt(error_variances(V, X, x, Z, z, G))


# against R ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_standard_errors_agree_with_r(name):
    case, res = CASES[name], case_fit(name)
    new = pd.DataFrame(case["new"])
    np.testing.assert_allclose(res.theta, case["theta"], rtol=1e-6)
    partial = {"simulated": "~ (x | g)"}.get(name, f"~ (1 | {case['partial']})")
    forms = {"conditional": None, "fixed": False, "partial": partial}
    for key, expected in case["predictions"].items():
        found = res.get_prediction(new, re_form=forms[key], allow_new_levels=True)
        np.testing.assert_allclose(found.predicted_mean, expected["mean"], rtol=1e-6)
        np.testing.assert_allclose(found.se_mean, expected["se"], rtol=2e-6)


# against the definition ---------------------------------------------------------------

FORMULAS = (
    "y ~ x + (1 | g)",
    "y ~ x + f + (x | g)",
    "y ~ x + (x || g) + (1 | h)",
    "y ~ 1 + (x + z | g) + (1 | h) + (1 | k)",
    "y ~ x + (1 | g/s)",
    "y ~ 0 + x + (1 | h) + (0 + x | g) + (1 | g)",
    "y ~ 0 + (1 | g) + (z | h)",
)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("formula", FORMULAS)
def test_prediction_errors_by_definition(formula, reml):
    data = crossed()
    new = new_crossed(data)
    for weights in (None, "w"):
        res = quiet_fit(formula, data, reml, weights=weights)
        found = res.get_prediction(new, allow_new_levels=True, ddf="normal")
        np.testing.assert_allclose(found.se_mean, dense_se(res, new), rtol=1e-7)
        mean = res.predict(new, allow_new_levels=True)
        np.testing.assert_allclose(found.predicted_mean, mean, rtol=1e-12)
        own = res.get_prediction(ddf="normal")
        np.testing.assert_allclose(own.se_mean, dense_se(res, data), rtol=1e-7)
        np.testing.assert_allclose(own.predicted_mean, res.fittedvalues, rtol=1e-12)
        w = np.ones(len(data)) if weights is None else data["w"]
        np.testing.assert_allclose(own.se_obs**2, own.se_mean**2 + res.scale / w)


@given(st.integers(0, 10_000), st.sampled_from(FORMULAS), st.booleans())
@settings(max_examples=6, deadline=None)
def test_prediction_errors_of_random_designs(seed, formula, weighted):
    data = crossed(seed, 45)
    res = quiet_fit(formula, data, weights="w" if weighted else None)
    new = new_crossed(data)
    found = res.get_prediction(new, allow_new_levels=True, ddf="normal")
    np.testing.assert_allclose(found.se_mean, dense_se(res, new), rtol=1e-6)


def test_henderson_s_equations():
    data = crossed()
    res = quiet_fit("y ~ x + (x | g) + (1 | h)", data, weights="w")
    Z, W = res.get_me("Z").toarray(), data["w"].to_numpy()[:, None]
    C = np.hstack([res.model.exog, Z])
    M = C.T @ (W * C)
    Sigma_g, Sigma_h = (S / res.scale for S in covariances(res))
    M[2:16, 2:16] += np.kron(np.eye(7), np.linalg.inv(Sigma_g))
    M[16:, 16:] += np.kron(np.eye(6), np.linalg.inv(Sigma_h))
    covariance = res.scale * np.linalg.inv(M)
    expected = np.sqrt(np.einsum("ni,ij,nj->n", C, covariance, C))
    np.testing.assert_allclose(res.get_prediction().se_mean, expected, rtol=1e-9)


@pytest.mark.parametrize("solver", ["dense", "superlu", "auto"])
def test_all_solvers_agree(solver):
    data = crossed(n=90)
    res = quiet_fit("y ~ x + (1 | g) + (1 | h) + (1 | k)", data, solver=solver)
    new = new_crossed(data)
    found = res.get_prediction(new, allow_new_levels=True)
    np.testing.assert_allclose(found.se_mean, dense_se(res, new), rtol=1e-7)
    np.testing.assert_allclose(
        res.get_prediction(ddf="normal").se_mean, dense_se(res, data), rtol=1e-7
    )


@pytest.mark.parametrize("entries", [1, 40])
def test_chunks_and_the_inverse_give_the_same(entries, monkeypatch):
    rng = np.random.default_rng(0)
    data = crossed(n=90).assign(c=rng.integers(0, 2, 90), d=rng.integers(0, 3, 90))
    res = quiet_fit("y ~ x + (1 | g/c/d)", data, solver="nested")
    expected = res.get_prediction(ddf="normal").se_mean
    np.testing.assert_allclose(expected, dense_se(res, data), rtol=1e-7)
    monkeypatch.setattr(prediction_errors, "ENTRIES_AT_ONCE", entries)
    monkeypatch.setattr(prediction_errors, "INVERSE_LIMIT", 0)
    again = res.get_prediction(ddf="normal").se_mean
    np.testing.assert_allclose(again, expected, rtol=1e-9)


def test_terms_on_equal_factors_may_part_in_new_data():
    data = crossed().assign(g2=lambda d: d["g"])
    res = quiet_fit("y ~ x + (1 | g) + (0 + x | g2)", data)
    new = data.head(4).assign(g2=[0, 1, 99, 3], g=[5, 77, 5, 3])
    found = res.get_prediction(new, allow_new_levels=True)
    np.testing.assert_allclose(found.se_mean, dense_se(res, new), rtol=1e-7)


def test_partial_forms():
    data = crossed()
    res = quiet_fit("y ~ x + (x | g) + (1 | h)", data)
    new = new_crossed(data)
    for form, positions in (("~ (x | g)", [0]), ("~ (1 | h)", [1])):
        found = res.get_prediction(new, re_form=form, allow_new_levels=True)
        expected = dense_se(res, new, positions)
        np.testing.assert_allclose(found.se_mean, expected, rtol=1e-7)
    slope = res.get_prediction(new, re_form="~ (0 + x | g)", allow_new_levels=True)
    V, X, Z, z, G = dense_parts(res, new, [0])
    z[:, :16:2] = 0.0  # 7 levels and a new one: the intercepts of g
    variances = error_variances(V, X, design_rows(res.model, new), Z, z, G)
    assert slope.se_mean[:2] ** 2 == pytest.approx(variances[:2])


def test_singular_fits(fits):
    data = dataset("dyestuff2")
    res = fits("dyestuff2")
    prediction = res.get_prediction(pd.DataFrame({"Batch": ["A", "new"]}), **NEW)
    se = np.sqrt(res.scale / len(data))
    np.testing.assert_allclose(prediction.se_mean, [se, se], rtol=1e-9)
    np.testing.assert_allclose(prediction.df, len(data) - 1, rtol=1e-6)


NEW = {"allow_new_levels": True}


# the fixed part ------------------------------------------------------------------------


@pytest.mark.parametrize("ddf", ["satterthwaite", "residual", "normal"])
def test_the_fixed_part_is_a_contrast(ddf, fits):
    res = fits("cake")
    new = dataset("cake").iloc[[0, 40, 100]]
    found = res.get_prediction(new, re_form=False, ddf=ddf)
    test = res.t_test(design_rows(res.model, new), ddf=ddf)
    np.testing.assert_allclose(found.predicted_mean, test.effect)
    np.testing.assert_allclose(found.se_mean, test.sd)
    np.testing.assert_allclose(found.conf_int(), test.conf_int())
    assert (found.df is None) == (ddf == "normal")


def test_kenward_roger_where_no_level_is_known(fits):
    res = fits("sleepstudy")
    new = pd.DataFrame({"Days": [2.0, 8.0], "Subject": "new"})
    ours = res.get_prediction(new, allow_new_levels=True, ddf="kenward-roger")
    vcov, X = res.inference("kenward-roger").vcov, design_rows(res.model, new)
    variance = np.einsum("mi,ij,mj->m", X, vcov + covariances(res)[0], X)
    np.testing.assert_allclose(ours.se_mean**2, variance, rtol=1e-9)
    known = new.assign(Subject="308")
    adjusted, plain = (
        res.get_prediction(known, ddf=ddf).se_mean for ddf in ("kenward-roger", None)
    )
    np.testing.assert_allclose(adjusted, plain, rtol=1e-12)


@pytest.mark.parametrize("ddf", ["satterthwaite", "residual", "normal"])
def test_models_without_a_fixed_part(ddf):
    data = dataset("dyestuff").assign(y=lambda d: d["Yield"] - 1527.0)
    res = quiet_fit("y ~ 0 + (1 | Batch)", data)
    known = res.get_prediction(data, ddf=ddf)
    np.testing.assert_allclose(known.se_mean, dense_se(res, data), rtol=1e-7)
    nothing = res.get_prediction(data, re_form=False, ddf=ddf)
    np.testing.assert_array_equal(nothing.conf_int(), 0.0)
    if ddf == "residual":
        np.testing.assert_array_equal(known.df, len(data))
        np.testing.assert_array_equal(nothing.df, len(data))


# degrees of freedom ---------------------------------------------------------------------


def test_degrees_of_freedom_reduce_to_those_of_contrasts(fits):
    """Of a row without random effects, though it goes through all equations."""
    res = fits("sleepstudy")
    new = pd.DataFrame({"Days": [0.0, 5.0], "Subject": "308"})
    rows = prediction_errors.evaluate(res.model, new, True, None, False, None)
    nothing = replace(
        rows, terms=tuple(replace(t, Z=np.zeros_like(t.Z)) for t in rows.terms)
    )
    results = res._results
    inference = results.inference()
    v, df, _ = prediction_errors._errors(results, nothing, np.ones(2), inference)
    test = res.t_test(rows.X)
    np.testing.assert_allclose(np.sqrt(v), test.sd, rtol=1e-9)
    np.testing.assert_allclose(df, test.df_denom, rtol=1e-5)


@pytest.mark.parametrize("reml", [True, False])
def test_degrees_of_freedom_by_the_delta_method(reml):
    """2 v^2 / var(v) with the inverse Hessian of a dense, unprofiled criterion."""
    data = crossed(n=45)
    res = quiet_fit("y ~ x + (1 | g) + (1 | h)", data, reml)
    assert not res.singular
    new = new_crossed(data)
    _, X, Z, z, _ = dense_parts(res, new)
    x, y = design_rows(res.model, new), data["y"].to_numpy()
    sizes = [
        t.factor.n_levels + extra
        for t, extra in zip(res.model.re_terms, (2, 2), strict=True)
    ]
    assert sum(sizes) == Z.shape[1]

    def parts(parameters):
        G = np.diag(np.repeat(parameters[:2], sizes))
        return Z @ G @ Z.T + parameters[2] * np.eye(len(y)), G

    def criterion(parameters):
        V, _ = parts(parameters)
        Vi = np.linalg.inv(V)
        A = X.T @ Vi @ X
        r = y - X @ np.linalg.solve(A, X.T @ Vi @ y)
        value = np.linalg.slogdet(V)[1] + r @ Vi @ r
        return value + (np.linalg.slogdet(A)[1] if reml else 0.0)

    def variances(parameters):
        V, G = parts(parameters)
        v = error_variances(V, X, x, Z, z, G)
        return np.concatenate([v, v + parameters[2] / 2.0])

    at = np.array([*(S[0, 0] for S in covariances(res)), res.scale])
    steps = np.diag(1e-3 * at)
    H = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            corners = [
                a * b * criterion(at + a * steps[i] + b * steps[j])
                for a in (1, -1)
                for b in (1, -1)
            ]
            H[i, j] = sum(corners) / (4 * steps[i, i] * steps[j, j])
    slopes = np.array(
        [(variances(at + s) - variances(at - s)) / (2 * s.sum()) for s in steps]
    )
    covariance = 2.0 * np.linalg.inv(H)
    spread = np.einsum("im,ij,jm->m", slopes, covariance, slopes)
    expected = 2.0 * variances(at) ** 2 / spread
    found = res.get_prediction(new, allow_new_levels=True, weights=2.0)
    both = np.concatenate([found.df, found.df_obs])
    np.testing.assert_allclose(both, expected, rtol=1e-3)


def test_a_known_group_has_more_degrees_of_freedom_than_the_population(fits):
    """Most of the error of its mean is noise, whose variance is known best."""
    res = fits("sleepstudy")
    own, population = res.get_prediction(), res.get_prediction(re_form=False)
    assert (own.df > 2.0 * population.df).all()
    assert (own.df < 178).all()
    residual = res.get_prediction(ddf="residual")
    np.testing.assert_allclose(residual.df, 178)


# intervals --------------------------------------------------------------------------------


def test_intervals_are_those_of_the_t_distribution(fits):
    res = fits("sleepstudy")
    new = pd.DataFrame(
        {"Days": [1, 10, 20.0], "Subject": ["308", "new", "309"]}, index=[5, 3, 5]
    )
    found = res.get_prediction(new, allow_new_levels=True, weights=[1.0, 2.0, 4.0])
    table = found.summary_frame(alpha=0.1)
    assert list(table.columns) == FRAME_COLUMNS
    assert table.index.tolist() == [5, 3, 5]
    half, half_obs = stats.t.ppf(0.95, [found.df, found.df_obs])
    assert (found.df_obs > found.df).tolist() == [True, True, True]
    se_obs = np.sqrt(found.se_mean**2 + res.scale / np.array([1.0, 2.0, 4.0]))
    np.testing.assert_allclose(
        table["mean_ci_upper"], table["mean"] + half * found.se_mean
    )
    np.testing.assert_allclose(table["obs_ci_lower"], table["mean"] - half_obs * se_obs)
    normal = res.get_prediction(new, allow_new_levels=True, ddf="normal")
    width = (normal.conf_int()[:, 1] - normal.predicted_mean) / normal.se_mean
    np.testing.assert_allclose(width, stats.norm.ppf(0.975))


def test_weights_of_new_observations():
    data = crossed()
    res = quiet_fit("y ~ x + (1 | g)", data, weights="w")
    one = res.get_prediction(data)
    np.testing.assert_allclose(one.var_resid, res.scale)
    nullable = data.assign(w=data["w"].convert_dtypes())
    for weights in ("w * 2", data["w"] * 2, (data["w"] * 2).to_numpy()):
        found = res.get_prediction(nullable, weights=weights)
        np.testing.assert_allclose(found.var_resid, res.scale / (2 * data["w"]))
        np.testing.assert_allclose(found.se_mean, one.se_mean)
    np.testing.assert_allclose(
        res.get_prediction(data, weights=4).var_resid, res.scale / 4
    )
    gap = res.get_prediction(data.assign(w=np.nan), weights="w").summary_frame()
    assert gap["obs_ci_lower"].isna().all()
    assert gap["mean_ci_lower"].notna().all()


@pytest.mark.parametrize(
    ("exog", "weights", "message"),
    [
        (True, 0.0, "weights of new observations must be positive"),
        (True, [1.0, 2.0], r"weights has shape \(2,\), but the data have 60 rows"),
        (True, "ww", "the new data have no column 'ww', which weights needs; did you"),
        (False, "w", "weights='w' is an expression in the columns of new data"),
        (True, ["a"] * 60, "weights must be numbers"),
        (True, "f", "column 'f' of the new data, which weights needs, is not numeri"),
    ],
)
def test_unusable_weights(exog, weights, message):
    data = crossed()
    res = quiet_fit("y ~ x + (1 | g)", data)
    with pytest.raises(ValueError, match=message):
        res.get_prediction(data if exog else None, weights=weights)


def test_offsets_move_the_mean_alone():
    data = crossed()
    res = quiet_fit("y ~ x + offset(z) + (1 | g)", data)
    shifted = res.get_prediction(data.assign(z=data["z"] + 1), offset=2.0)
    plain = res.get_prediction(data)
    np.testing.assert_allclose(shifted.predicted_mean, plain.predicted_mean + 3)
    np.testing.assert_allclose(shifted.se_mean, plain.se_mean)


def test_rows_with_missing_values(formula_engine):
    data = crossed()
    res = quiet_fit("y ~ np.log(w) + f + (x | g)", data)
    new = data.head(6).copy()
    new.loc[1, "w"], new.loc[2, "f"] = np.nan, None
    new.loc[3, "w"], new.loc[4, "x"] = -1.0, np.nan
    new["g"] = new["g"].astype(float)
    new.loc[5, "g"] = np.nan
    table = res.get_prediction(new, allow_new_levels=True).summary_frame()
    assert table.notna().all(axis=1).tolist() == [True, *[False] * 4, True]
    assert table.iloc[1:5].isna().all(axis=None)
    group = new.iloc[[5]].assign(g=1234)
    expected = res.get_prediction(group, allow_new_levels=True).se_mean
    np.testing.assert_allclose(table["mean_se"].iloc[[5]], expected)
    none = res.get_prediction(new.iloc[:0])
    assert none.summary_frame().shape == (0, 6)
    gone = res.get_prediction(new.iloc[[1]], re_form=False).summary_frame()
    assert gone.isna().all(axis=None)


def test_bare_columns_give_the_fixed_part(fits):
    res = fits("sleepstudy")
    rows = [[1.0, 0.0], [1.0, 4.5]]
    expected = res.t_test(rows)
    found = res.get_prediction(np.array(rows))
    np.testing.assert_allclose(found.se_mean, expected.sd)
    named = pd.DataFrame(rows, columns=["Intercept", "Days"], index=list("ab"))
    table = res.get_prediction(named, transform=False).summary_frame()
    assert table.index.tolist() == ["a", "b"]
    np.testing.assert_allclose(table["mean_se"], expected.sd)
    with pytest.raises(ValueError, match="levels the model has not seen"):
        res.get_prediction(pd.DataFrame({"Days": [1.0], "Subject": ["new"]}))


def test_mappings_rows_and_polars(fits):
    res = fits("sleepstudy")
    new = pd.DataFrame({"Days": [2.0, 4.5], "Subject": ["308", "335"]})
    expected = res.get_prediction(new).summary_frame()
    as_dict = res.get_prediction(new.to_dict("list")).summary_frame()
    pd.testing.assert_frame_equal(as_dict, expected)
    row = res.get_prediction(new.iloc[1]).summary_frame()
    pd.testing.assert_frame_equal(row, expected.iloc[[1]])
    scalars = res.get_prediction({"Days": 2.0, "Subject": "308"}).se_mean
    np.testing.assert_allclose(scalars, expected["mean_se"].iloc[[0]])
    by_name = res.predict({"Intercept": [1.0], "Days": [2.0]}, transform=False)
    np.testing.assert_allclose(by_name, res.predict(new, re_form=False)[:1])
    pl = pytest.importorskip("polars")
    polars = res.get_prediction(pl.DataFrame(new.to_dict("list"))).summary_frame()
    pd.testing.assert_frame_equal(polars, expected)


def test_models_of_arrays():
    data = dataset("sleepstudy")
    X = np.column_stack([np.ones(180), data["Days"]])
    res = sml.LMER(data["Reaction"].to_numpy(), X, data["Subject"].to_numpy(), X).fit()
    by_formula = sml.lmer(MODELS["sleepstudy"][1], data).fit().get_prediction()
    found = res.get_prediction()
    np.testing.assert_allclose(found.se_mean, by_formula.se_mean, rtol=1e-6)
    np.testing.assert_allclose(found.df, by_formula.df, rtol=1e-4)


# invariance -------------------------------------------------------------------------------


def test_scale_of_the_response_and_the_predictor():
    data = crossed()
    new = new_crossed(data)
    formula = "y ~ x + (x | g) + (1 | h)"
    found = quiet_fit(formula, data).get_prediction(new, allow_new_levels=True)
    moved = data.assign(y=1e6 + 1e3 * data["y"], x=1e5 + 1e4 * data["x"])
    again = quiet_fit(formula, moved).get_prediction(
        new.assign(x=1e5 + 1e4 * new["x"]), allow_new_levels=True
    )
    np.testing.assert_allclose(again.se_mean, 1e3 * found.se_mean, rtol=1e-5)
    np.testing.assert_allclose(again.df, found.df, rtol=1e-3)


def test_order_of_the_rows():
    data = crossed()
    new = new_crossed(data)
    formula = "y ~ x + (x | g) + (1 | h)"
    found = quiet_fit(formula, data).get_prediction(new, allow_new_levels=True)
    res = quiet_fit(formula, data.sample(frac=1, random_state=1))
    again = res.get_prediction(new.iloc[::-1], allow_new_levels=True)
    np.testing.assert_allclose(again.se_mean[::-1], found.se_mean, rtol=1e-6)
    whole = quiet_fit(formula, data).get_prediction()
    by_frame = quiet_fit(formula, data).get_prediction(data)
    np.testing.assert_allclose(by_frame.se_mean, whole.se_mean, rtol=1e-10)


def test_a_new_level_is_less_certain_than_a_known_one(fits):
    res = fits("sleepstudy")
    new = pd.DataFrame({"Days": [3.0] * 2, "Subject": ["308", "new"]})
    se = res.get_prediction(new, allow_new_levels=True).se_mean
    assert se[0] < se[1]


# without the rows of the data -------------------------------------------------------------

TRANSFORMED = (
    "y ~ poly(x, 2) + C(k) + f + scale(z) + offset(center(w)) + (scale(x) + f | g)"
    " + (1 | h)"
)


def without_rows(res):
    """A model whose design has kept none of the rows."""
    results = copy.copy(res._results)
    model = copy.copy(results.model)
    model._design = replace(
        model._design, frame=model._design.frame.iloc[:0], terms=(), endog=None
    )
    model.re_terms = tuple(without_codes(term) for term in model.re_terms)
    model.exog = model.endog = model.offset = model.weights = None
    results.model = model
    return results


def without_codes(term):
    other = copy.copy(term)
    object.__setattr__(other, "Z", None)
    object.__setattr__(other, "factor", replace(term.factor, codes=None))
    return other


def test_new_data_need_no_rows_of_the_model(formula_engine):
    data = crossed()
    res = quiet_fit(TRANSFORMED, data)
    bare, new = without_rows(res), data.head(7)
    forms = (None, False, "~ (scale(x) | g)", "~ (0 + scale(x) | g) + (1 | h)")
    for form in forms:
        np.testing.assert_allclose(
            bare.predict(new, re_form=form), res.predict(new, re_form=form), rtol=1e-12
        )
    np.testing.assert_allclose(
        bare.get_prediction(new, re_form=False).se_mean,
        res.get_prediction(new, re_form=False).se_mean,
    )
    with pytest.raises(ValueError, match="'f' has levels the model has not seen: zz"):
        bare.predict(new.assign(f="zz"))
    with pytest.raises(ValueError, match=r"data were removed by remove_data\(\)"):
        bare.predict()
    with pytest.raises(ValueError, match=r"need the model's data.* use re_form=False"):
        bare.get_prediction(new)


def test_kinds_of_columns():
    data = crossed().assign(c=lambda d: pd.Categorical(d["f"], list("cab")))
    design = sml.lmer("y ~ x + c + C(k) + (x | g) + (1 | h)", data)._design
    kinds = design.columns
    assert set(kinds) == {"y", "x", "c", "k", "g", "h"}
    assert kinds["c"].categorical
    assert kinds["c"].levels.tolist() == list("cab")
    assert sorted(kinds["k"].levels) == [0, 1, 2]
    assert kinds["x"].levels is None
    assert kinds["g"].levels is None


def test_a_pickled_fit_predicts_the_same(formula_engine):
    data = crossed()
    res = quiet_fit(TRANSFORMED, data)
    again = pickle.loads(pickle.dumps(res))
    found, expected = again.get_prediction(data), res.get_prediction(data)
    np.testing.assert_allclose(found.se_mean, expected.se_mean, rtol=1e-9)
    np.testing.assert_allclose(found.predicted_mean, expected.predicted_mean)


# forms and levels -------------------------------------------------------------------------


def test_independent_columns_may_be_asked_for_together():
    data = crossed()
    res = quiet_fit("y ~ x + (x || g)", data)
    np.testing.assert_allclose(res.predict(re_form="~ (x | g)"), res.fittedvalues)


def test_other_dummies_of_a_factor_are_not_the_model_s(formula_engine):
    data = crossed()
    res = quiet_fit("y ~ 1 + (f | g)", data)
    with pytest.raises(ValueError, match=r"names \(0 \+ f \| g\), which the model"):
        res.predict(re_form="~ (0 + f | g)")
    np.testing.assert_allclose(res.predict(re_form="~ (f | g)"), res.fittedvalues)
    full = quiet_fit("y ~ 1 + (0 + f | g)", data)
    np.testing.assert_allclose(full.predict(re_form="~ (0 + f | g)"), full.fittedvalues)
    with pytest.raises(ValueError, match="which the model does not have"):
        full.predict(re_form="~ (f | g)")


@pytest.mark.parametrize("text", ["C(k)", 'C(Q("k k"))', "C(k + 1)"])
def test_unseen_levels_of_made_up_factors(text, formula_engine):
    data = crossed().assign(**{"k k": lambda d: d["k"]})
    res = quiet_fit(f"y ~ x + {text} + (1 | g)", data)
    new = data.head(3).assign(**{"k": [0, 9, 1], "k k": [0, 9, 1]})
    with pytest.raises(ValueError, match=r"not seen: 9|cannot be evaluated on the new"):
        res.predict(new)
    np.testing.assert_allclose(res.predict(data), res.fittedvalues)


def test_design_rows(formula_engine):
    data = crossed()
    model = sml.lmer("y ~ poly(x, 2) + f * z + (1 | g)", data)
    np.testing.assert_allclose(design_rows(model, data), model.exog, atol=1e-12)
    grid = pd.DataFrame({"x": 0.5, "f": ["c", "a", "c"], "z": [1.0, 2.0, np.nan]})
    rows = design_rows(model, grid)
    assert np.isnan(rows[2]).all()
    assert np.isfinite(rows[:2]).all()
    with pytest.raises(ValueError, match="no column 'z', which the fixed part needs"):
        design_rows(model, grid.drop(columns="z"))
    with pytest.raises(ValueError, match="'f' has levels the model has not seen: d"):
        design_rows(model, grid.assign(f="d"))
