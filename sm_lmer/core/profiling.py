"""Profile likelihood: the signed root deviance along one parameter.

At each value of the parameter the deviance is minimised over all others by BFGS with
exact gradients, from an extrapolation of the optima next to it. By the envelope
theorem the derivative of the minimised deviance is its partial derivative there, so
that every point of the curve comes with its slope, steps along it are even in zeta, and
the ends of intervals are found by Newton's method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from scipy.interpolate import CubicHermiteSpline, KroghInterpolator

from .bfgs import minimize_bfgs
from .optimize import ACCEPTED
from .restrictions import Restriction, Values
from .terms import FloatArray

IMPROVED = 1e-6
"""Decrease below the estimate's deviance that shows a better optimum."""

FLAT = 1e-3
"""Change of zeta, as a share of the step that was meant, of a flat profile."""

LONGEST = 2.0
"""Largest ratio of successive steps."""

MAXIMUM = 100
"""Most points on one side."""

EXACT = 1e-7
"""Relative size of Newton's last step towards a root; its error is of second order."""

DECREMENT = 1e-10
"""Newton decrement at which the search for a node stops."""

DECREMENT_BY_DIFFERENCES = 1e-8
"""The same where the gradient comes from differences."""

CURVATURE_FLOOR = 1e-7
"""Curvature, relative to the largest, that a search takes flat directions to have."""

TRUSTED = 2
"""Steps that take their Hessian from the neighbouring optimum."""

JUMP = 0.25
"""Share by which a step of zeta may miss what the slopes at its ends promise."""


class BetterOptimum(Exception):
    """The deviance fell below the estimate's; ``theta`` is where."""

    def __init__(self, theta: FloatArray, gain: float) -> None:
        super().__init__(gain)
        self.theta, self.gain = theta, gain


@dataclass(frozen=True, eq=False)
class Node:
    """A point of a profile.

    Attributes
    ----------
    w : float
        Coordinate of the parameter.
    zeta, slope : float
        Signed root of the deviance's difference from its minimum, and its derivative
        in w.
    x : ndarray
        Where the others are optimal.
    inverse_hessian : ndarray or None
        Of the deviance in x, approximately.
    values : Values
        All parameters.
    converged : bool
    """

    w: float
    zeta: float
    slope: float
    x: FloatArray
    inverse_hessian: FloatArray | None
    values: Values
    converged: bool


@dataclass(eq=False)
class Curve:
    """The profile of one parameter, grown outwards from the estimate.

    Parameters
    ----------
    restriction : Restriction

    Attributes
    ----------
    sides : dict
        The nodes below (-1) and above (1) the estimate, from the inside out.
    ends : dict
        "bound" where a side ends at the parameter's bound, "flat" or "lost" where it
        ended without having reached its level.
    """

    restriction: Restriction
    sides: dict[int, list[Node]] = field(init=False)
    ends: dict[int, str] = field(default_factory=dict, init=False)
    _roots: dict[float, float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        held = self.restriction
        self.centre = Node(
            held.centre, 0.0, 0.0, held.start, None, held.estimate.values, True
        )
        self.sides = {-1: [], 1: []}

    # -- growing ---------------------------------------------------------------

    def extend(self, direction: int, level: float, step: float) -> None:
        """Add nodes on one side until abs(zeta) reaches the level.

        Parameters
        ----------
        direction : {-1, 1}
        level, step : float
            In abs(zeta).
        """
        nodes = self.sides[direction]
        while direction not in self.ends:
            if nodes and abs(nodes[-1].zeta) >= level:
                return
            if len(nodes) >= MAXIMUM:
                self.ends[direction] = "flat"
                return
            node = self._next(direction, step)
            if node is None:
                self.ends[direction] = "lost"
                return
            nodes.append(node)
            if node.w == self._bound(direction):
                self.ends[direction] = "bound"
            if self._jumps(nodes):
                self._swept_back(direction)
                self._halved(direction)

    def _bound(self, direction: int) -> float:
        return self.restriction.bounds[0 if direction < 0 else 1]

    def _next(self, direction: int, step: float) -> Node | None:
        """The next node of a side, about a step of zeta away."""
        nodes = self.sides[direction]
        if not nodes:
            return self._first(direction, step)
        last = nodes[-1]
        before = nodes[-2].w if len(nodes) > 1 else self.centre.w
        length = LONGEST * abs(last.w - before)
        rise = last.slope
        if rise > 0:
            length = min(length, step / rise)
        for _ in range(8):
            node = self._attempt(last.w + direction * length, direction)
            if node is not None:
                return node
            length /= 4.0
        return None

    def _first(self, direction: int, step: float) -> Node | None:
        """The first node: the step is found by trying, as zeta is linear nearby."""
        if self.centre.w == self._bound(direction):
            self.ends[direction] = "bound"
            return self.centre
        other = self.sides[-direction]
        length = abs(other[0].w - self.centre.w) if other else 0.0
        length = length or self.restriction.first_step
        node = None
        for _ in range(12):
            found = self._attempt(self.centre.w + direction * length, direction)
            if found is None:
                length /= 4.0
                continue
            node, size = found, abs(found.zeta) / step
            if node.w == self._bound(direction) and size < 1.5:
                break
            if 0.3 < size < 1.5:
                break
            length = abs(node.w - self.centre.w) * min(
                max(0.9 / max(size, 1e-9), 0.05), 8
            )
        return node

    def _attempt(self, w: float, direction: int) -> Node | None:
        bound = self._bound(direction)
        if direction * (w - bound) >= 0:
            w = bound
        try:
            return self.node(w)
        except np.linalg.LinAlgError:
            return None

    def _jumps(self, nodes: Sequence[Node]) -> bool:
        """Whether the last step of zeta is not what the slopes at its ends promise."""
        if len(nodes) < 2:
            return False
        a, b = nodes[-2], nodes[-1]
        promised = 0.5 * (a.slope + b.slope) * (b.w - a.w)
        return abs(b.zeta - a.zeta - promised) > JUMP * abs(promised) + FLAT

    def _swept_back(self, direction: int) -> None:
        """Search again at each node of a side, inwards, from the optimum outside it."""
        nodes = self.sides[direction]
        for k in range(len(nodes) - 2, -1, -1):
            try:
                other = self.node(nodes[k].w, start=nodes[k + 1])
            except np.linalg.LinAlgError:
                return
            if abs(other.zeta) >= abs(nodes[k].zeta) - IMPROVED:
                return
            nodes[k] = other

    def _halved(self, direction: int) -> None:
        """Put a node in the middle of the last step of a side."""
        nodes = self.sides[direction]
        middle = self._attempt(0.5 * (nodes[-2].w + nodes[-1].w), direction)
        if middle is not None:
            nodes.insert(len(nodes) - 1, middle)

    # -- one node --------------------------------------------------------------

    def node(self, w: float, start: Node | None = None) -> Node:
        """The optimum at w, found from those next to it.

        Raises
        ------
        BetterOptimum
            If the deviance is lower than the estimate's.
        numpy.linalg.LinAlgError
            If the deviance is not defined there.
        """
        held = self.restriction
        best = held.estimate.deviance
        near = self._nearest(w) if start is None else [start]
        at = _Remembered(held, w)
        found = minimize_bfgs(
            lambda x: at(x)[:2],
            self._starting_point(at, near, w),
            _Metric(at, near[0].inverse_hessian),
            DECREMENT if at.exact else DECREMENT_BY_DIFFERENCES,
            500,
        )
        value, _, slope = at(found.x)
        if value < best - IMPROVED:
            raise BetterOptimum(held.theta(found.x, w), best - value)
        zeta = float(np.sign(w - held.centre) * np.sqrt(max(value - best, 0.0)))
        return Node(
            w,
            zeta,
            slope / (2.0 * zeta) if zeta else 0.0,
            found.x,
            found.inverse_hessian,
            held.values(found.x, w),
            found.decrement <= ACCEPTED,
        )

    def _nearest(self, w: float) -> list[Node]:
        every = [self.centre, *self.sides[-1], *self.sides[1]]
        every = list({node.w: node for node in every}.values())
        return sorted(every, key=lambda node: abs(node.w - w))[:3]

    def _starting_point(
        self, at: _Remembered, near: Sequence[Node], w: float
    ) -> FloatArray:
        """The better of the nearest optimum and the extrapolated one."""
        starts = [near[0].x]
        if len(near) > 1:
            starts.append(_extrapolated(near, w))
        starts = [self.restriction.lifted(x) for x in starts]
        values = []
        for x in starts:
            try:
                values.append(at(x)[0])
            except np.linalg.LinAlgError:
                values.append(np.inf)
        return starts[int(np.argmin(values))]

    # -- reading ---------------------------------------------------------------

    def nodes(self) -> list[Node]:
        """All nodes in order, with the slope at the estimate filled in."""
        low = [n for n in self.sides[-1] if n is not self.centre]
        high = [n for n in self.sides[1] if n is not self.centre]
        c = self.centre
        middle = Node(
            c.w, 0.0, _slope_at_zero(c.w, low, high), c.x, None, c.values, True
        )
        return [*reversed(low), middle, *high]

    def root(self, zeta: float, step: float) -> float:
        """The parameter's coordinate where the profile reaches zeta.

        It is the bound where the profile ends there first, and infinite or the bound
        where it does not reach that far.
        """
        if zeta not in self._roots:
            self._roots[zeta] = self._root(zeta, step)
        return self._roots[zeta]

    def _root(self, zeta: float, step: float) -> float:
        direction = 1 if zeta > 0 else -1
        self.extend(direction, abs(zeta), step)
        nodes = [self.centre, *self.sides[direction]]
        for a, b in pairwise(nodes):
            if abs(a.zeta) < abs(zeta) <= abs(b.zeta):
                return self._between(a, b, zeta)
        return self._bound(direction)

    def _between(self, a: Node, b: Node, zeta: float) -> float:
        """Newton's method within a bracket, from the inverse Hermite interpolant."""
        inside, outside = a, b
        w = _inverse_hermite(self.nodes(), a, b, zeta)
        for _ in range(50):
            node = self.node(w)
            short = abs(node.zeta) < abs(zeta)
            inside, outside = (node, outside) if short else (inside, node)
            low, high = sorted((inside.w, outside.w))
            step = (zeta - node.zeta) / node.slope if node.slope > 0 else np.inf
            tiny = EXACT * max(abs(node.w - self.centre.w), abs(high - low))
            if abs(step) <= tiny or high - low <= tiny:
                return float(
                    min(max(w + (step if np.isfinite(step) else 0.0), low), high)
                )
            w = w + step
            if not low < w < high:
                w = 0.5 * (low + high)
        return w


def _extrapolated(near: Sequence[Node], w: float) -> FloatArray:
    """The polynomial through the nearest optima, at w."""
    out = np.zeros_like(near[0].x)
    for a in near:
        weight = 1.0
        for b in near:
            if b is not a:
                weight *= (w - b.w) / (a.w - b.w)
        out += weight * a.x
    return out


class _Remembered:
    """The deviance at one value of the parameter; no point is evaluated twice."""

    def __init__(self, restriction: Restriction, w: float) -> None:
        self._restriction, self._w = restriction, w
        self._known: dict[bytes, tuple[float, FloatArray, float]] = {}

    @property
    def exact(self) -> bool:
        """Whether gradients are analytic."""
        return self._restriction.likelihood.criterion.has_gradient

    def __call__(self, x: FloatArray) -> tuple[float, FloatArray, float]:
        key = x.tobytes()
        if key not in self._known:
            self._known[key] = self._restriction.evaluate(x, self._w)
        return self._known[key]


class _Metric:
    """Inverse Hessians for one search: first its neighbour's, then differences."""

    def __init__(self, objective: _Remembered, known: FloatArray | None) -> None:
        self._objective, self._known = objective, known
        self._left = TRUSTED

    def __call__(self, x: FloatArray, g: FloatArray) -> FloatArray:
        if self._known is not None and self._left > 0:
            self._left -= 1
            return self._known
        size = 2e-5 if self._objective.exact else 1e-3
        H = hessian_of(lambda x: self._objective(x)[1], x, size)
        values, vectors = np.linalg.eigh(H)
        largest = float(np.abs(values).max(initial=0.0)) or 1.0
        floored = np.maximum(np.abs(values), CURVATURE_FLOOR * largest)
        return np.asarray((vectors / floored) @ vectors.T)


def hessian_of(
    gradient: Callable[[FloatArray], FloatArray], x: FloatArray, size: float
) -> FloatArray:
    """Hessian at x by central differences of a gradient."""
    H = np.empty((len(x), len(x)))
    for k in range(len(x)):
        move = np.zeros(len(x))
        move[k] = size * max(1.0, abs(x[k]))
        H[k] = (gradient(x + move) - gradient(x - move)) / (2.0 * move[k])
    return 0.5 * (H + H.T)


def _slope_at_zero(centre: float, low: Sequence[Node], high: Sequence[Node]) -> float:
    """Derivative of zeta at the estimate, from the nodes next to it."""
    near = [*low[:1], *high[:1]] if low and high else [*low[:2], *high[:2]]
    if not near:
        return 0.0
    points, data = [centre], [0.0]
    for node in near:
        points += [node.w, node.w]
        data += [node.zeta, node.slope]
    order = np.argsort(points, kind="stable")
    unit = max(abs(node.w - centre) for node in near)
    scaled = (np.array(points)[order] - centre) / unit
    values = [data[k] for k in order]
    for k in range(1, len(values)):
        if scaled[k] == scaled[k - 1]:
            values[k] *= unit
    slope = float(KroghInterpolator(scaled, np.array(values)).derivative(0.0)) / unit
    return max(slope, 0.0)


def _inverse_hermite(nodes: Sequence[Node], a: Node, b: Node, zeta: float) -> float:
    """w at zeta between two nodes, by the cubic with w and dw/dzeta at both."""
    slopes = {node.w: node.slope for node in nodes}
    pair = sorted((a, b), key=lambda node: node.w)
    ends = [node.w for node in pair]
    middle = 0.5 * (ends[0] + ends[1])
    if min(slopes[w] for w in ends) <= 0 or pair[0].zeta >= pair[1].zeta:
        return middle
    spline = CubicHermiteSpline(
        [node.zeta for node in pair], ends, [1.0 / slopes[w] for w in ends]
    )
    w = float(spline(zeta))
    return w if ends[0] < w < ends[1] else middle
