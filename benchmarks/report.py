"""Results as JSON and as Markdown, and compared with those of an earlier run.

``python -m benchmarks.report RUN.json ...`` puts the tables of several runs together
into docs/benchmarks.md.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .machine import describe
from .runner import Measurement

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"

SLOWER = 1.2
"""Ratio to an earlier run from which on a measurement is marked."""


def record(
    command: str, versions: dict[str, str], found: list[Measurement]
) -> dict[str, Any]:
    """All there is to know of a run."""
    return {
        "command": command,
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "machine": describe(),
        "versions": versions,
        "measurements": [m.as_dict() for m in found],
    }


def together(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Runs on one machine as one."""
    measurements = [m for run in runs for m in run["measurements"]]
    command = "`, `".join(run["command"] for run in runs)
    return runs[-1] | {"command": command, "measurements": measurements}


def markdown(run: dict[str, Any]) -> str:
    """The tables of a run, with the command, the machine and the versions."""
    rows = run["measurements"]
    peers = list(dict.fromkeys(m["peer"] for m in rows if m["peer"] != "sm_lmer"))
    lines = _times(rows, peers)
    held = [m for m in rows if m["size"] != "small" and m["megabytes"] is not None]
    if held:
        lines += ["", *_memory(held, peers)]
    return "\n".join([*lines, "", _circumstances(run)])


def _times(rows: list[dict[str, Any]], peers: list[str]) -> list[str]:
    """The table of times, with ratios and differences of the criterion."""
    columns = [("sm_lmer", "fit"), ("sm_lmer", "formula and fit")]
    columns += [(peer, "formula and fit") for peer in peers]
    header = ["case", "`fit()` alone", "formula and `fit()`"]
    header += [text for peer in peers for text in (peer, f"{peer} / sm_lmer")]
    header += ["REML criterion", f"that of {', '.join(peers)} is higher by"][
        : 1 + bool(peers)
    ]
    lines = _head(header)
    for case in dict.fromkeys(m["case"] for m in rows):
        by_column = {(m["peer"], m["part"]): m for m in rows if m["case"] == case}
        own = by_column["sm_lmer", "formula and fit"]
        cells, gaps = [case], []
        for column in columns:
            found = by_column.get(column)
            cells.append(f"{1e3 * found['seconds']:,.1f} ms" if found else "")
            if column[0] != "sm_lmer":
                cells.append(
                    f"{found['seconds'] / own['seconds']:.1f}" if found else ""
                )
                gap = found["criterion"] - own["criterion"] if found else None
                gaps.append("" if gap is None else f"{gap:.0e}")
        cells.append(f"{own['criterion']:.4f}")
        cells += [", ".join(gap or "(not run)" for gap in gaps)] if gaps else []
        lines.append(_row(cells))
    return lines


def _memory(rows: list[dict[str, Any]], peers: list[str]) -> list[str]:
    """The table of peak memory in a fit."""
    names = ["sm_lmer", *peers]
    lines = _head(["case", *(f"{name}, MB at the peak" for name in names)])
    for case in dict.fromkeys(m["case"] for m in rows):
        held = {m["peer"]: m["megabytes"] for m in rows if m["case"] == case}
        lines.append(
            _row([case, *(f"{held[n]:,.0f}" if n in held else "" for n in names)])
        )
    return lines


def _head(header: list[str]) -> list[str]:
    return [_row(header), "|---" + "|--:" * (len(header) - 1) + "|"]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _circumstances(run: dict[str, Any]) -> str:
    machine = run["machine"]
    repeats = sorted({m["repeats"] for m in run["measurements"]}, reverse=True)
    versions = ", ".join(f"{name} {v}" for name, v in run["versions"].items())
    return "\n".join(
        [
            f"Medians of {', '.join(map(str, repeats))} fits each (of the small, large "
            f"and huge cases), made by `{run['command']}` on {run['date']}.",
            f"Machine: {machine['processor']}, {machine['cores']} cores, "
            f"{machine['system']}. Threads: {machine['threads']}.",
            f"Versions: Python {machine['python']}, {versions}.",
        ]
    )


def write_markdown(run: dict[str, Any], page: Path) -> None:
    """Put the table of a run into a page, in place of the one that is there."""
    replace_table(page, markdown(run))


def replace_table(page: Path, table: str) -> None:
    """Put Markdown between the marks of a page, in place of what is there."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


def write_json(run: dict[str, Any], path: Path) -> None:
    """Keep a run, to compare later ones with."""
    path.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")


def comparison(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Each measurement of sm_lmer that both runs have, as a ratio new / old."""
    before = {(m["case"], m["part"]): m for m in _own(old)}
    lines = [f"Against the run of {old['date']} (new / old):"]
    for m in _own(new):
        earlier = before.get((m["case"], m["part"]))
        if earlier is None:
            continue
        ratio = m["seconds"] / earlier["seconds"]
        mark = "  slower" if ratio > SLOWER else ""
        lines.append(f"  {m['case']:12} {m['part']:16} {ratio:6.2f}{mark}")
    return "\n".join(lines)


def _own(run: dict[str, Any]) -> list[dict[str, Any]]:
    return [m for m in run["measurements"] if m["peer"] == "sm_lmer"]


if __name__ == "__main__":
    files = [json.loads(Path(name).read_text()) for name in sys.argv[1:]]
    write_markdown(together(files), PAGE)
