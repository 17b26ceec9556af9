"""Cluster-robust covariances: clubSandwich, dense algebra, statsmodels, invariances."""

from __future__ import annotations

import pickle
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
import registry
import statsmodels.formula.api as smf

import sm_lmer.api as sml
from sm_lmer.inference import robust, sandwich
from sm_lmer.inference.hypotheses import each_row, jointly
from sm_lmer.inference.robust import KINDS, robust_covariance, robust_inference

REFERENCE = registry.reference("robust")
CASES = {case["id"]: case for case in REFERENCE["cases"]}
WEIGHTED = "Reaction ~ Days + (1 | Subject)"


def fit(formula, data, reml=True, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return sml.lmer(formula, data, **kwargs).fit(reml=reml)._results


@cache
def frame(name):
    if name in REFERENCE["inline"]:
        return pd.DataFrame(REFERENCE["inline"][name])
    return registry.dataset(name)


@cache
def fitted(name):
    case = CASES[name]
    return fit(case["formula"], frame(case["data"]), case["reml"])


def simulated(seed, crossed=False):
    """Small unbalanced data: g within c, or crossed with it."""
    rng = np.random.default_rng(seed)
    c = np.repeat(np.arange(7), rng.integers(3, 9, 7))
    n = len(c)
    g = rng.integers(0, 4, n) if crossed else 3 * c + rng.integers(0, 3, n)
    data = pd.DataFrame({"c": c, "g": g, "x": rng.normal(size=n)})
    data["z"] = rng.normal(size=7)[c]
    data["w"] = rng.uniform(0.3, 2.0, n)
    data["y"] = 1.0 + data.x + 2 * rng.normal(size=7)[c] + rng.normal(size=21)[g]
    data["y"] += rng.normal(size=n) + rng.normal(size=7)[c] * data.x
    return data


def power(A, exponent):
    """A power of a symmetric matrix, zero where its eigenvalue is."""
    values, vectors = np.linalg.eigh(A)
    kept = values > 1e-11 * values.max()
    powers = np.where(kept, np.where(kept, values, 1.0) ** exponent, 0.0)
    return vectors * powers @ vectors.T


def dense(res, clusters, kind):
    """Covariance and the P matrices of all contrasts from n by n matrices."""
    model = res.model
    X, n = np.asarray(model.exog), model.nobs
    weights = np.ones(n) if model.weights is None else model.weights
    V = np.diag(1.0 / weights)
    start = 0
    for term in model.re_terms:
        T = term.template(res.theta[start : start + term.n_theta])
        start += term.n_theta
        ZT = np.asarray(term.Z) @ T
        V += (ZT @ ZT.T) * (term.factor.codes[:, None] == term.factor.codes)
    VX = np.linalg.solve(V, X)
    M = np.linalg.inv(X.T @ VX)
    e = np.asarray(model.endog) - X @ np.asarray(res.params)
    labels, G = np.unique(clusters), len(np.unique(clusters))
    factor = {"CR1": G / (G - 1), "CR1S": G / (G - 1) * (n - 1) / (n - X.shape[1])}
    rows = []
    for label in labels:
        at = np.flatnonzero(clusters == label)
        E = np.zeros((X.shape[1], n))
        A = np.eye(len(at)) * np.sqrt(factor.get(kind, 1.0))
        if kind == "CR2":
            Vg = V[np.ix_(at, at)]
            root = power(Vg, 0.5)
            A = root @ power(root @ (Vg - X[at] @ M @ X[at].T) @ root, -0.5) @ root
        E[:, at] = VX[at].T @ A
        rows.append(M @ E)
    scores = np.array(rows) @ e
    R = V - X @ M @ X.T
    P = np.einsum("gin,nm,hjm->ijgh", rows, R, rows, optimize=True)
    return scores.T @ scores, P


def dense_df(P):
    return np.array(
        [np.trace(p) ** 2 / (p**2).sum() for p in np.einsum("iigh->igh", P)]
    )


def dense_htz(P):
    """nu of Pustejovsky and Tipton (2018) by sums over all clusters."""
    omega = np.einsum("ijgg->ij", P)
    root = power(omega, -0.5)
    P = np.einsum("si,tj,ijgh->stgh", root, root, P)
    q = len(omega)
    total = sum(
        (P[s, s] * P[t, t] + P[s, t] * P[t, s]).sum()
        for s in range(q)
        for t in range(q)
    )
    return q * (q + 1) / total


# -- clubSandwich ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_clubsandwich(name, kind):
    case, res = CASES[name], fitted(name)
    expected = case["kinds"][kind]
    found = robust_inference(
        res,
        case["cluster"] and frame(case["data"])[case["cluster"]],
        kind,
        "satterthwaite",
    )
    assert found.n_groups == case["n_clusters"]
    vcov = np.array(expected["vcov"])
    np.testing.assert_allclose(found.vcov, vcov, rtol=1e-7, atol=1e-8 * abs(vcov).max())
    rows = each_row(np.asarray(res.params), np.eye(len(vcov)), found)
    np.testing.assert_allclose(rows.df, expected["df"], rtol=1e-7)
    np.testing.assert_allclose(rows.pvalue, expected["p"], rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_joint_tests_agree_with_clubsandwich(name, kind):
    case, res = CASES[name], fitted(name)
    groups = case["cluster"] and frame(case["data"])[case["cluster"]]
    expected = case["kinds"][kind]["joint"]
    L, beta = np.array(expected["C"]), np.asarray(res.params)
    htz = jointly(beta, L, robust_inference(res, groups, kind, "satterthwaite"))
    naive = jointly(beta, L, robust_inference(res, groups, kind, "groups"))
    for found, name_ in ((htz, "HTZ"), (naive, "naive")):
        known = expected[name_]
        assert found.statistic == pytest.approx(known["Fstat"], rel=1e-7)
        assert found.df_denom == pytest.approx(known["df_denom"], rel=1e-7)
        assert found.pvalue == pytest.approx(known["p_val"], rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_weighted_fits_agree_with_clubsandwich_of_lme(kind):
    expected = REFERENCE["weighted"]["kinds"][kind]
    res = fit(WEIGHTED, frame("unbalanced"), weights="w")
    found = robust_inference(res, None, kind, "satterthwaite")
    np.testing.assert_allclose(found.vcov, expected["vcov"], rtol=1e-7)
    np.testing.assert_allclose(found.each(np.eye(2)), expected["df"], rtol=1e-7)


# -- dense algebra ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nested_designs_agree_with_dense_algebra(seed, weights, kind):
    data = simulated(seed)
    res = fit("y ~ x + z + (x | c) + (1 | g)", data, seed != 3, weights=weights)
    vcov, P = dense(res, data["c"].to_numpy(), kind)
    found = robust_inference(res, "c", kind, "satterthwaite")
    scale = np.sqrt(np.outer(vcov.diagonal(), vcov.diagonal()))
    np.testing.assert_allclose(found.vcov / scale, vcov / scale, atol=1e-8)
    np.testing.assert_allclose(found.each(np.eye(3)), dense_df(P), rtol=1e-7)
    df, factor = found.joint(np.eye(3))
    nu = dense_htz(P)
    assert df == pytest.approx(nu - 2, rel=1e-7)
    assert factor == pytest.approx((nu - 2) / nu, rel=1e-6)


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR1S"])
@pytest.mark.parametrize("by", ["c", "g", "small"])
@pytest.mark.parametrize("seed", [4, 5])
def test_clusters_that_effects_reach_across_agree_with_dense_algebra(seed, by, kind):
    data = simulated(seed, crossed=True)
    data["small"] = 100 * data["c"] + np.arange(len(data)) % 2
    res = fit("y ~ x + z + (1 | c) + (1 | g)", data, weights="w")
    vcov, _ = dense(res, data[by].to_numpy(), kind)
    found = robust_inference(res, data[by], kind)
    scale = np.sqrt(np.outer(vcov.diagonal(), vcov.diagonal()))
    np.testing.assert_allclose(found.vcov / scale, vcov / scale, atol=1e-8)
    assert "in several clusters" in found.notes[0]


def test_bias_reduction_makes_the_covariance_unbiased():
    """If V is right, the expectation of CR2 is the model's own covariance."""
    data = simulated(6)
    res = fit("y ~ x + z + (x | c) + (1 | g)", data)
    _, P = dense(res, data["c"].to_numpy(), "CR2")
    found = robust_inference(res, "c", "CR2")
    turned = found.to_scores @ found.own @ found.to_scores.T
    shared = found.to_scores @ found.shared
    mean = turned.sum(axis=0) - np.einsum("gij,gkj->ik", shared, shared)
    np.testing.assert_allclose(mean, np.einsum("ijgg->ij", P), atol=1e-9)
    np.testing.assert_allclose(mean, res.normalized_cov_params, atol=1e-9)


def test_a_column_of_one_cluster_alone_leaves_a_direction_out():
    data = simulated(7)
    data["only"] = (data["c"] == 2).astype(float)
    res = fit("y ~ x + only + (1 | c)", data)
    vcov, P = dense(res, data["c"].to_numpy(), "CR2")
    found = robust_inference(res, "c", "CR2")
    np.testing.assert_allclose(found.vcov[:2, :2], vcov[:2, :2], rtol=1e-7)
    np.testing.assert_allclose(found.each(np.eye(3)[:2]), dense_df(P)[:2], rtol=1e-6)


def test_large_random_effects_cost_no_digits():
    """With theta = 1e4 squares of V would leave half of the digits of CR2."""
    data = simulated(8)
    data["y"] = 1e4 * np.repeat(np.arange(7.0) ** 2, np.bincount(data["c"]))
    data["y"] += data["x"] + np.random.default_rng(8).normal(size=len(data))
    res = fit("y ~ x + (1 | c)", data)
    assert res.theta[0] > 1e4
    within = data[["y", "x"]] - data.groupby("c")[["y", "x"]].transform("mean")
    x, c = within["x"].to_numpy(), data["c"].to_numpy()
    e = within["y"].to_numpy() - x * (x @ within["y"]) / (x @ x)
    total = 0.0
    for k in range(7):  # the limit: fixed effects of the clusters
        at = c == k
        left = 1.0 - (x[at] @ x[at]) / (x @ x)
        total += (x[at] @ e[at]) ** 2 / left
    vcov = robust_inference(res, "c", "CR2").vcov
    assert vcov[1, 1] == pytest.approx(total / (x @ x) ** 2, rel=1e-4)


# -- statsmodels -----------------------------------------------------------------------


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("correction", [True, False])
def test_without_random_variance_it_is_that_of_statsmodels(correction, weights):
    data = simulated(9)
    rng = np.random.default_rng(9)
    w = np.ones(len(data)) if weights is None else data["w"].to_numpy()
    y = rng.normal(size=len(data))
    mean = np.bincount(data["c"], w * y) / np.bincount(data["c"], w)
    data["y"] = y - mean[data["c"]]
    res = fit("y ~ x + (1 | c)", data, weights=weights)
    assert res.theta[0] == 0.0
    wls = smf.wls("y ~ x", data, weights=w)
    kwds = {"groups": data["c"], "use_correction": correction}
    known = wls.fit(cov_type="cluster", cov_kwds=kwds, use_t=True)
    found, settings = robust_covariance(res, "cluster", kwds)
    np.testing.assert_allclose(found.vcov, known.cov_params(), rtol=1e-8)
    p = each_row(np.asarray(res.params), np.eye(2), found).pvalue
    np.testing.assert_allclose(p, known.pvalues, rtol=1e-7)
    assert settings["kind"] == ("CR1S" if correction else "CR0")


def test_settings_of_statsmodels():
    res = fitted("sleepstudy")
    default, settings = robust_covariance(res, "cluster")
    assert (settings["kind"], settings["n_groups"]) == ("CR1S", 18)
    assert "18 clusters" in settings["description"]
    np.testing.assert_array_equal(default.each(np.eye(2)), 17.0)
    residual, _ = robust_covariance(res, "cluster", {"df_correction": False})
    assert residual.joint(np.eye(2)) == (178.0, 1.0)
    normal, _ = robust_covariance(res, "cluster", {"kind": "CR2"}, use_t=False)
    assert not normal.use_t
    assert np.isinf(normal.each(np.eye(2))).all()
    reduced, _ = robust_covariance(res, "cluster", {"kind": "CR2"})
    assert isinstance(reduced, robust.ClusterSatterthwaite)
    plain, settings = robust_covariance(res, "nonrobust")
    np.testing.assert_allclose(plain.vcov, res.scale * res.normalized_cov_params)
    assert plain.method == "satterthwaite"
    assert robust_covariance(res, "nonrobust", use_t=False)[0].method == "normal"


@pytest.mark.parametrize(
    ("cov_type", "kwds", "error", "message"),
    [
        ("HC1", None, NotImplementedError, "'HC1' is not available"),
        ("cluster", {"time": 1}, TypeError, "takes no time"),
        ("nonrobust", {"groups": "Subject"}, TypeError, "takes no groups"),
        ("cluster", {"kind": "CR2", "use_correction": True}, ValueError, "not both"),
        ("cluster", {"ddf": "normal", "df_correction": True}, ValueError, "not both"),
        ("cluster", {"kind": "CR7"}, ValueError, "unknown kind 'CR7'"),
        ("cluster", {"ddf": "kr"}, ValueError, "unknown ddf 'kr'"),
    ],
)
def test_settings_that_are_refused(cov_type, kwds, error, message):
    with pytest.raises(error, match=message):
        robust_covariance(fitted("sleepstudy"), cov_type, kwds)


# -- clusters --------------------------------------------------------------------------


def test_clusters_can_be_named_or_given():
    data = registry.dataset("sleepstudy")
    res = fitted("sleepstudy")
    expected = robust_inference(res, "Subject", "CR2").vcov
    labels = data["Subject"].astype(str)
    for groups in (
        None,
        data["Subject"],
        labels,
        labels.to_numpy(),
        labels.to_numpy(str),
        labels.tolist(),
        labels.astype(int).to_numpy(np.float64),
        data[["Subject"]],
        pd.Categorical(labels),
    ):
        found = robust_inference(res, groups, "CR2").vcov
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_clusters_by_the_name_of_a_factor():
    res = fitted("pastes")
    pastes = registry.dataset("pastes")
    casks = pastes["batch"].astype(str) + pastes["cask"].astype(str)
    found = robust_inference(res, "batch:cask").vcov
    np.testing.assert_allclose(found, robust_inference(res, casks).vcov)
    batches = robust_inference(res, pastes["batch"]).vcov
    np.testing.assert_allclose(robust_inference(res).vcov, batches)
    assert abs(found[0, 0] / batches[0, 0] - 1) > 0.01


def test_clusters_of_all_rows_where_some_were_dropped():
    data = simulated(10)
    data.loc[[3, 11, 12], "x"] = np.nan
    res = fit("y ~ x + (1 | g)", data)
    used = data.dropna()
    expected = robust_inference(res, used["c"].to_numpy(), "CR2").vcov
    for groups in (data["c"], data["c"].to_numpy(), used["c"]):
        found = robust_inference(res, groups, "CR2").vcov
        np.testing.assert_array_equal(found, expected)


def test_clusters_of_a_model_from_arrays():
    data = simulated(11)
    X = np.column_stack([np.ones(len(data)), data["x"]])
    res = sml.LMER(data["y"].to_numpy(), X, groups=data["c"].to_numpy()).fit()
    formula = fit("y ~ x + (1 | c)", data)
    expected = robust_inference(formula, kind="CR2").vcov
    for groups in (None, "Group", data["c"]):
        found = robust_inference(res._results, groups, "CR2").vcov
        np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_unusable_clusters():
    data = registry.dataset("sleepstudy")
    res = fitted("sleepstudy")
    holes = data["Subject"].astype(object).where(data.index > 2)
    for groups, message in (
        (holes, "missing in 3 of the 180 rows"),
        (np.where(data.index > 0, data["Days"], np.nan), "missing in 1 of"),
        (np.ones(180), "one cluster only"),
        (np.ones(179), "179 entries, but the model uses 180 rows of 180"),
        (np.ones((180, 2)), r"shape \(180, 2\)"),
        (7, r"shape \(\)"),
        (data["Subject"][::-1], "index of groups"),
        ("subject", "did you mean 'Subject'"),
    ):
        with pytest.raises(ValueError, match=message):
            robust_inference(res, groups)


def test_crossed_factors_need_clusters(fits):
    res = fits("penicillin")._results
    with pytest.raises(ValueError, match="plate, sample are not nested"):
        robust_inference(res)
    with pytest.raises(ValueError, match=r"kind='CR2' needs .* levels of sample are"):
        robust_inference(res, "plate", "CR2")
    with pytest.raises(ValueError, match="ddf='satterthwaite' needs"):
        robust_inference(res, "sample", "CR0", "satterthwaite")
    assert robust_inference(res, "sample").n_groups == 6


def test_a_cluster_too_large_for_bias_reduction(monkeypatch):
    monkeypatch.setattr(sandwich, "LARGEST", 8)
    with pytest.raises(ValueError, match=r"matrices of order 1[02] .* limit is 8"):
        robust_inference(fit(WEIGHTED, frame("unbalanced"), weights="w"), None, "CR2")
    robust_inference(fitted("unbalanced_intercept"), None, "CR2")


# -- properties ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_row_order_does_not_matter(kind, rng):
    data = simulated(12)
    formula = "y ~ x + z + (x | c) + (1 | g)"
    shuffled = data.iloc[rng.permutation(len(data))]
    one = robust_inference(fit(formula, data), "c", kind, "satterthwaite")
    two = robust_inference(fit(formula, shuffled), "c", kind, "satterthwaite")
    np.testing.assert_allclose(one.vcov, two.vcov, rtol=1e-5)
    np.testing.assert_allclose(one.each(np.eye(3)), two.each(np.eye(3)), rtol=1e-6)


@pytest.mark.parametrize("kind", ["CR1S", "CR2"])
def test_units_do_not_matter(kind):
    data = simulated(13)
    units = data.assign(x=1e6 * data.x, y=1e9 + 1e-3 * data.y)
    D = np.diag([1e-3, 1e-9, 1e-3])
    formula = "y ~ x + z + (x | c) + (1 | g)"
    one = robust_inference(fit(formula, data), "c", kind, "satterthwaite")
    two = robust_inference(fit(formula, units), "c", kind, "satterthwaite")
    scale = np.sqrt(np.outer(one.vcov.diagonal(), one.vcov.diagonal()))
    back = np.linalg.solve(D, two.vcov) @ np.linalg.inv(D)
    np.testing.assert_allclose(back / scale, one.vcov / scale, atol=1e-4)
    L = np.diag([1.0, 1e6, 1.0])
    np.testing.assert_allclose(one.each(np.eye(3)), two.each(L), rtol=1e-4)


def test_equal_weights_are_no_weights():
    data = simulated(14).assign(w=2.5)
    one = robust_inference(fit("y ~ x + (x | c)", data), "c", "CR2")
    two = robust_inference(fit("y ~ x + (x | c)", data, weights="w"), "c", "CR2")
    np.testing.assert_allclose(two.vcov, one.vcov, rtol=1e-5)
    np.testing.assert_allclose(two.each(np.eye(2)), one.each(np.eye(2)), rtol=1e-6)


def test_batches_do_not_matter(monkeypatch):
    res = fitted("schools")
    expected = robust_inference(res, None, "CR2")
    monkeypatch.setattr(sandwich, "BATCH", 1)
    found = robust_inference(res, None, "CR2")
    np.testing.assert_allclose(found.vcov, expected.vcov, rtol=1e-12)
    np.testing.assert_allclose(found.own, expected.own, rtol=1e-12)


def test_joint_degrees_of_freedom_do_not_depend_on_the_rows():
    found = robust_inference(fitted("machines"), None, "CR2")
    L = np.eye(3)[1:]
    turned = np.array([[2.0, -1.0], [0.3, 5.0]]) @ L
    np.testing.assert_allclose(found.joint(turned), found.joint(L), rtol=1e-9)
    df, scale = found.joint(L[:1])
    assert df == pytest.approx(found.each(L[:1])[0])
    assert scale == pytest.approx(1.0)


def test_contrasts_that_cannot_be_tested():
    res = fitted("machines")
    found = robust_inference(res, None, "CR2")
    assert np.isnan(found.each(np.zeros((1, 3)))).all()
    data = simulated(15)
    few = fit("y ~ x + z + I(x**2) + I(x**3) + (1 | g)", data)
    three = data["c"].to_numpy() // 3
    test = jointly(np.asarray(few.params), np.eye(5), robust_inference(few, three))
    assert test.df_num == 2  # the scores of the three clusters add up to zero
    assert "rank is at most 2" in robust_inference(few, three).notes[0]
    reduced = robust_inference(few, three, "CR2")
    joint = jointly(np.asarray(few.params), np.eye(5)[:3], reduced)
    assert joint.df_denom <= 0
    assert np.isnan(joint.pvalue)


def test_it_pickles_and_takes_another_covariance():
    found = robust_inference(fitted("machines"), None, "CR2")
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.each(np.eye(3)), found.each(np.eye(3)))
    other = found.with_vcov(2 * found.vcov)
    np.testing.assert_array_equal(other.each(np.eye(3)), found.each(np.eye(3)))


def test_no_fixed_effects():
    res = fit("angle ~ 0 + (1 | recipe:replicate)", registry.dataset("cake"))
    for kind in KINDS:
        assert robust_inference(res, None, kind).vcov.shape == (0, 0)


def test_robust_fits_go_on_without_their_data(data):
    sleep = data("sleepstudy")
    model = sml.lmer("Reaction ~ Days + (1 | Subject)", sleep)
    kwds = {"groups": np.asarray(sleep["Subject"]), "kind": "CR2"}
    res = model.fit(cov_type="cluster", cov_kwds=kwds)
    before, shown = res.pvalues, str(res.summary())
    res.remove_data()
    assert "groups" not in res.cov_kwds
    np.testing.assert_array_equal(res.pvalues, before)
    assert str(res.summary()) == shown
    with pytest.raises(ValueError, match="remove_data"):
        res.t_test("Days = 0", ddf="satterthwaite")
    with pytest.raises(ValueError, match="remove_data"):
        res.get_robustcov_results("cluster", groups="Subject")
