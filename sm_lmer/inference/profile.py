"""Profiles of the likelihood along fixed effects, standard deviations, correlations.

The profile of a parameter is the signed root deviance zeta: at each of its values the
difference of the deviance, minimised over all other parameters, from its minimum (Bates
et al. 2015, section 5.1). An interval holds the values with abs(zeta) below a normal
quantile. Its ends are roots of zeta itself, not of a spline through some points of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.interpolate import CubicHermiteSpline, CubicSpline
from scipy.stats import chi2, norm

from ..core.optimize import optimize
from ..core.profiling import FLAT, BetterOptimum, Curve, Node
from ..core.restrictions import Estimate, Restriction, estimate_at
from ..core.terms import FloatArray
from .profile_parameters import Parameter, choose, parameters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..results import LMERResults

Built = TypeVar("Built")

RESTARTS = 3
"""How often a profile that finds a better optimum begins again."""

SEARCH_STEP = 0.7
"""Step of zeta on the way to the end of an interval."""

FLAT_TO_BOUND = 0.1
"""Size of zeta at both bounds below which a profile counts as flat."""


def profile(
    results: LMERResults,
    which: str | int | Iterable[str | int] | None = None,
    *,
    reml: bool = False,
    alphamax: float = 0.01,
    points: int = 8,
) -> Profile:
    """Profile the likelihood over fixed effects and variance parameters.

    Parameters
    ----------
    results : LMERResults
    which : str, int or sequence of these, optional
        The parameters, all by default: names such as ``"Days"``,
        ``"sd Days|Subject"``, ``"cor Intercept,Days|Subject"`` and ``"sigma"``, R's
        names ``".sig01"`` and ``".sigma"``, ``"beta_"`` for all fixed effects,
        ``"theta_"`` for all others, or positions from 0.
    reml : bool
        Profile the REML criterion rather than the likelihood, which has no fixed
        effects. By default the deviance is profiled, of a REML fit too, as in R.
    alphamax : float
        The profile reaches as far as the region of two parameters of level
        ``1 - alphamax``, that is zeta = 3.03 by default.
    points : int
        Points on each side of the estimate, about.

    Returns
    -------
    Profile

    Raises
    ------
    ValueError
        If there is no such parameter, or for a fixed effect with ``reml=True``.

    Notes
    -----
    Every point is an optimum over all other parameters, found with exact gradients.
    See Bates et al. (2015, section 5.1) and Bates and Watts (1988, ch. 6).

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.profile import profile
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> pro = profile(res)
    >>> for name, (lower, upper) in pro.conf_int().iterrows():
    ...     print(f"{name:27} {lower:8.3f} {upper:8.3f}")
    sd Intercept|Subject          14.381   37.716
    cor Intercept,Days|Subject    -0.481    0.685
    sd Days|Subject                3.801    8.753
    sigma                         22.898   28.858
    Intercept                    237.681  265.130
    Days                           7.359   13.576
    """
    check_level(alphamax, "alphamax")
    if points < 1:
        raise ValueError(f"points is at least 1, not {points!r}.")
    known = parameters(results.model)
    chosen = choose(known, which, reml)
    cutoff = float(np.sqrt(chi2.ppf(1.0 - alphamax, 2)))

    def build(estimate: Estimate) -> dict[str, Curve]:
        curves = {}
        for parameter in chosen:
            curve = Curve(parameter.hold(estimate))
            for direction in (-1, 1):
                curve.extend(direction, cutoff, cutoff / points)
            curves[parameter.name] = curve
        return curves

    curves, notes = at_best(results, reml, build)
    return Profile(tuple(known), curves, reml, cutoff, notes)


def starting_estimate(results: LMERResults, reml: bool) -> Estimate:
    """The optimum of the criterion, from the estimates of the fit."""
    results.model.require_likelihood("its profile")
    return _optimum(results, np.asarray(results.theta), reml)


def _optimum(results: LMERResults, theta: FloatArray, reml: bool) -> Estimate:
    likelihood = results._likelihood()
    found = optimize(likelihood, reml, start=likelihood.to_inner(theta))
    user, Ts = found.point.to_user(likelihood)
    return estimate_at(likelihood, user, Ts, reml)


def at_best(
    results: LMERResults, reml: bool, build: Callable[[Estimate], Built]
) -> tuple[Built, tuple[str, ...]]:
    """What `build` makes of the estimate, begun again at better optima it finds."""
    estimate = starting_estimate(results, reml)
    gain = 0.0
    for _ in range(RESTARTS):
        try:
            built = build(estimate)
            break
        except BetterOptimum as better:
            gain += better.gain
            estimate = _optimum(results, better.theta, reml)
    else:
        built = build(estimate)
    if not gain:
        return built, ()
    return built, (
        f"the fit is a local optimum: the profile found a criterion {gain:.3g} lower "
        "and starts from there; fit again with restarts=.",
    )


def check_level(alpha: float, name: str = "alpha") -> None:
    """Refuse what is no level."""
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"{name} is between 0 and 1, not {alpha!r}.")


def interval(curve: Curve, alpha: float) -> tuple[float, float]:
    """The ends of a parameter's interval."""
    quantile = float(norm.isf(alpha / 2.0))
    low, high = (
        curve.restriction.value_of(curve.root(sign * quantile, SEARCH_STEP))
        for sign in (-1, 1)
    )
    return low, high


def labelled(ends: FloatArray, names: Sequence[str]) -> pd.DataFrame:
    """Intervals as a table."""
    index = pd.Index(names, name="parameter")
    return pd.DataFrame(ends, index=index, columns=["lower", "upper"])


@dataclass(frozen=True, eq=False, repr=False)
class Profile:
    """Profiles of the likelihood along parameters; see :func:`profile`.

    Attributes
    ----------
    known : tuple of Parameter
        All parameters of the model, in the order of tables.
    curves : dict
        The curves of those profiled, by name.
    reml : bool
    cutoff : float
        Where the curves end, in abs(zeta), if no bound comes first.
    """

    known: tuple[Parameter, ...]
    curves: dict[str, Curve]
    reml: bool
    cutoff: float
    _found: tuple[str, ...] = ()

    def __repr__(self) -> str:
        criterion = "REML criterion" if self.reml else "deviance"
        return f"<Profile of the {criterion}: {', '.join(self.names)}>"

    @property
    def names(self) -> list[str]:
        """Names of the parameters profiled."""
        return list(self.curves)

    @property
    def lme4_names(self) -> dict[str, str]:
        """R's names of the parameters profiled."""
        return {p.name: p.lme4_name for p in self.known if p.name in self.curves}

    @property
    def estimates(self) -> pd.Series:
        """The estimates that the profile starts from."""
        values = {
            p.name: _all(self.curves[p.name].centre)[p.position]
            for p in self.known
            if p.name in self.curves
        }
        return pd.Series(values, name="estimate", dtype=float)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is wrong with a profile: flat, not monotone, not followed to its end."""
        found = list(self._found)
        for name, curve in self.curves.items():
            found += [f"{name}: {text}" for text in _troubles(curve)]
        return tuple(found)

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Intervals whose ends are exact roots of zeta.

        Parameters
        ----------
        alpha : float
            One less the level.

        Returns
        -------
        DataFrame
            ``lower`` and ``upper``, a row a parameter. Where zeta does not reach its
            quantile before the parameter's bound, the end is the bound: 0 of a
            standard deviation, -1 or 1 of a correlation.
        """
        check_level(alpha)
        try:
            ends = [interval(curve, alpha) for curve in self.curves.values()]
        except BetterOptimum as better:
            raise ValueError(
                f"beyond the profile's cutoff there is a criterion {better.gain:.3g} "
                f"lower than the estimate's; profile again with alphamax={alpha:g}."
            ) from None
        return labelled(np.array(ends).reshape(-1, 2), self.names)

    def zeta(self, parameter: str, value: ArrayLike) -> FloatArray:
        """The signed root deviance at values of a parameter, interpolated.

        A cubic spline through the points of the profile with the exact slopes there;
        nan outside of them.
        """
        curve = self._curve(parameter)
        held, nodes = curve.restriction, curve.nodes()
        values = np.asarray(value, dtype=np.float64)
        w = np.array([_coordinate(held, v) for v in values.ravel()])
        for end in (nodes[0].w, nodes[-1].w):  # which a value meets up to rounding
            w[np.isclose(w, end, rtol=1e-9, atol=0.0)] = end
        return _spline(curve)(w).reshape(values.shape)

    def density(self, points: int = 200) -> pd.DataFrame:
        """Densities for which zeta is standard normal, as lme4's ``densityplot``.

        Returns
        -------
        DataFrame
            ``parameter``, ``value`` and ``density``.
        """
        frames = []
        for name, curve in self.curves.items():
            nodes = curve.nodes()
            w = np.linspace(nodes[0].w, nodes[-1].w, points)
            spline = _spline(curve)
            held = curve.restriction
            with np.errstate(divide="ignore", invalid="ignore"):
                slope = spline(w, 1) / np.array([held.rate(v) for v in w])
            columns = {
                "parameter": name,
                "value": [held.value_of(v) for v in w],
                "density": norm.pdf(spline(w)) * slope,
            }
            frames.append(pd.DataFrame(columns))
        frame = pd.concat(frames, ignore_index=True)
        return frame[np.isfinite(frame["density"])].reset_index(drop=True)

    def pairs(self, first: str, second: str) -> pd.DataFrame:
        """The profile traces of two parameters, for a plot of pairs.

        Returns
        -------
        DataFrame
            ``along`` (the parameter that is held), the values of both under their
            names, and ``zeta_first`` and ``zeta_second``, each by its own profile.
        """
        self._curve(first), self._curve(second)
        frame = self.to_frame()
        both = frame[frame["parameter"].isin([first, second])]
        return pd.DataFrame(
            {
                "along": both["parameter"],
                first: both[first],
                second: both[second],
                "zeta_first": self.zeta(first, both[first]),
                "zeta_second": self.zeta(second, both[second]),
            }
        ).reset_index(drop=True)

    def contour(
        self, first: str, second: str, level: float = 0.95, points: int = 100
    ) -> pd.DataFrame:
        """The boundary of the likelihood region of two parameters, interpolated.

        It is exact at the four points where the profile traces leave the region;
        between them the phase of the curve in (zeta_first, zeta_second) is a periodic
        spline (Bates and Watts 1988, appendix A.6), as in lme4's ``splom``.

        Returns
        -------
        DataFrame
            Values of both under their names; empty if a trace ends at a bound before
            it leaves the region.
        """
        check_level(1.0 - level, "level")
        radius = float(np.sqrt(chi2.ppf(level, 2)))
        traces = self.pairs(first, second)
        angles, phases = _exits(traces, first, second, radius)
        if not np.isfinite(angles).all():
            return pd.DataFrame({first: [], second: []}, dtype=float)
        angles, order = np.unique(angles, return_index=True)
        around = np.append(angles, angles[0] + 2.0 * np.pi)
        phase = CubicSpline(
            around, np.append(phases[order], phases[order[0]]), bc_type="periodic"
        )
        a = np.linspace(-np.pi, np.pi, points)
        return pd.DataFrame(
            {
                first: self._values_at(first, radius * np.cos(a + phase(a) / 2.0)),
                second: self._values_at(second, radius * np.cos(a - phase(a) / 2.0)),
            }
        )

    def plot_zeta(self, **options: Any) -> Figure:
        """Draw zeta and the intervals of each parameter.

        See :func:`sm_lmer.graphics.profiles.plot_zeta`.
        """
        from ..graphics.profiles import plot_zeta

        return plot_zeta(self, **options)

    def plot_density(self, **options: Any) -> Figure:
        """Draw the density that goes with each profile.

        See :func:`sm_lmer.graphics.profiles.plot_density`.
        """
        from ..graphics.profiles import plot_density

        return plot_density(self, **options)

    def plot_pairs(self, **options: Any) -> Figure:
        """Draw profile traces and likelihood regions of each pair.

        See :func:`sm_lmer.graphics.profiles.plot_pairs`.
        """
        from ..graphics.profiles import plot_pairs

        return plot_pairs(self, **options)

    def _values_at(self, parameter: str, zeta: FloatArray) -> FloatArray:
        """Values of a parameter by interpolation in its profile."""
        curve = self._curve(parameter)
        nodes = curve.nodes()
        fine = np.linspace(nodes[0].w, nodes[-1].w, 1000)
        w = np.interp(zeta, _spline(curve)(fine), fine, left=np.nan, right=np.nan)
        return np.array([curve.restriction.value_of(v) for v in w])

    def to_frame(self) -> pd.DataFrame:
        """A row a point: parameter, its value, zeta, and all parameters there."""
        rows = []
        for name, curve in self.curves.items():
            held = curve.restriction
            rows += [
                (name, held.value_of(node.w), node.zeta, *_all(node))
                for node in curve.nodes()
            ]
        every = [p.name for p in self.known]
        return pd.DataFrame(rows, columns=["parameter", "value", "zeta", *every])

    def _curve(self, parameter: str) -> Curve:
        if parameter in self.curves:
            return self.curves[parameter]
        for name, lme4_name in self.lme4_names.items():
            if parameter == lme4_name:
                return self.curves[name]
        raise ValueError(
            f"{parameter!r} was not profiled; the profile has "
            f"{', '.join(map(repr, self.curves))}."
        )


def _all(node: Node) -> list[float]:
    return [*node.values.random, node.values.sigma, *node.values.beta]


def _coordinate(held: Restriction, value: float) -> float:
    return held.coordinate_of(value) if np.isfinite(value) else np.nan


def _exits(
    traces: pd.DataFrame, first: str, second: str, radius: float
) -> tuple[FloatArray, FloatArray]:
    """Angle and phase where each trace leaves the region, nan where it does not.

    A point is (cos(angle + phase / 2), cos(angle - phase / 2)) times the radius.
    """
    angles, phases = [], []
    for held, own, other in (
        (first, "zeta_first", "zeta_second"),
        (second, "zeta_second", "zeta_first"),
    ):
        trace = traces[traces["along"] == held].dropna()
        for sign in (1.0, -1.0):
            across = np.interp(
                sign * radius, trace[own], trace[other], left=np.nan, right=np.nan
            )
            turn = np.arccos(np.clip(across / radius, -1.0, 1.0))
            here = 0.0 if sign > 0 else np.pi
            x, y = (here, turn) if held == first else (turn, here)
            flip = 1.0 if x >= y else -1.0
            angles.append(flip * 0.5 * (x + y))
            phases.append(flip * (x - y))
    return np.array(angles), np.array(phases)


def _spline(curve: Curve) -> Callable[..., FloatArray]:
    """zeta in the coordinate w, nan outside of the nodes."""
    nodes = curve.nodes()
    if len(nodes) == 1:
        return lambda w, *_: np.where(np.asarray(w) == nodes[0].w, 0.0, np.nan)
    return CubicHermiteSpline(
        [n.w for n in nodes],
        [n.zeta for n in nodes],
        [n.slope for n in nodes],
        extrapolate=False,
    )


def _troubles(curve: Curve) -> list[str]:
    """What a reader of one curve must know."""
    out = []
    held = curve.restriction
    every = max(abs(node.zeta) for node in curve.nodes())
    if every < FLAT_TO_BOUND and set(curve.ends.values()) == {"bound"}:
        out.append(f"the profile is flat: zeta stays within {every:.3g}.")
    for direction, side in ((-1, "below"), (1, "above")):
        nodes = curve.sides[direction]
        sizes = np.array([0.0, *(abs(node.zeta) for node in nodes)])
        if (np.diff(sizes) < -FLAT).any():
            out.append(
                f"the profile {side} the estimate is not monotone; the interval ends "
                "where it first reaches its level."
            )
        end = curve.ends.get(direction)
        reached = f"zeta stays within {sizes.max():.3g}"
        if end == "flat":
            out.append(f"the profile {side} the estimate is flat: {reached}.")
        elif end == "lost":
            last = held.value_of(nodes[-1].w if nodes else curve.centre.w)
            out.append(
                f"the profile {side} the estimate could not be followed beyond "
                f"{last:.6g}, where {reached}."
            )
        if not all(node.converged for node in nodes):
            out.append(f"a search {side} the estimate stopped short of the optimum.")
    return out
