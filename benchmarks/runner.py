"""Run cases through peers, round robin, and keep the medians."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from . import memory
from .cases import Case
from .peers import Peer, quiet

LARGE_SHARE = 5
"""A large case is repeated this many times less than a small one, but three times."""

Tell = Callable[[str], None]


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
    size : str
        The case's.
    megabytes : float or None
        What the peer's process held at its peak in the first fit, beyond what it held
        before; None where the operating system does not tell.
    """

    case: str
    peer: str
    part: str
    seconds: float
    best: float
    repeats: int
    criterion: float
    size: str
    megabytes: float | None

    def as_dict(self) -> dict[str, str | float | int | None]:
        """For JSON."""
        return asdict(self)


def run(
    cases: Iterable[Case], peers: Sequence[Peer], repeat: int, tell: Tell = print
) -> list[Measurement]:
    """Fit every case with every peer `repeat` times, after one fit that is not timed.

    The peers take turns, so that a machine that slows down slows all of them.
    """
    found = []
    with quiet():
        for case in cases:
            tell(f"{case.name}: {case.formula}")
            for name, reason in case.without.items():
                tell(f"  {name} is left out: {reason}.")
            own = [peer for peer in peers if peer.name not in case.without]
            found += _measure(case, own, repeat, tell)
    return found


def _measure(
    case: Case, peers: Sequence[Peer], repeat: int, tell: Tell
) -> list[Measurement]:
    """Time one case; a huge one once, without a fit that is not timed."""
    share = {"small": repeat, "large": max(3, repeat // LARGE_SHARE), "huge": 1}
    rounds = share[case.size]
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    criteria, megabytes = {}, {}
    for turn in range(rounds + (case.size != "huge")):
        for peer in peers:
            if turn == 0:
                peer.prepare(case)
            gc.collect()
            with memory.watched(peer.pid) as peak:
                seconds, criteria[peer.name] = peer.fit()
            if turn == 0:
                megabytes[peer.name] = peak.megabytes
            if turn > 0 or case.size == "huge":
                for part, value in seconds.items():
                    times[peer.name, part].append(value)
    for peer in peers:
        peer.forget()
    found = [
        Measurement(
            case=case.name,
            peer=peer,
            part=part,
            seconds=median(values),
            best=min(values),
            repeats=rounds,
            criterion=criteria[peer],
            size=case.size,
            megabytes=megabytes[peer],
        )
        for (peer, part), values in times.items()
    ]
    for m in found:
        held = "" if m.megabytes is None else f"  {m.megabytes:8,.0f} MB"
        tell(
            f"  {m.peer:8} {m.part:16} {1e3 * m.seconds:12,.2f} ms"
            f"{held}  {m.criterion:.6f}"
        )
    return found
