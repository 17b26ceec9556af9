"""Pictures of influence: what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def found(request):
    from registry import fitted

    return fitted("sleepstudy").influence("Subject")


@pytest.fixture(scope="module")
def rows():
    from registry import fitted

    return fitted("sleepstudy").influence(method="one-step")


def points(ax):
    """All points of the scatters, in the order of the first coordinate."""
    drawn = np.vstack([c.get_offsets() for c in ax.collections if len(c.get_offsets())])
    return drawn[np.argsort(drawn[:, 0])]


def markers(ax):
    from matplotlib.collections import PathCollection

    return [c for c in ax.collections if isinstance(c, PathCollection)]


def test_index_plot_draws_the_measure_and_names_the_extremes(rows):
    ax = rows.plot_index().axes[0]
    ordinary, beyond = markers(ax)
    drawn = np.vstack([ordinary.get_offsets(), beyond.get_offsets()])
    drawn = drawn[np.argsort(drawn[:, 0])]
    assert_allclose(drawn[:, 1], rows.cooks_distance)
    bound = rows.cutoff()[1]
    assert len(beyond.get_offsets()) == (rows.cooks_distance > bound).sum()
    texts = [t.get_text() for t in ax.texts]
    assert texts[0] == str(rows.cooks_distance.idxmax())
    assert ax.get_ylabel() == "Cook's distance"
    assert ax.get_xlabel() == "observation"
    assert any(np.allclose(line.get_ydata(), bound) for line in ax.lines)


def test_measures_have_a_panel_each_with_the_names_of_the_groups(found):
    fig = found.plot()
    assert [ax.get_ylabel() for ax in fig.axes] == [
        "Cook's distance",
        "MDFFITS",
        "COVRATIO",
        "COVTRACE",
    ]
    ticks = [t.get_text() for t in fig.axes[-1].get_xticklabels()]
    assert ticks == [str(k) for k in found.labels]
    assert "exact refits" in fig.get_supxlabel()


def test_dfbetas_have_their_bounds(found):
    fig = found.plot_dfbetas()
    for ax, name in zip(fig.axes, ["Intercept", "Days"], strict=True):
        drawn = np.vstack([c.get_offsets() for c in markers(ax)])
        drawn = drawn[np.argsort(drawn[:, 0])]
        assert_allclose(drawn[:, 1], found.dfbetas[name])
        assert ax.get_ylabel() == f"change of {name} (SE)"


def test_bubbles(rows, found):
    ax = rows.plot_influence().axes[0]
    (bubbles,) = markers(ax)
    frame = rows.summary_frame()
    assert_allclose(bubbles.get_offsets(), frame[["hat_diag", "standard_resid"]])
    sizes = bubbles.get_sizes()
    assert sizes.argmax() == frame.cooks_d.to_numpy().argmax()
    ax = found.plot_influence().axes[0]
    assert_allclose(markers(ax)[0].get_offsets()[:, 1], found.rvc["sigma2"])


def test_users_axes_and_figures(found):
    from matplotlib.figure import Figure

    fig = Figure()
    ax = fig.subplots()
    assert found.plot_index("mdffits", ax=ax) is fig
    with pytest.raises(ValueError, match="has axes already"):
        found.plot(fig=fig)
    with pytest.raises(ValueError, match="unknown measure"):
        found.plot_index("nothing")


def test_names_that_look_like_mathematics_and_long_ones():
    from registry import dataset

    import sm_lmer.api as sml

    data = dataset("sleepstudy").rename(columns={"Subject": "person_$id$_" + "x" * 40})
    name = data.columns[-1]
    data[name] = "$a_{" + data[name].astype(str) + "_%" + "y" * 40
    terms = [sml.RandomTerm(data[name], name=name)]
    X = np.column_stack([np.ones(len(data)), data["Days"]])
    found = sml.LMER(data["Reaction"], X, re_terms=terms).fit().influence(name)
    for fig in (found.plot(), found.plot_influence(), found.plot_dfbetas()):
        fig.canvas.draw()


def test_units_that_the_model_needs_are_said(rows):
    from registry import dataset

    import sm_lmer.api as sml

    data = dataset("sleepstudy").copy()
    data["first"] = (data.Subject.astype(str) == "308").astype(float)
    res = sml.lmer("Reaction ~ Days + first + (1 | Subject)", data).fit()
    fig = res.influence("Subject").plot_index()
    assert "1 units are not shown" in fig.get_supxlabel()
    fig.canvas.draw()
