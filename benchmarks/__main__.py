"""``python -m benchmarks``: time sm_lmer beside mixedlm and R's lme4.

Packages that are not installed are left out, and a line says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from . import report
from .cases import CASES, select
from .peers import available
from .runner import run


def main() -> None:
    """Run what the command line asks for."""
    arguments = _arguments()
    peers, absent = available()
    print(*absent, sep="\n", end="\n" if absent else "")
    try:
        found = run(arguments.cases, peers, arguments.repeat)
    finally:
        for peer in peers:
            peer.close()
    versions = {k: v for peer in peers for k, v in peer.versions.items()}
    command = " ".join(["python -m benchmarks", *_shown(sys.argv[1:])])
    result = report.record(command, versions, found)
    if arguments.json:
        report.write_json(result, arguments.json)
    if arguments.write_docs:
        report.write_markdown(result, report.PAGE)
    print(f"\n{report.markdown(result)}")
    if arguments.against:
        print(
            f"\n{report.comparison(json.loads(arguments.against.read_text()), result)}"
        )


def _shown(words: list[str]) -> list[str]:
    """The command line without the files that it writes."""
    files = [k for k, word in enumerate(words) if word in ("--json", "--against")]
    hidden = {*files, *(k + 1 for k in files)}
    return [word for k, word in enumerate(words) if k not in hidden]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--cases",
        type=select,
        default="small",
        help="small (the default), large, huge, all, or a comma-separated list of "
        + ", ".join(case.name for case in CASES),
    )
    parser.add_argument("--repeat", type=int, default=15, help="fits of a small case")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    parser.add_argument("--against", type=Path, help="JSON of an earlier run")
    parser.add_argument(
        "--write-docs",
        action="store_true",
        help="put the table into docs/benchmarks.md",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
