"""The code of the documentation's pages, and what it prints."""

from __future__ import annotations

import ast
import io
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"

FENCE = re.compile(
    r"^(?P<mark>`{3,})(?P<kind>\{code-cell\} ?\w*|python)\n(?P<code>.*?)^(?P=mark)$",
    re.DOTALL | re.MULTILINE,
)


def pages() -> list[Path]:
    """All pages that have code."""
    found = sorted(DOCS.rglob("*.md"))
    return [page for page in found if "_build" not in page.parts and code_of(page)]


def code_of(page: Path) -> list[str]:
    """The code of a page, cell by cell, without the options of the cells."""
    cells = [m["code"] for m in FENCE.finditer(page.read_text(encoding="utf-8"))]
    return [re.sub(r"\A(:[\w-]+:.*\n)+\n?", "", cell) for cell in cells]


def run(page: Path) -> str:
    """Run the cells of a page in one namespace, and return what they print.

    The value of a last line that is an expression is printed, as a notebook does.
    """
    namespace: dict[str, object] = {"__name__": "__main__"}
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            for number, cell in enumerate(code_of(page), 1):
                _run_cell(cell, f"{page.name}, cell {number}", namespace)
    finally:
        if "matplotlib.pyplot" in sys.modules:  # the next page starts afresh
            sys.modules["matplotlib.pyplot"].close("all")
    return printed.getvalue()


def _run_cell(cell: str, name: str, namespace: dict[str, object]) -> None:
    tree = ast.parse(cell, name)
    last = tree.body[-1] if tree.body else None
    value = isinstance(last, ast.Expr) and not cell.rstrip().endswith(";")
    if value:
        tree.body.pop()
    exec(compile(tree, name, "exec"), namespace)
    if value:
        result = eval(compile(ast.Expression(last.value), name, "eval"), namespace)
        if result is not None:
            print(result)
