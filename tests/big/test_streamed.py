"""Models read batch by batch against the same models in memory."""

import pickle
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from statsmodels.tools.sm_exceptions import MissingDataError

import sm_lmer.api as sml
from sm_lmer.big.model import StreamedLMER
from sm_lmer.errors import DroppedColumnsWarning, SingularFitWarning

pa = pytest.importorskip("pyarrow")

N = 3000


def data(n=N, seed=3, gaps=True):
    rng = np.random.default_rng(seed)
    d = pd.DataFrame(
        {
            "g": rng.integers(0, n // 30, n),
            "s": rng.choice(list("hgfedcba"), n),
            "x": rng.normal(size=n),
            "z": rng.normal(size=n) + 3.0,
            "f": rng.choice(["w", "v", "u"], n),
            "k": rng.integers(1, 4, n),
            "w": rng.uniform(0.5, 2.0, n),
        }
    )
    levels = rng.normal(size=(n // 30, 2))
    site = dict(zip("abcdefgh", rng.normal(size=8), strict=True))
    d["y"] = 1 + d.x + 0.5 * d.z + levels[d.g, 0] + 0.6 * levels[d.g, 1] * d.z
    d["y"] += d.s.map(site) + rng.normal(size=n)
    if gaps:
        d.loc[5:9, "x"] = np.nan
        d.loc[[20, 70], "f"] = None
    return d


def batches(frame, rows):
    """A function that makes a reader of record batches."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return lambda: table.to_batches(max_chunksize=rows)


def both(formula, frame, rows=700, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DroppedColumnsWarning)
        memory = sml.lmer(formula, frame, **kwargs)
        stream = sml.lmer(formula, batches(frame, rows), **kwargs)
    return memory, stream


def quiet_fit(model, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        return model.fit(**kwargs)


def assert_same(memory, stream, rel=1e-10):
    assert isinstance(stream, StreamedLMER)
    assert list(stream.exog_names) == list(memory.exog_names)
    assert stream.endog_names == memory.endog_names
    assert [t.text for t in stream.re_terms] == [t.text for t in memory.re_terms]
    for one, other in zip(stream.re_terms, memory.re_terms, strict=True):
        assert list(one.factor.levels) == list(other.factor.levels)
    assert (stream.nobs, stream.n_data) == (memory.nobs, memory.n_data)
    assert stream.dropped_rows == memory.dropped_rows
    assert stream.dropped_columns == memory.dropped_columns
    assert stream.k_constant == memory.k_constant
    theta = np.linspace(0.4, 0.9, memory.k_theta)
    for reml in (True, False):
        expected = memory.criterion(theta, reml)
        assert stream.criterion(theta, reml) == pytest.approx(expected, rel=rel)
    expected = memory.gradient(theta)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(stream.gradient(theta), expected, atol=1e-8 * scale)


FORMULAS = [
    ("y ~ x + z + f + (z | g) + (1 | s)", {}),
    ("y ~ x * f + C(k) + (1 | g)", {}),
    ("y ~ x + (1 | g) + (0 + z | g) + (1 | s:f)", {"weights": "w"}),
    ("y ~ 0 + f + center(x) + scale(z) + standardize(x + z) + (1 | s/k)", {}),
    ("np.log(y + 100) ~ f:x + I(z * 2) + (z || g)", {"weights": "np.sqrt(w)"}),
    ("y ~ 1 + offset(z) + (1 | g)", {"offset": "w * 2"}),
    ("y ~ z + C(k, Sum) + (1 + f | g)", {}),
    ("y ~ . + (1 | s) - w", {}),
    ("y ~ x + z + I(x + z) + (1 | g)", {}),
    ("y ~ x + (1 | g) + (1 | s)", {"drop_cols": ["x"]}),
    ("y ~ 0 + x + (1 | s)", {}),
]


@pytest.mark.parametrize(("formula", "kwargs"), FORMULAS)
def test_numbers_are_those_in_memory(formula, kwargs):
    memory, stream = both(formula, data(), **kwargs)
    assert_same(memory, stream)
    one, other = quiet_fit(memory), quiet_fit(stream)
    np.testing.assert_allclose(other.params, one.params, rtol=1e-9)
    np.testing.assert_allclose(other.bse, one.bse, rtol=1e-9)
    np.testing.assert_allclose(other.theta, one.theta, atol=1e-8)
    np.testing.assert_allclose(other.ddf, one.ddf, rtol=1e-6)
    assert other.llf == pytest.approx(one.llf, rel=1e-10)
    assert other.solver == one.solver
    fitted = pd.concat(list(other.stream_fitted()), ignore_index=True)
    used = fitted["fitted"].notna().to_numpy()
    assert used.sum() == memory.nobs
    np.testing.assert_allclose(fitted["fitted"][used], one.fittedvalues, atol=1e-7)
    np.testing.assert_allclose(fitted["resid"][used], one.resid, atol=1e-7)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10_000),
    rows=st.sampled_from([17, 100, 1000]),
    shift=st.sampled_from([0.0, 1e3, 1e7]),
    scale=st.sampled_from([1e-6, 1.0, 1e5]),
    formula=st.sampled_from(
        ["y ~ x + (x | g)", "y ~ x * f + (1 | g) + (1 | s)", "y ~ f + (x || g:k)"]
    ),
)
def test_any_batches_and_scales(seed, rows, shift, scale, formula):
    frame = data(400, seed, gaps=False)
    frame["x"] = (frame["x"] + shift) * scale
    frame["y"] = frame["y"] * 1e3 + 10 * shift
    memory, stream = both(formula, frame, rows)
    _, whole = both(formula, frame, len(frame))
    theta = memory.likelihood().start
    value = memory.likelihood().value(theta, True, inner=True)
    for other in (stream, whole):
        found = other.likelihood().value(theta, True, inner=True)
        assert found == pytest.approx(value, rel=1e-10)


def test_rare_levels_after_the_sample():
    """Columns that a sample sees nothing of are scaled by what all rows say."""
    n = 60_000
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"g": np.arange(n) % 50, "x": np.zeros(n)})
    frame.loc[n - 3 :, "x"] = [1e6, 2e6, 2.5e6]
    frame["y"] = (
        rng.normal(size=50)[frame["g"]] + rng.normal(size=n) + 1e-6 * frame["x"]
    )
    memory, stream = both("y ~ x + (1 | g)", frame, 5_000)
    assert_same(memory, stream)
    np.testing.assert_allclose(stream.fit().params, memory.fit().params, rtol=1e-9)


def test_digits_lost_to_the_sample_are_won_back():
    """A near dependence and a steep trend that begin after the rows sampled."""
    n, rng = 40_000, np.random.default_rng(2)
    frame = pd.DataFrame({"g": np.arange(n) % 40, "x": rng.normal(size=n)})
    frame["v"] = frame["x"] + 1e-5 * rng.normal(size=n)
    frame["y"] = 1e5 * frame["x"] + rng.normal(size=40)[frame["g"]]
    frame["y"] += rng.normal(size=n)
    memory, stream = both("y ~ x + v + (1 | g)", frame, 3_000)
    assert_same(memory, stream)
    np.testing.assert_allclose(stream.fit().bse, memory.fit().bse, rtol=1e-9)


@pytest.mark.parametrize("rows", [150, N])
def test_everything_that_needs_no_rows(rows):
    frame = data(gaps=False)
    memory, stream = both("y ~ x + f + (z | g) + (1 | s)", frame, rows)
    one, other = memory.fit(), stream.fit()
    for ddf in ("satterthwaite", "kenward-roger"):
        a, b = one.inference(ddf), other.inference(ddf)
        np.testing.assert_allclose(b.vcov, a.vcov, rtol=1e-8)
        np.testing.assert_allclose(b.each(np.eye(4)), a.each(np.eye(4)), rtol=1e-6)
    pd.testing.assert_frame_equal(other.conf_int(), one.conf_int())
    pd.testing.assert_frame_equal(other.varcorr(), one.varcorr())
    pd.testing.assert_frame_equal(other.contest("x = 1"), one.contest("x = 1"))
    modes, variances = other.ranef(cond_var=True)
    expected, spread = one.ranef(cond_var=True)
    for name in ("g", "s"):
        pd.testing.assert_frame_equal(modes[name], expected[name], rtol=1e-7)
        np.testing.assert_allclose(variances[name], spread[name], rtol=1e-7)
    new = frame.iloc[:5].assign(g=[1, 2, 3, 10**6, 5])
    np.testing.assert_allclose(
        other.predict(new, allow_new_levels=True),
        one.predict(new, allow_new_levels=True),
        rtol=1e-9,
    )
    assert other.refit_ml().llf == pytest.approx(one.refit_ml().llf, rel=1e-10)
    assert len(other.fit_log) == len(one.fit_log)
    text = str(other.summary())
    assert "Formula: y ~ x + f" in text
    assert "Scaled residuals" not in text
    assert "x" in other.summary2().as_text()


def test_profiles():
    frame = data(600, gaps=False)
    memory, stream = both("y ~ x + (1 | g)", frame, 100)
    a = memory.fit().profile("sigma").conf_int()
    b = stream.fit().profile("sigma").conf_int()
    np.testing.assert_allclose(b, a, rtol=1e-6)


@pytest.mark.parametrize("what", ["fittedvalues", "resid", "resid_pearson"])
def test_rows_in_memory_are_refused(what):
    _, stream = both("y ~ x + (1 | g)", data(300), 100)
    res = stream.fit()
    with pytest.raises(ValueError, match=r"stay in their source.*stream_fitted"):
        getattr(res, what)
    for call in (res.predict, res.anova, lambda: res.bootstrap(nsim=2)):
        with pytest.raises(ValueError, match="stay in their source"):
            call()


def test_fitted_values_go_to_a_file(tmp_path):
    frame = data(500)
    memory, stream = both("y ~ x + offset(z) + (1 | g)", frame, 90)
    target = tmp_path / "fitted.parquet"
    stream.fit().write_fitted(target, columns=["g", "y"])
    written = pd.read_parquet(target)
    assert list(written.columns) == ["g", "y", "fitted", "resid"]
    assert len(written) == 500
    used = written["fitted"].notna().to_numpy()
    np.testing.assert_allclose(written["fitted"][used], memory.fit().fittedvalues)
    np.testing.assert_array_equal(written["g"], frame["g"])
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_is_not_left_half_written(tmp_path):
    frame = data(500)
    calls = []

    def source():
        calls.append(1)
        rows = frame if len(calls) < 4 else frame.assign(g=10**6)
        return batches(rows, 100)()

    res = sml.lmer("y ~ x + (1 | g)", source).fit()
    calls += [1, 1, 1]
    with pytest.raises(ValueError, match="changed between two passes"):
        res.write_fitted(tmp_path / "fitted.parquet")
    assert list(tmp_path.iterdir()) == []


def test_subset_and_missing():
    frame = data()
    chosen = frame[frame["x"] > 0]
    stream = sml.lmer("y ~ x + (1 | g)", batches(frame, 500), subset="x > 0")
    memory = sml.lmer("y ~ x + (1 | g)", chosen)
    theta = [0.7]
    assert stream.criterion(theta) == pytest.approx(memory.criterion(theta), rel=1e-12)
    assert (stream.nobs, stream.n_data) == (len(chosen), N)
    with pytest.raises(MissingDataError, match="column 'x'"):
        sml.lmer("y ~ x + (1 | g)", batches(frame, 500), missing="raise")
    with pytest.raises(ValueError, match="not true or false"):
        sml.lmer("y ~ x + (1 | g)", batches(frame, 500), subset="x + 1")


def test_missing_groups_are_dropped_and_counted():
    frame = data(gaps=False).astype({"g": float})
    frame.loc[:10, "g"] = np.nan
    frame.loc[100:, "s"] = frame["s"].where(frame["s"] != "a")
    memory, stream = both("y ~ x + (1 | g) + (1 | s)", frame, 333)
    assert_same(memory, stream)
    assert stream.dropped_rows["g"] == 11


def test_functions_that_are_no_numbers_somewhere():
    frame = data(gaps=False)
    frame.loc[50:59, "w"] = -1.0
    memory, stream = both("y ~ np.log(w) + (1 | g)", frame, 444)
    assert_same(memory, stream)
    assert stream.dropped_rows == {"np.log(w)": 10}


def test_categories_and_flags():
    frame = data(gaps=False)
    frame["c"] = pd.Categorical(frame["f"], ["v", "w", "never", "u"])
    frame["b"] = frame["z"] > 3
    frame["d"] = pd.Categorical(frame["s"], list("hgfedcba"))
    memory, stream = both("y ~ c * b + (1 | d)", frame, 250)
    assert_same(memory, stream)
    one, other = memory.fit(), stream.fit()
    new = frame.iloc[:4]
    np.testing.assert_allclose(other.predict(new), one.predict(new), rtol=1e-9)


@pytest.mark.parametrize("formula", ["y ~ x * f + (z | g)", "y ~ C(k) + (1 | s)"])
def test_both_formula_engines(formula, formula_engine):
    assert_same(*both(formula, data(), 400))


def test_what_formulaic_cannot_learn_from_batches(formula_engine):
    if formula_engine == "formulaic":
        with pytest.raises(ValueError, match="under formulaic"):
            sml.lmer("y ~ center(x) + (1 | g)", batches(data(), 400))


def test_nested_factors_are_eliminated_as_in_memory():
    rng = np.random.default_rng(5)
    pupil = np.repeat(np.arange(900), 3)
    frame = pd.DataFrame({"p": pupil, "c": pupil // 9, "h": pupil // 90})
    frame["x"] = rng.normal(size=len(frame))
    frame["y"] = frame["x"] + rng.normal(size=900)[pupil] + rng.normal(size=len(frame))
    memory, stream = both("y ~ x + (1 | p) + (x | c) + (1 | h)", frame, 500)
    assert_same(memory, stream)
    assert quiet_fit(stream).solver == quiet_fit(memory).solver == "nested"


def test_results_are_pickled_without_their_source():
    _, stream = both("y ~ x + (1 | g)", data(300), 100)
    res = stream.fit()
    again = pickle.loads(pickle.dumps(res))
    assert again.llf == res.llf
    np.testing.assert_array_equal(again.params, res.params)
    with pytest.raises(ValueError, match="source="):
        next(again.stream_fitted())
    parts = list(again.stream_fitted(source=batches(data(300), 100)))
    np.testing.assert_allclose(
        pd.concat(parts)["fitted"], pd.concat(list(res.stream_fitted()))["fitted"]
    )
    res.remove_data()
    assert "Linear Mixed Model" in str(res.summary())
    with pytest.raises(ValueError, match="remove_data"):
        next(res.stream_fitted())


# errors -------------------------------------------------------------------------------


def parts(*frames):
    return lambda: iter(frames)


def test_another_type_in_a_batch():
    frame = data(300, gaps=False)
    bad = frame.assign(x=frame["x"].astype(str))
    with pytest.raises(ValueError, match="'x' is numeric in the first rows and text"):
        sml.lmer("y ~ x + (1 | g)", parts(frame, bad))
    bad = frame.assign(g=frame["g"].astype(str))
    with pytest.raises(ValueError, match="'g' is numeric in the first rows and text"):
        sml.lmer("y ~ x + (1 | g)", parts(frame, bad))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.assign(f="new"), "category 'new'"),
        (lambda d: d.assign(g=10**5), "level '100000'"),
        (lambda d: d.assign(s="b"), "combination of levels"),
        (lambda d: d.iloc[:100], r"first found 300 rows \(300 used\), a later one 100"),
        (lambda d: pd.concat([d, d]), "a later one 600 rows"),
    ],
)
def test_a_source_that_changes(change, message):
    frame = data(300, gaps=False)
    frame.loc[frame["k"] == 1, "s"] = "a"
    frame.loc[frame["k"] != 1, "s"] = "b"
    calls = []

    def source():
        calls.append(1)
        return [frame if len(calls) <= 2 else change(frame)]

    formula = "y ~ x + f + (1 | g) + (1 | s:k)"
    with pytest.raises(ValueError, match=message) as caught:
        sml.lmer(formula, source)
    assert "\n" not in str(caught.value)


def test_empty_batches_do_no_harm():
    frame = data(300)
    empty = frame.iloc[:0]
    stream = sml.lmer("y ~ x + (1 | g)", parts(empty, frame, empty))
    memory = sml.lmer("y ~ x + (1 | g)", frame)
    assert_same(memory, stream)
    with pytest.raises(ValueError, match="the data have no rows"):
        sml.lmer("y ~ x + (1 | g)", parts(empty))
    with pytest.raises(ValueError, match="no row is complete"):
        sml.lmer("y ~ x + (1 | g)", parts(frame.assign(x=np.nan)))


@pytest.mark.parametrize(
    ("formula", "kwargs", "message"),
    [
        ("y ~ x", {}, "no random-effects term"),
        ("y ~ xx + (1 | g)", {}, "unknown column 'xx'"),
        ("y ~ poly(x, 2) + (1 | g)", {}, "needs all rows at once"),
        ("y ~ bs(x, df=4) + (1 | g)", {}, "needs all rows at once"),
        ("y ~ x + (1 | g)", {"weights": np.ones(300)}, "an expression in the columns"),
        ("y ~ x + (1 | g)", {"subset": np.ones(300, bool)}, "an expression in the"),
        ("y ~ x + (1 | g)", {"batch_rows": 0}, "batch_rows is at least 1"),
        ("y ~ x + (1 | g)", {"weights": "x"}, "must be positive"),
        ("y ~ np.log(x - 99) + (1 | g)", {}, "not a number"),
        ("y ~ x + (1 | one)", {}, "only one level"),
        ("y ~ x + (1 | each)", {}, "as many levels"),
        ("one ~ x + (1 | g)", {}, "the response is constant"),
        ("s ~ x + (1 | g)", {}, "not numeric"),
        ("y ~ inf + (1 | g)", {}, "infinite values"),
        ("y ~ x + (1 | g)", {"groups": "g"}, "go with data in memory"),
        ("y ~ x + (1 | g)", {"wat": 1}, "wat"),
    ],
)
def test_bad_input(formula, kwargs, message):
    frame = data(300, gaps=False).assign(one=1.0, each=np.arange(300))
    frame["inf"] = np.where(np.arange(300) == 250, np.inf, 1.0)
    with pytest.raises((ValueError, TypeError), match=message):
        sml.lmer(formula, batches(frame, 100), **kwargs)


def test_perfect_fits_are_refused():
    frame = data(300, gaps=False).assign(v=lambda d: 2 * d["x"] + 1)
    with pytest.raises(ValueError, match="perfect fit"):
        sml.lmer("v ~ x + (1 | g)", batches(frame, 100)).fit()


def test_a_reader_can_be_read_only_once():
    reader = pa.Table.from_pandas(data(100)).to_reader()
    with pytest.raises(TypeError, match="only once"):
        sml.lmer("y ~ x + (1 | g)", reader)


def test_progress():
    pytest.importorskip("tqdm")
    sml.lmer("y ~ x + (1 | g)", batches(data(300), 100), progress=True)


def test_packages_that_are_not_there(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow.dataset", None)
    with pytest.raises(ImportError, match=r"sm_lmer\[big\]"):
        sml.lmer("y ~ x + (1 | g)", tmp_path / "data.parquet")
