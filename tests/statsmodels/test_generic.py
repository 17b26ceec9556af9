"""statsmodels' own generic test classes, imported from the installed statsmodels.

They are imported as modules, so that pytest does not collect statsmodels' tests of its
own models. Data are balanced in groups, so that every model here has random effects.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.base.tests.test_generic_methods as generic
import statsmodels.base.tests.test_predict as predictions
import statsmodels.base.tests.test_shrink_pickle as shrink
import statsmodels.stats.tests.test_anova as anova
from statsmodels.tools import _testing as checks

import sm_lmer.api as sml

SEED = 20261


def grouped(n: int, q: int, rng: np.random.Generator):
    """Groups of n rows, and the sum of their effects and of noise."""
    groups = np.arange(n) % q
    return groups, rng.normal(size=q)[groups] + rng.normal(size=n)


def design(n: int, columns: int = 3) -> np.ndarray:
    rng = np.random.default_rng(SEED)
    return np.column_stack([np.ones(n), rng.normal(size=(n, columns))])


class LMERGenericMixin(generic.CheckGenericMixin):
    """CheckGenericMixin with what cannot hold for a mixed model put differently."""

    @classmethod
    def setup_class(cls):
        """statsmodels 0.14 makes its data here, 0.15 in setup_method; ours differ."""

    ddf = "satterthwaite"
    keep = (0, 1, 2, 3)

    def setup_method(self):
        rng = np.random.default_rng(SEED)
        X = design(500)[:, self.keep]
        groups, noise = grouped(500, 25, rng)
        model = sml.LMER(X.sum(axis=1) + noise, X, groups)
        self.exog, self.predict_kwds, self.transform_index = X, {}, None
        self.results = model.fit(ddf=self.ddf)

    def test_predict_types(self):
        """Bare rows have no groups, so they get X beta; the rest is the generic test.

        statsmodels' version compares with the fitted values, which are conditional.
        """
        res = self.results
        marginal = sml.LMER.predict(res.model, res.params)
        rows = np.asarray(res.model.exog[:2])
        np.testing.assert_allclose(res.predict(rows), marginal[:2], rtol=1e-12)
        np.testing.assert_allclose(res.predict(rows.tolist()), marginal[:2], rtol=1e-12)
        np.testing.assert_allclose(res.predict(rows[0]), marginal[:1], rtol=1e-12)
        labelled = res.predict(pd.DataFrame(rows, index=["a", "b"]))
        pd.testing.assert_series_equal(
            labelled, pd.Series(marginal[:2], index=["a", "b"])
        )

    def test_zero_constrained(self):
        """The generic test calls _fit_zeros, which starts an optimiser in params.

        LMER's likelihood is a function of theta, and params follow from it. What the
        test is about, a model with a column less made from this one, is tested.
        """
        keep = list(range(1, len(self.results.params)))
        if not keep:
            pytest.skip("the only column cannot go")
        model = self.results.model
        kwds = model._get_init_kwds()
        less = type(model)(model.endog, model.exog[:, keep], **kwds)
        direct = sml.LMER(
            model.endog, np.asarray(model.exog)[:, keep], re_terms=model.re_terms
        )
        res, expected = less.fit(), direct.fit()
        np.testing.assert_allclose(res.params, expected.params, rtol=1e-10)
        np.testing.assert_allclose(res.bse, expected.bse, rtol=1e-10)

    def test_zero_collinear(self):
        """The generic test calls _fit_collinear, an optimiser in params too.

        LMER drops dependent columns itself, and its estimates are those without them.
        """
        model = self.results.model
        twice = np.column_stack([model.exog, model.exog])
        with pytest.warns(sml.DroppedColumnsWarning):
            model = type(model)(model.endog, twice, **model._get_init_kwds())
        res = model.fit()
        np.testing.assert_allclose(res.params, self.results.params, rtol=1e-8)
        np.testing.assert_allclose(res.bse, self.results.bse, rtol=1e-8)


class TestGenericLMER(LMERGenericMixin):
    pass


class TestGenericLMERNormal(LMERGenericMixin):
    ddf = "normal"


class TestGenericLMERResidual(LMERGenericMixin):
    ddf = "residual"


class TestGenericLMEROneExog(LMERGenericMixin):
    keep = (1,)


class TestGenericLMERFormula(LMERGenericMixin):
    """The same with a formula model, under both engines."""

    @pytest.fixture(autouse=True)
    def _formula(self, formula_engine):
        rng = np.random.default_rng(SEED)
        frame = pd.DataFrame(design(200)[:, 1:], columns=["a", "b", "c"])
        frame["g"], noise = grouped(200, 10, rng)
        frame["y"] = frame[["a", "b", "c"]].sum(axis=1) + noise
        self.results = sml.lmer("y ~ a + b + c + (1 | g)", frame).fit()
        self.exog = self.results.model.exog

    def test_ttest_tvalues(self):
        """The generic test asks for pvalues[0], which a Series with names has not."""
        checks.check_ttest_tvalues(self.results)

    def test_zero_constrained(self):
        pytest.skip("the array model of the parent class covers clones of arrays")

    def test_predict_types(self):
        """Frames go through the formula here; arrays stay rows of X."""
        res = self.results
        rows = np.asarray(res.model.exog[:2])
        marginal = rows @ np.asarray(res.params)
        np.testing.assert_allclose(res.predict(rows), marginal, rtol=1e-12)


def kidney() -> pd.DataFrame:
    """statsmodels' data of the anova tests, with two crossed groups made up."""
    data = anova.kidney_table.drop([0, 1, 2]).reset_index(drop=True)
    rng = np.random.default_rng(SEED)
    ward = np.arange(len(data)) % 6
    shift = rng.normal(size=6)[ward]
    return data.assign(ward=ward, y=np.log(data["Days"] + 1) + shift)


class TestWaldAnovaLMER(generic.CheckAnovaMixin):
    """The generic test compares df_denom with df_resid, so these tests are normal."""

    @pytest.fixture(autouse=True)
    def _engine(self, formula_engine):
        text = "y ~ C(Duration, Sum) * C(Weight, Sum) + (1 | ward)"
        self.res = sml.lmer(text, kidney()).fit(ddf="normal")

    @classmethod
    def setup_class(cls):
        """statsmodels 0.14 fits here."""

    def setup_method(self):
        """statsmodels 0.15 fits here; the fixture does, under each engine."""


class TestWaldAnovaLMERResidual(TestWaldAnovaLMER):
    """With F tests, and the one df_denom that the generic test knows."""

    @pytest.fixture(autouse=True)
    def _engine(self, formula_engine):
        text = "y ~ C(Duration, Sum) * C(Weight, Sum) + (1 | ward)"
        self.res = sml.lmer(text, kidney()).fit(ddf="residual")


PAIRWISE = {
    "treatment": (
        "y ~ C(Duration) + C(Weight) + (1 | ward)",
        "C(Weight)",
        [
            "C(Weight)[T.2]",
            "C(Weight)[T.3]",
            "C(Weight)[T.3] - C(Weight)[T.2]",
        ],
    ),
    "order": (
        "y ~ C(Weight) + C(Duration) + (1 | ward)",
        "C(Weight)",
        [
            "C(Weight)[T.2]",
            "C(Weight)[T.3]",
            "C(Weight)[T.3] - C(Weight)[T.2]",
        ],
    ),
    "no intercept": (
        "y ~ 0 + C(Weight) + C(Duration) + (1 | ward)",
        "C(Weight)",
        [
            "C(Weight)[2] - C(Weight)[1]",
            "C(Weight)[3] - C(Weight)[1]",
            "C(Weight)[3] - C(Weight)[2]",
        ],
    ),
    "reference": (
        "y ~ C(Weight, Treatment(2)) + C(Duration) + (1 | ward)",
        "C(Weight, Treatment(2))",
        [
            "-C(Weight, Treatment(2))[T.1]",
            "C(Weight, Treatment(2))[T.3] - C(Weight, Treatment(2))[T.1]",
            "C(Weight, Treatment(2))[T.3]",
        ],
    ),
}


@pytest.mark.parametrize("ddf", ["satterthwaite", "normal"])
@pytest.mark.parametrize("case", PAIRWISE)
class TestTTestPairwiseLMER(generic.CheckPairwise):
    @pytest.fixture(autouse=True)
    def _fit(self, case, ddf):
        text, self.term_name, self.constraints = PAIRWISE[case]
        self.res = sml.lmer(text, kidney()).fit(ddf=ddf)


def test_pairwise_of_sum_coding_and_labels(formula_engine):
    data = kidney()
    res = sml.lmer("y ~ C(Weight) + C(Duration) + (1 | ward)", data).fit()
    text = "y ~ C(Weight, Sum) + C(Duration) + (1 | ward)"
    coded = sml.lmer(text, data).fit()
    a = res.t_test_pairwise("C(Weight)", factor_labels=["A", "B", "C"]).result_frame
    b = coded.t_test_pairwise("C(Weight, Sum)").result_frame
    np.testing.assert_allclose(a.iloc[:, :6], b.iloc[:, :6], rtol=1e-6)
    assert list(a.index) == ["B-A", "C-A", "C-B"]


class LMERRemoveData(shrink.RemoveDataPickle):
    """The pickle shrinks to a tenth (arrays) or half (formula), predictions stay."""

    def setup_method(self):
        if hasattr(shrink.RemoveDataPickle, "setup_method"):  # statsmodels 0.15
            super().setup_method()
        n = 1000
        X = self.exog
        groups, noise = grouped(n, 25, np.random.default_rng(SEED))
        y = X.sum(axis=1) + noise
        self.model_class = sml.LMER
        self.model_args, self.model_kwargs = (y, X), {"groups": groups}
        self.results = sml.LMER(y, X, groups).fit()


class TestRemoveDataPickleLMER(LMERRemoveData):
    pass


class TestRemoveDataPickleLMERFormula(LMERRemoveData):
    @classmethod
    def setup_class(cls):
        super().setup_class()
        cls.xf = pd.DataFrame(0.25 * np.ones((2, 3)), columns=["A", "B", "C"])
        cls.xf["g"] = [1, 2]

    @pytest.fixture(autouse=True)
    def _formula(self, formula_engine):
        self.data = pd.DataFrame(self.exog[:, 1:], columns=["A", "B", "C"])
        self.data["g"], noise = grouped(1000, 25, np.random.default_rng(SEED))
        self.data["Y"] = self.data[["A", "B", "C"]].sum(axis=1) + noise
        self.formula = "Y ~ A + B + C + (1 | g)"
        self.results = sml.lmer(self.formula, self.data).fit()
        self.reduction_factor = 0.5


class TestPredictLMER(predictions.CheckPredictReturns):
    """Marginal where the generic test has no groups, conditional elsewhere."""

    @pytest.fixture(autouse=True)
    def _fit(self, formula_engine):
        rng = np.random.default_rng(SEED)
        n = 30
        index = [f"obs{i:02d}" for i in range(n)]
        x = rng.normal(size=(n, 3))
        self.data = pd.DataFrame(x, columns=["y", "var1", "var2"], index=index)
        self.data["g"], noise = grouped(n, 5, rng)
        self.data["y"] = self.data["var1"] + 2 * noise
        self.res = sml.lmer("y ~ var1 + var2 + (1 | g)", self.data).fit()
        self.marginal = pd.Series(
            self.res.model.predict(self.res.params), index=self.data.index
        )

    def test_2d(self):
        """A mapping is documented data here, so it brings no DeprecationWarning."""
        rows = self.data.iloc[1:10:2]
        fitted = self.res.fittedvalues.iloc[1:10:2]
        found = self.res.predict(rows)
        pd.testing.assert_index_equal(found.index, fitted.index)
        np.testing.assert_allclose(found, fitted, rtol=1e-12)
        found = self.res.predict({name: rows[name].to_numpy() for name in rows})
        assert list(found.index) == list(range(5))
        np.testing.assert_allclose(found, fitted, rtol=1e-12)

    def test_1d(self):
        """The mean row is in no group: the marginal mean is the mean of those."""
        found = self.res.predict(self.data.iloc[:1])
        np.testing.assert_allclose(found, self.res.fittedvalues.iloc[0], rtol=1e-12)
        mean = self.data.mean()
        for new in (mean.to_frame().T, mean, mean.to_dict()):
            found = self.res.predict(new, re_form=False)
            assert list(found.index) == [0]
            np.testing.assert_allclose(found, self.marginal.mean(), rtol=1e-12)

    def test_without_formula(self):
        """Rows of X have no groups."""
        X = self.res.model.exog
        expected = self.marginal.iloc[1:10:2]
        found = self.res.predict(X[1:10:2], transform=False)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        frame = pd.DataFrame(
            X[1:10:2], index=expected.index, columns=self.res.model.exog_names
        )
        found = self.res.predict(frame, transform=False)
        pd.testing.assert_series_equal(found, expected, rtol=1e-12)
        found = self.res.predict(X[1], transform=False)
        np.testing.assert_allclose(found, expected.iloc[:1], rtol=1e-12)

    test_nopatsy = test_without_formula  # its name in statsmodels 0.14

    def test_rows_with_missing_values_stay(self):
        rows = self.data.head(4).copy()
        rows.iloc[1, 1] = np.nan
        found = self.res.predict(rows)
        pd.testing.assert_index_equal(found.index, rows.index)
        assert list(found.isna()) == [False, True, False, False]


def test_checks_hold_for_several_groupings(fits, formula_engine):
    for name in ("penicillin", "cake", "machines"):
        res = fits(name)
        checks.check_ttest_tvalues(res)
        checks.check_ftest_pvalues(res)
        checks.check_fitted(res)


def test_polars_frames_fit_and_predict_as_pandas(data):
    """statsmodels 0.15's test_polars_compat, for the formula and for arrays."""
    polars = pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    frame = data("sleepstudy").assign(Subject=lambda d: d["Subject"].astype(str))
    table = polars.from_pandas(frame)
    text = "Reaction ~ Days + (Days | Subject)"
    res, other = sml.lmer(text, frame).fit(), sml.lmer(text, table).fit()
    np.testing.assert_allclose(other.params, res.params, rtol=1e-12)
    np.testing.assert_allclose(other.predict(table), res.fittedvalues, rtol=1e-10)
    days = polars.col("Days")
    gap = table.with_columns(Days=polars.when(days != 3).then(days))
    with_gap = sml.lmer(text, gap).fit()
    without = sml.lmer(text, frame[frame["Days"] != 3]).fit()
    np.testing.assert_allclose(with_gap.params, without.params, rtol=1e-6)
    arrays = sml.LMER(
        table["Reaction"],
        table.select(one=polars.lit(1.0), Days=polars.col("Days")),
        table["Subject"],
    ).fit()
    expected = sml.lmer("Reaction ~ Days + (1 | Subject)", frame).fit()
    np.testing.assert_allclose(arrays.params, expected.params, rtol=1e-10)
