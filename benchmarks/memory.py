"""Peak memory of a process while something runs, as Linux counts it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Peak:
    """What a process held at its peak beyond what it held before, in megabytes."""

    megabytes: float | None = None


@contextmanager
def watched(pid: int) -> Iterator[Peak]:
    """Watch a process; without Linux's ``/proc`` the peak stays None."""
    peak = Peak()
    process = Path(f"/proc/{pid}")
    reset = process / "clear_refs"
    if not reset.exists():
        yield peak
        return
    reset.write_text("5")  # the highest resident size is counted anew
    before = _field(process, "VmRSS")
    yield peak
    peak.megabytes = (_field(process, "VmHWM") - before) / 1024


def _field(process: Path, name: str) -> float:
    """A size in kilobytes from the status of a process."""
    for line in (process / "status").read_text().splitlines():
        if line.startswith(name):
            return float(line.split()[1])
    raise ValueError(f"{process} does not tell its {name}.")
