"""What a run was made on: processor, cores, operating system, thread settings."""

from __future__ import annotations

import os
import platform
from pathlib import Path

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


def describe() -> dict[str, str]:
    """The machine and the settings of threads, which a run leaves as they are."""
    set_ = [f"{k}={os.environ[k]}" for k in THREAD_VARIABLES if k in os.environ]
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "threads": " ".join(set_) or "as the libraries choose (no variable is set)",
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [s.split(":", 1)[1].strip() for s in lines if s.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
