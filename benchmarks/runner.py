"""Run cases through peers, round robin, and keep the medians."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from .cases import Case
from .peers import Peer, quiet

LARGE_SHARE = 5
"""A large case is repeated this many times less than a small one, but three times."""


@dataclass(frozen=True)
class Measurement:
    """What one peer took for one part of one case.

    Attributes
    ----------
    case, peer, part : str
    seconds : float
        Median over the repetitions.
    best : float
        The shortest.
    repeats : int
    criterion : float
        The REML criterion that the peer reached.
    """

    case: str
    peer: str
    part: str
    seconds: float
    best: float
    repeats: int
    criterion: float

    def as_dict(self) -> dict[str, str | float | int]:
        """For JSON."""
        return asdict(self)


def run(
    cases: Iterable[Case],
    peers: Sequence[Peer],
    repeat: int,
    tell: Callable[[str], None] = print,
) -> list[Measurement]:
    """Fit every case with every peer `repeat` times, after one fit that is not timed.

    The peers take turns, so that a machine that slows down slows all of them.
    """
    found = []
    with quiet():
        for case in cases:
            tell(f"{case.name}: {case.formula}")
            found += _measure(case, peers, repeat, tell)
    return found


def _measure(
    case: Case, peers: Sequence[Peer], repeat: int, tell: Callable[[str], None]
) -> list[Measurement]:
    rounds = max(3, repeat // LARGE_SHARE) if case.large else repeat
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    criteria = {}
    for peer in peers:
        peer.prepare(case)
        peer.fit()
    for _ in range(rounds):
        for peer in peers:
            gc.collect()
            seconds, criteria[peer.name] = peer.fit()
            for part, value in seconds.items():
                times[peer.name, part].append(value)
    found = [
        Measurement(
            case.name, peer, part, median(values), min(values), rounds, criteria[peer]
        )
        for (peer, part), values in times.items()
    ]
    for m in found:
        tell(f"  {m.peer:8} {m.part:16} {1e3 * m.seconds:10.2f} ms  {m.criterion:.6f}")
    return found
