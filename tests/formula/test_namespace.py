"""The functions formulas may use; reference numbers are R 4.2's to 17 digits."""

import pickle

import numpy as np
import pandas as pd
import patsy
import pytest

from sm_lmer.formula.namespace import FUNCTIONS, evaluation_namespace

X = np.array([1.5, 2, 2, 3.25, 7, 11, 4, 0.5])
NEW = np.array([0, 5, 12.5])

# R: poly(x, 3), columns one after the other
POLY = """
-0.2610064521205057719 -0.2067713451863746332 -0.2067713451863747165
-0.0711835778510470363  0.3355797241549360321  0.7694605796279846421
 0.0101690825501495764 -0.3694766659887678828  0.1565879030938670535
 0.0061267320718733104  0.0061267320718728429 -0.2884125256906861501
-0.4724845579004217644  0.4877542329913899244 -0.4091724210619861468
 0.5134739044240910211  0.0626676681874001745  0.2198523499199596665
 0.2198523499199606102  0.3007747463780648944 -0.6751909104394235861
 0.2076510739858746513  0.1882998201478889577 -0.5239070980997252436
"""
# R: predict(poly(x, 3), c(0, 5, 12.5))
POLY_NEW = """
-0.423711772922899021  0.118639296418411727  0.932165900430377836
 0.719898734732320578 -0.504894679056445139  1.155643905650113767
-0.974473761457521404 -0.075415147136914051  2.128073463195334192
"""
# R: scale(x)
SCALED = """
-0.690558162894145511 -0.547065557617439913 -0.547065557617439913
-0.188334044425676028  0.887860495149615625  2.035801337363260188
 0.026904863489382289 -0.977543373447556596
"""
# R: scale(x, center = FALSE)
SCALED_ONLY = """
0.275797009304090512 0.367729345738787350 0.367729345738787350
0.597560186825529471 1.287052710085755836 2.022511401563330313
0.735458691477574700 0.091932336434696837
"""


def numbers(text):
    return np.array(text.split(), float)


def columns(text, n):
    return numbers(text).reshape(-1, n).T


def design(engine, formula, data, new):
    """Model matrices of the training data and of new data."""
    names = evaluation_namespace(None)
    if engine == "patsy":
        env = patsy.EvalEnvironment([names])
        fitted = patsy.dmatrix(formula, data, eval_env=env)
        again = patsy.build_design_matrices([fitted.design_info], new)[0]
        return np.asarray(fitted), np.asarray(again)
    formulaic = pytest.importorskip("formulaic")
    fitted = formulaic.model_matrix(formula, data, context=names)
    again = fitted.model_spec.get_model_matrix(new, context=names)
    return np.asarray(fitted), np.asarray(again)


def test_poly_is_rs():
    poly = FUNCTIONS["poly"]
    for degree in (1, 2, 3):
        expected = columns(POLY, len(X))[:, :degree]
        np.testing.assert_allclose(poly(X, degree), expected, rtol=0, atol=1e-13)


def test_poly_does_not_depend_on_location_and_scale():
    poly = FUNCTIONS["poly"]
    expected = columns(POLY, len(X))
    np.testing.assert_allclose(poly(X + 2010, 3), expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(poly(X * 1e-8, 3), expected, rtol=0, atol=1e-13)


def test_raw_poly():
    powers = FUNCTIONS["poly"](X, 3, raw=True)
    np.testing.assert_array_equal(powers, np.column_stack([X, X**2, X**3]))


@pytest.mark.parametrize("engine", ["patsy", "formulaic"])
def test_poly_predicts_with_the_training_polynomials(engine):
    data, new = pd.DataFrame({"x": X}), pd.DataFrame({"x": NEW})
    fitted, again = design(engine, "0 + poly(x, 3)", data, new)
    np.testing.assert_allclose(fitted, columns(POLY, len(X)), rtol=0, atol=1e-13)
    np.testing.assert_allclose(again, columns(POLY_NEW, 3), rtol=1e-12)


@pytest.mark.parametrize("engine", ["patsy", "formulaic"])
def test_scale_is_rs_and_predicts_with_the_training_moments(engine):
    data, new = pd.DataFrame({"x": X}), pd.DataFrame({"x": NEW})
    fitted, again = design(engine, "0 + scale(x)", data, new)
    np.testing.assert_allclose(fitted[:, 0], numbers(SCALED), rtol=1e-13)
    expected = (NEW - X.mean()) / X.std(ddof=1)
    np.testing.assert_allclose(again[:, 0], expected, rtol=1e-13)


@pytest.mark.parametrize("engine", ["patsy", "formulaic"])
def test_transforms_nest(engine):
    data, new = pd.DataFrame({"x": X}), pd.DataFrame({"x": NEW})
    fitted, again = design(engine, "0 + poly(scale(x), 2)", data, new)
    np.testing.assert_allclose(fitted, columns(POLY, len(X))[:, :2], atol=1e-13)
    np.testing.assert_allclose(again, columns(POLY_NEW, 3)[:, :2], rtol=1e-12)


def test_scale_options_are_rs():
    scale = FUNCTIONS["scale"]
    np.testing.assert_allclose(scale(X, center=False), numbers(SCALED_ONLY), rtol=1e-13)
    np.testing.assert_allclose(scale(X, scale=False), X - X.mean(), rtol=1e-13)
    np.testing.assert_allclose(scale(X, 2, 4), (X - 2) / 4, rtol=1e-13)
    np.testing.assert_array_equal(scale(X, False, False), X)


@pytest.mark.parametrize("dtype", [float, "Float64"])
@pytest.mark.parametrize("function", ["poly", "scale"])
def test_missing_values_stay_in_their_rows(function, dtype):
    call = FUNCTIONS[function]
    result = call(pd.Series([*X, None], dtype=dtype))
    assert np.isnan(result[-1]).all()
    np.testing.assert_allclose(result[:-1], call(X), rtol=1e-13)


def test_poly_takes_data_in_chunks():
    transform = FUNCTIONS["poly"].__patsy_stateful_transform__()
    transform.memorize_chunk(X[:3], 3)
    transform.memorize_chunk(X[3:], 3)
    transform.memorize_finish()
    result = transform.transform(X, 3)
    np.testing.assert_allclose(result, columns(POLY, len(X)), rtol=0, atol=1e-13)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="degree of at least 1, not 0"):
        FUNCTIONS["poly"](X, 0)
    with pytest.raises(ValueError, match="degree 7 needs more than 7 distinct values"):
        FUNCTIONS["poly"](X, 7)
    with pytest.raises(ValueError, match=r"scale\(\) takes one variable, not 2-d data"):
        FUNCTIONS["scale"](np.ones((3, 2)))


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"np", "poly", "scale"}))
def test_elementary_functions_keep_the_index(name):
    x = pd.Series([0.25, 0.5], index=["a", "b"])
    numpy_name = {"ceiling": "ceil"}.get(name, name)
    pd.testing.assert_series_equal(FUNCTIONS[name](x), getattr(np, numpy_name)(x))


def test_the_caller_wins_and_the_table_is_read_only():
    names = evaluation_namespace({"log": len, "k": 4})
    assert names["log"] is len
    assert names["k"] == 4
    assert names["sqrt"] is np.sqrt
    assert FUNCTIONS["log"] is np.log
    with pytest.raises(TypeError):
        FUNCTIONS["log"] = len


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"np"}))
def test_functions_are_picklable(name):
    again = pickle.loads(pickle.dumps(FUNCTIONS[name]))
    np.testing.assert_array_equal(again(X), FUNCTIONS[name](X))
