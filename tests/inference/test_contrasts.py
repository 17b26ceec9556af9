"""Contrasts of terms against lmerTest's, their definition, and their invariances."""

from __future__ import annotations

import itertools
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import registry
from numpy.testing import assert_allclose

import sm_lmer.api as sml
from sm_lmer.compat.terms import fixed_part
from sm_lmer.inference.contrasts import contrast_type, term_contrasts

CASES = {case["name"]: case for case in registry.reference("anova")["cases"]}


def case_data(case):
    inline = registry.reference("anova")["inline"]
    name = case["data"]
    if name not in inline:
        return registry.dataset(name)
    frame = pd.DataFrame(inline[name])
    groups = [c for c in ("temperature", "service", "dept", "s", "d") if c in frame]
    return frame.astype(dict.fromkeys(groups, str))


def case_model(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sml.lmer(case["formula"], case_data(case), weights=case["weights"])


def r_name(name):
    """R's name of a coefficient of treatment, sum or Helmert contrasts."""

    def numbered(match):
        return f"{match[1]}{'abcd'.index(match[3]) + (match[2] == 'S')}"

    name = re.sub(r"C\((\w), \w+\)\[([SH])\.(\w)\]", numbered, name)
    name = re.sub(r"(\w+)\[(?:T\.)?(\w+)\]", r"\1\2", name).replace("flagTrue", "flag")
    name = re.sub(r"poly\(x, 2\)\[(\d)\]", lambda m: f"poly(x, 2){int(m[1]) + 1}", name)
    return {"Intercept": "(Intercept)", "I(x ** 2)": "I(x^2)"}.get(name, name)


def factorial(rng, share=0.8, groups=6, shape=(3, 2, 3)):
    """Unbalanced data of three factors with empty cells."""
    cells = list(itertools.product(*(range(k) for k in shape), range(groups)))
    data = pd.DataFrame(cells, columns=["A", "B", "D", "g"])
    data = data[rng.random(len(data)) < share]
    empty = rng.integers(0, shape, size=(2, 3))
    for a, b, d in empty:
        data = data[(data[["A", "B", "D"]] != [a, b, d]).any(axis=1)]
    data = data.astype(dict.fromkeys("ABD", str)).reset_index(drop=True)
    data["x"] = rng.normal(4, 2, len(data)).round(3)
    data["y"] = rng.normal(size=len(data))
    return data


def built(formula, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.DroppedColumnsWarning)
        return sml.lmer(f"y ~ {formula} + (1 | g)", data, **options)


def row_space(L, model):
    """Projection on the contrasts in units of an orthonormal basis of X."""
    rows = L @ model._basis.C
    return np.linalg.pinv(rows) @ rows


# -- lmerTest ------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_rows_are_lmertests(name, formula_engine):
    case = CASES[name]
    model = case_model(case)
    ours = {r_name(c): j for j, c in enumerate(model.exog_names)}
    order = [ours[c.replace("flagTRUE", "flag")] for c in case["columns"]]
    norms = np.linalg.norm(model.exog, axis=0)[order]
    for typ, expected in case["contrasts"].items():
        found = term_contrasts(model, typ)
        assert len(found) == len(expected)
        for L, reference in zip(found.values(), expected.values(), strict=True):
            L, reference = L[:, order], np.array(reference)
            assert L.shape == reference.shape
            size = np.abs(reference / norms).max()
            assert_allclose(L / norms / size, reference / norms / size, atol=3e-6)


# -- the definition --------------------------------------------------------------------


def dense_indicators(data, factors):
    columns = [np.ones(len(data))]
    for name in factors:
        if name == "x":
            columns = [c * data["x"].to_numpy() for c in columns]
        else:
            levels = sorted(data[name].unique())
            columns = [c * (data[name] == v) for v in levels for c in columns]
    return np.column_stack(columns)


def null_space(M):
    _, values, rows = np.linalg.svd(M)
    return rows[int((values > 1e-9 * values.max(initial=1.0)).sum()) :]


def goodnight(data, terms, term, X):
    """Type III contrasts straight from their definition, on the coefficients of X."""
    blocks = [dense_indicators(data, t) for t in terms]
    owners = [t for t, block in zip(terms, blocks, strict=True) for _ in block.T]
    D, first = np.unique(np.hstack(blocks), axis=0, return_index=True)
    _, values, basis = np.linalg.svd(D, full_matrices=False)
    basis = basis[values > 1e-9 * values.max()]
    alike = {"x"} & set(term)
    above = [t for t in terms if set(t) > set(term) and {"x"} & set(t) == alike]

    def estimable(allowed):
        forbidden = np.array([owner not in allowed for owner in owners])
        return null_space(basis[:, forbidden].T) @ basis

    own, higher = estimable([term, *above]), estimable(above)
    left = own - own @ np.linalg.pinv(higher) @ higher if len(higher) else own
    _, values, rows = np.linalg.svd(left, full_matrices=False)
    return rows[values > 1e-9] @ np.linalg.pinv(D) @ X[first]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("formula", "terms"),
    [
        ("A * B * D", ["A", "B", "D", "AB", "AD", "BD", "ABD"]),
        ("A * B + x + A:x", ["A", "B", "x", "AB", "Ax"]),
        ("A * B * x", ["A", "B", "x", "AB", "Ax", "Bx", "ABx"]),
        ("D / A + B", ["D", "B", "DA"]),
        ("x + x:A", ["x", "xA"]),
        ("0 + A + A:B", ["A", "AB"]),
    ],
)
def test_type_3_is_what_goodnight_defines(formula, terms, seed):
    data = factorial(np.random.default_rng(seed))
    model = built(formula, data)
    found = term_contrasts(model, 3)
    terms = [tuple(t) for t in terms]
    blocks = terms if formula.startswith("0") else [(), *terms]
    for (name, L), term in zip(found.items(), terms, strict=True):
        assert set(name.split(":")) == set(term)
        rows = goodnight(data, blocks, term, model.exog)
        assert len(L) == len(rows) == np.linalg.matrix_rank(row_space(L, model))
        assert_allclose(row_space(L, model), row_space(rows, model), atol=1e-7)


def test_type_1_is_sequential(rng):
    data = factorial(rng)
    model = built("x + A * B", data)
    found = term_contrasts(model, 1)
    X = model.exog
    before = [0]
    for term in fixed_part(model).terms:
        Q, _ = np.linalg.qr(X[:, before])
        left = X[:, term.columns] - Q @ (Q.T @ X[:, term.columns])
        rows = np.linalg.pinv(left) @ X
        own = row_space(found[term.name], model)
        assert_allclose(own, row_space(rows, model), atol=1e-10)
        before += list(term.columns)
    assert list(found) == ["x", "A", "B", "A:B"]


def test_type_2_ignores_containing_terms(rng):
    data = factorial(rng)
    found = term_contrasts(built("A * B", data), 2)
    additive = term_contrasts(built("A + B", data), 1)
    assert_allclose(found["B"][:, :4], additive["B"])
    assert_allclose(found["A:B"][:, 4:], np.eye(2))


# -- invariances -----------------------------------------------------------------------

CODINGS = ["{}", "C({}, Sum)", "C({}, Helmert)", "C({}, Poly)", "C({}, Treatment('1'))"]


@pytest.mark.parametrize("coding", CODINGS)
def test_type_3_does_not_depend_on_the_coding(coding, rng, formula_engine):
    data = factorial(rng)
    if formula_engine == "formulaic":
        coding = coding.replace("Sum", "contr.sum").replace("Poly", "contr.poly")
        coding = coding.replace("Helmert", "contr.helmert")
        coding = coding.replace("Treatment(", "contr.treatment(")
    A, B = coding.format("A"), coding.format("B")
    plain, coded = built("A * B * x", data), built(f"{A} * {B} * x", data)
    for L, M in zip(
        term_contrasts(plain).values(), term_contrasts(coded).values(), strict=True
    ):
        change = np.linalg.lstsq(coded.exog, plain.exog, rcond=None)[0]
        assert_allclose(M @ change, L, atol=1e-8)


@pytest.mark.parametrize("formula", ["A * B", "A / B", "x + x:A", "A * B * x"])
def test_type_3_does_not_depend_on_the_order_of_levels(formula, rng):
    data = factorial(rng)
    other = data.assign(A=data["A"].map({"0": "z", "1": "y", "2": "x"}))
    plain, turned = built(formula, data), built(formula, other)
    for L, M in zip(
        term_contrasts(plain).values(), term_contrasts(turned).values(), strict=True
    ):
        change = np.linalg.lstsq(turned.exog, plain.exog, rcond=None)[0]
        projected = row_space(M @ change, plain)
        assert_allclose(projected, row_space(L, plain), atol=1e-8)


@pytest.mark.parametrize("typ", [1, 2, 3])
def test_row_order_and_units_do_not_matter(typ, rng):
    data = factorial(rng)
    shuffled = data.sample(frac=1.0, random_state=1)
    scaled = data.assign(x=1e-4 * data["x"])
    L = term_contrasts(built("A * B + A:x + x", data), typ)
    M = term_contrasts(built("A * B + A:x + x", shuffled), typ)
    plain, model = (built("A * B + A:x + x", d) for d in (data, scaled))
    S = term_contrasts(model, typ)
    unit = np.where(["x" in name for name in model.exog_names], 1e-4, 1.0)
    for term, rows in L.items():
        assert_allclose(M[term], rows, atol=1e-10)
        in_old_units = row_space(S[term] / unit, plain)
        assert_allclose(in_old_units, row_space(rows, plain), atol=1e-8)


def test_far_origin_of_a_covariate(rng):
    data = factorial(rng)
    near = term_contrasts(built("A * B + x + A:x", data), 3)
    far = built("A * B + x + A:x", data.assign(x=data["x"] + 1e6))
    for term, L in term_contrasts(far, 3).items():
        assert_allclose(L, near[term], atol=1e-6)


# -- odd terms -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "df"),
    [
        ("1", []),
        ("0", []),
        ("bs(x, df=4) * A", [4, 2, 8]),
        ("np.log(x**2) * A + I(x**2)", [1, 2, 1, 2]),
        ("cr(x, df=3) + A", [2, 2]),
        ("0 + A", [3]),
        ("A:B", [5]),
        ("flag * A", [1, 2, 2]),
        ("I(x > 4) * A", [1, 2, 2]),
        ("C(k) + k:A", [2, 2]),
        ("Q('a b') * x", [1, 1, 1]),
        ("`a b` + x", [1, 1]),
        ("(A + B + flag) ** 3", [2, 1, 1, 2, 2, 1, 2]),
        ("x + twice + A", [1, 0, 2]),
        ("A + copy + A:copy", [2, 0, 0]),
    ],
)
def test_degrees_of_freedom(formula, df, rng, formula_engine):
    data = factorial(rng, 0.95, 12, (3, 2, 2))
    data = data.assign(
        flag=rng.random(len(data)) < 0.5,
        k=rng.integers(0, 3, len(data)),
        twice=2 * data["x"] - 1,
        copy=data["A"],
    )
    data["a b"] = np.where(rng.random(len(data)) < 0.5, "one", "two")
    model = built(formula, data)
    for typ in (1, 2, 3):
        found = term_contrasts(model, typ)
        assert [len(L) for L in found.values()] == df
        assert sum(df) == len(model.exog_names) - len(fixed_part(model).intercept)
        for L in found.values():
            assert np.linalg.matrix_rank(L @ model._basis.C) == len(L)


def test_a_dropped_column_leaves_its_term_to_its_own_columns(rng):
    data = factorial(rng, 1.0)
    model = built("A + B + x", data, drop_cols=["A[T.1]"])
    assert_allclose(term_contrasts(model, 3)["A"], np.eye(4)[[1]])
    whole = built("A * B + x", data, drop_cols=["A:B"])
    assert list(term_contrasts(whole, 2)) == ["A", "B", "x"]


def test_columns_of_arrays_are_terms(rng):
    X = np.column_stack([rng.normal(size=40), np.ones(40), rng.normal(size=40)])
    model = sml.LMER(rng.normal(size=40), X, groups=np.repeat(np.arange(8), 5))
    found = term_contrasts(model, 3)
    assert list(found) == ["x1", "x2"]
    assert_allclose(np.vstack(list(found.values())), np.eye(3)[[0, 2]])
    assert term_contrasts(model, 1)["x1"][0, 1] == 0.0


def test_tests_follow_the_order_written(formula_engine, rng):
    data = factorial(rng)
    model = built("x + B + A + x:B", data)
    assert model.exog_names[-1].startswith("x:B")
    assert list(term_contrasts(model, 1)) == ["x", "B", "A", "x:B"]


@pytest.mark.parametrize("typ", [0, 4, "IV", None])
def test_unknown_type(typ):
    with pytest.raises(ValueError, match="choose 1, 2 or 3"):
        contrast_type(typ)
