from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from registry import dataset, reference

import sm_lmer.api as sml
from sm_lmer import components
from sm_lmer.inference import kenward_roger as module
from sm_lmer.inference.kenward_roger import kenward_roger, matched_moments

CASES = range(18)


def fit(formula, data, *, weights=None, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return sml.lmer(formula, data, weights=weights).fit(**kwargs)


@cache
def case(number):
    """A case of the reference, and our fit of it."""
    found = reference("kr")["cases"][number]
    inline = reference("kr")["inline"]
    name = found["data"]
    data = pd.DataFrame(inline[name]) if name in inline else dataset(name)
    res = fit(found["formula"], data, weights=found["weights"], reml=found["reml"])
    return found, res


def test_all_cases_are_tested():
    assert len(reference("kr")["cases"]) == len(CASES)


@pytest.mark.parametrize("number", CASES)
def test_covariance_and_degrees_of_freedom_are_pbkrtests(number):
    found, res = case(number)
    inference = res.inference("kenward-roger")
    expected = np.array(found["kr"]["vcov"])
    se = np.sqrt(expected.diagonal())
    assert_allclose(np.sqrt(inference.vcov.diagonal()), se, rtol=1e-6)
    gap = (inference.vcov - expected) / np.outer(se, se)
    assert np.abs(gap).max() < 1e-6
    assert_allclose(inference.each(np.eye(len(se))), found["kr"]["df"], rtol=1e-6)


@pytest.mark.parametrize("number", CASES)
def test_f_tests_are_pbkrtests(number):
    found, res = case(number)
    p = len(res.params)
    for test in found["tests"]:
        L = np.array(test["L"]).reshape(-1, p)
        ddf, scale = res.inference("kr").joint(L)
        assert_allclose([ddf, scale], [test["ddf"], test["scale"]], rtol=1e-6)
        ours = res.wald_test(L, ddf="kr")
        assert ours.df_num == len(L)
        if found["reml"]:
            assert_allclose(ours.fvalue, test["statistic"], rtol=1e-5)
            assert_allclose(ours.pvalue, test["pvalue"], rtol=1e-4, atol=1e-300)


def test_published_values_of_the_singular_fit():
    found, res = case(17)
    assert res.singular
    inference = res.inference("kenward-roger")
    df = [13.2107, 13.0241, 13.2258, 8.6559, 11.7341]
    se = [0.6704, 1.2198, 0.9049, 0.4805, 0.6788]
    # they are pbkrtest's where lme4 stops; 8.6562 and 1.2197 are right
    default = np.sqrt(np.diag(found["default"]["vcov"]))
    assert_allclose(found["default"]["df"], df, atol=6e-5)
    assert_allclose(default, se, atol=6e-5)
    assert_allclose(inference.each(np.eye(5)), df, rtol=5e-5)
    assert_allclose(np.sqrt(inference.vcov.diagonal()), se, rtol=1e-4)


def test_fit_by_maximum_likelihood_keeps_its_estimates():
    found, res = case(4)
    assert not res.reml
    assert_allclose(res.params, found["beta_ml"], rtol=1e-6)
    inference = res.inference("kr")
    assert "REML" in inference.notes[0]
    by_reml = case(1)[1].inference("kr")
    assert_allclose(inference.vcov, by_reml.vcov, rtol=1e-7)
    test = found["tests"][0]
    se = np.sqrt(found["kr"]["vcov"][1][1])
    ours = res.wald_test(np.array(test["L"]).reshape(1, -1), ddf="kr")
    assert_allclose(ours.fvalue, (found["beta_ml"][1] / se) ** 2, rtol=1e-6)


def test_weights_count():
    found, _ = case(15)
    ratio = np.array(found["ignoring"]["df"]) / found["kr"]["df"]
    assert np.abs(ratio - 1).max() > 0.1  # pbkrtest forgets them


# ---- a dense computation by the textbook ----------------------------------------


def dense(res, weights):
    """Phi_A and (A1, A2) of a contrast by n x n matrices, in lme4's components."""
    X, n = res.model.exog, int(res.nobs)
    V, G = np.diag(res.scale / weights), [np.diag(1.0 / weights)]
    covariances = components.covariances(res)
    for term, Sigma in zip(res.model.re_terms, covariances, strict=True):
        same = term.factor.codes[:, None] == term.factor.codes[None, :]
        for i, j in zip(*term.positions(), strict=True):
            g = np.outer(term.Z[:, i], term.Z[:, j]) * same
            g = g if i == j else g + g.T
            G.append(g)
            V = V + Sigma[i, j] * g
    VX = np.linalg.solve(V, X)
    Phi = np.linalg.inv(X.T @ VX)
    B = np.stack([np.linalg.solve(V, g) for g in G])
    P = -np.einsum("ia,rij,jb->rab", X, B, VX)
    BX = B @ VX
    Q = np.einsum("ria,sib->rsab", np.stack(G) @ VX, B @ VX)
    assert BX.shape == (len(G), n, X.shape[1])
    information = np.einsum("rij,sji->rs", B, B)
    information -= 2.0 * np.einsum("ij,rsji->rs", Phi, Q)
    PhiP = Phi @ P
    information += np.einsum("rij,sji->rs", PhiP, PhiP)
    d = np.sqrt(information.diagonal())
    W = 2.0 * np.linalg.inv(information / np.outer(d, d)) / np.outer(d, d)
    U = np.einsum("rs,rsij->ij", W, Q) - np.einsum("rs,rij,sjk->ik", W, P, PhiP)

    def moments(L):
        Theta = L.T @ np.linalg.solve(L @ Phi @ L.T, L)
        u = Theta @ PhiP @ Phi
        trace = np.trace(u, axis1=1, axis2=2)
        return trace @ W @ trace, np.einsum("rs,rij,sji->", W, u, u)

    return Phi + Phi @ (U + U.T) @ Phi, moments


def random_design(seed, n=70):
    """Random small data: a (8) crossed with b (5), c (20) nested in d (7) in e (3)."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "x": rng.normal(3, 1, n),
            "z": rng.uniform(size=n),
            "f": rng.choice(list("pqr"), n),
            "a": rng.choice(8, n),
            "b": rng.choice(5, n),
            "c": rng.choice(20, n),
            "w": rng.uniform(0.3, 2, n),
        }
    )
    data["d"], data["e"] = data["c"] % 7, data["c"] % 7 % 3
    data["y"] = rng.normal(size=n) / np.sqrt(data["w"]) + data["x"]
    for g, levels in (("a", 8), ("b", 5), ("c", 20), ("d", 7), ("e", 3)):
        data["y"] += rng.normal(size=levels)[data[g]]
    data["y"] += rng.normal(size=8)[data["a"]] * data["x"]
    return data


DESIGNS = [
    "(1 | a)",
    "(x + z | a)",
    "(x + z || a)",
    "(x | a) + (1 | b)",
    "(x | a) + (x || b) + (1 | e)",
    "(1 | c) + (1 | a) + (0 + x | a) + (0 + z | b)",
    "(1 | e/d/c)",
    "(x | d/c)",
    "(x | e/d/c)",
    "(1 | c) + (f | e)",
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("random", DESIGNS)
def test_agrees_with_dense_matrices(random, weighted):
    data = random_design(7)
    weights = data["w"].to_numpy() if weighted else np.ones(len(data))
    res = fit(f"y ~ x + f + {random}", data, weights="w" if weighted else None)
    inference = kenward_roger(res)
    expected, moments = dense(res, weights)
    assert_allclose(inference.vcov, expected, rtol=1e-7, atol=1e-9 * expected.max())
    rows = np.array([[1.0, 0, 0, 0], [0, 1, -1, 0], [0, 0, 1, 2], [0.3, 1, 1, 1]])
    df = [2.0 / moments(row[None])[1] for row in rows]
    assert_allclose(inference.each(rows), df, rtol=1e-7)
    for L in (rows[:2], rows[:3], rows):
        expected_joint = matched_moments(*moments(L), len(L))
        assert_allclose(inference.joint(L), expected_joint, rtol=1e-7)


@pytest.mark.parametrize(
    ("solver", "random"),
    [
        ("nested", "(x | e/d/c)"),
        ("superlu", "(1 | e/d/c)"),
        ("superlu", "(1 | a) + (x | b)"),
    ],
)
def test_solvers_agree(solver, random):
    data = random_design(8, n=200)
    formula = f"y ~ x + f + {random}"
    one, other = fit(formula, data), fit(formula, data, solver=solver)
    L = np.eye(4)
    a, b = kenward_roger(one), kenward_roger(other)
    assert_allclose(b.each(L), a.each(L), rtol=1e-4)
    assert_allclose(b.vcov, a.vcov, rtol=1e-4)


def test_components_apart_or_together(monkeypatch):
    res = fit("y ~ x + f + (x | d/c)", random_design(9, n=200))
    apart = kenward_roger(res)
    monkeypatch.setattr(module, "ENTRIES", 1)
    one_by_one = kenward_roger(res)
    monkeypatch.setattr(
        module,
        "connected_components",
        lambda graph, **_: (1, np.zeros(len(range(graph.shape[0])), int)),
    )
    together = kenward_roger(res)
    for other in (one_by_one, together):
        assert_allclose(other.vcov, apart.vcov, rtol=1e-10)
        assert_allclose(other.pieces**2, apart.pieces**2, rtol=1e-6, atol=1e-10)


# ---- invariance -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("y small", lambda d: d.assign(y=1e-9 * d["y"])),
        ("y large", lambda d: d.assign(y=1e7 * d["y"] + 1e9)),
        ("x small", lambda d: d.assign(x=1e-8 * d["x"])),
        ("x large", lambda d: d.assign(x=1e8 * d["x"])),
        ("x far away", lambda d: d.assign(x=d["x"] + 1e6)),
        ("rows", lambda d: d.sample(frac=1.0, random_state=3)),
    ],
)
def test_scale_origin_and_order_do_not_matter(name, change):
    data = random_design(10)
    formula = "y ~ x + f + (x | a) + (1 | b)"
    one, other = fit(formula, data), fit(formula, change(data))
    a, b = one.inference("kr"), other.inference("kr")
    slopes = np.eye(4)[1:]  # the intercept is another one where x moves
    assert_allclose(b.each(slopes), a.each(slopes), rtol=1e-6)
    assert_allclose(b.joint(slopes), a.joint(slopes), rtol=1e-6)
    ratio = [
        i.vcov.diagonal()[1:] / np.diag(r.normalized_cov_params)[1:] / r.scale
        for i, r in ((a, one), (b, other))
    ]
    assert_allclose(ratio[1], ratio[0], rtol=1e-6)


def test_joint_test_depends_on_the_space_of_rows_alone(rng):
    inference = fit("y ~ x + f + (x | a)", random_design(11)).inference("kr")
    L = np.eye(4)[1:]
    mixed = rng.normal(size=(3, 3)) @ L
    assert_allclose(inference.joint(mixed), inference.joint(L), rtol=1e-9)
    assert_allclose(inference.each(-5.0 * L), inference.each(L), rtol=1e-12)


# ---- exact cases --------------------------------------------------------------------


def test_balanced_split_plot_is_exact(data):
    res = fit("yield ~ Variety + nitro + (1 | Block/Variety)", data("oats"))
    inference = res.inference("kr")
    assert_allclose(inference.joint(np.eye(4)[1:3]), (10.0, 1.0), rtol=1e-7)
    assert_allclose(inference.each(np.eye(4)[3:]), 53.0, rtol=1e-7)
    unadjusted = res.scale * np.asarray(res.normalized_cov_params)
    assert_allclose(inference.vcov, unadjusted, rtol=1e-6, atol=1e-9)


def test_no_variance_between_groups(fits):
    # dyestuff2's estimate is 0, and its mean has the degrees of freedom of the batches
    inference = fits("dyestuff2").inference("kr")
    assert_allclose(inference.each(np.eye(1)), 5.0, rtol=1e-9)


@pytest.mark.parametrize(
    ("A1", "A2", "q", "expected"),
    [
        (2.0 * 9 / 2.005, 2.0 * 3 / 2.005, 3, (2.005, 1.0)),  # close to 2: no scale
        (2.0 * 4 / 7, 2.0 * 2 / 7, 2, (7.0, 1.0)),  # an exact F(2, 7)
        (0.0, 0.0, 2, (np.inf, 1.0)),
    ],
)
def test_rules_of_the_moments(A1, A2, q, expected):
    assert_allclose(matched_moments(A1, A2, q), expected, rtol=1e-9)


# ---- edges --------------------------------------------------------------------------


def test_unidentified_components_are_left_out():
    data = random_design(12).assign(one=1.0)
    twice = fit("y ~ x + (1 | a) + (0 + one | a)", data).inference("kr")
    once = fit("y ~ x + (1 | a)", data).inference("kr")
    assert "1 of 3" in twice.notes[0]
    assert once.notes == ()
    assert_allclose(twice.vcov, once.vcov, rtol=1e-6)
    assert_allclose(twice.each(np.eye(2)), once.each(np.eye(2)), rtol=1e-6)


def test_no_fixed_effects():
    inference = fit("y ~ 0 + (1 | a)", random_design(13)).inference("kr")
    assert inference.vcov.shape == (0, 0)
    assert inference.each(np.zeros((0, 0))).shape == (0,)


def test_too_many_connected_levels(monkeypatch):
    res = fit("y ~ x + (1 | a) + (1 | b)", random_design(14))
    monkeypatch.setattr(module, "COLUMNS", 4)
    with pytest.raises(MemoryError, match=r"5 random effects .* ddf='satterthwaite'"):
        kenward_roger(res)


def test_standard_errors_of_a_fit_with_kenward_roger(data):
    res = sml.lmer(
        "Reaction ~ Days + (Days | Subject)", data("sleepstudy").iloc[:-5]
    ).fit(ddf="kr")
    inference = res.inference("kr")
    assert_allclose(res.bse, np.sqrt(inference.vcov.diagonal()))
    assert_allclose(res.ddf, inference.each(np.eye(2)))


def test_insteval(fits):
    # 73,421 rows and 4,114 levels of three crossed factors
    res = fits("insteval")
    inference, other = res.inference("kr"), res.inference("satterthwaite")
    L = np.eye(2)
    assert_allclose(inference.each(L), other.each(L), rtol=0.1)
    assert_allclose(inference.vcov.diagonal(), other.vcov.diagonal(), rtol=0.01)
    assert (inference.vcov.diagonal() > other.vcov.diagonal()).all()


def test_rows_of_insteval_agree_with_dense_matrices(data):
    rows = data("insteval")
    rows = rows[rows["s"].isin(rows["s"].unique()[:30])]
    res = fit("y ~ service + (1 | s) + (1 | d) + (1 | dept)", rows)
    inference = kenward_roger(res)
    expected, moments = dense(res, np.ones(len(rows)))
    assert_allclose(inference.vcov, expected, rtol=1e-7, atol=1e-12)
    df = [2.0 / moments(row[None])[1] for row in np.eye(2)]
    assert_allclose(inference.each(np.eye(2)), df, rtol=1e-7)


def test_many_levels_cost_no_more_than_their_number():
    rng = np.random.default_rng(4)
    n, levels = 200_000, 20_000
    g = np.repeat(np.arange(levels), n // levels)
    data = pd.DataFrame({"g": g, "h": g // 10, "x": rng.normal(size=n)})
    data["y"] = rng.normal(size=levels)[g] + rng.normal(size=n)
    data["y"] += rng.normal(size=levels // 10)[data["h"]]
    inference = fit("y ~ x + (1 | h/g)", data).inference("kr")
    # balanced: the mean has the degrees of freedom of the coarser factor
    assert_allclose(inference.each(np.eye(2))[0], levels / 10 - 1, rtol=1e-4)
