"""Run the scripts of the gallery: ``python docs/gallery/make.py`` writes gallery.md.

Each script has a docstring, whose first line is the title, and ends in a figure called
``fig``. Its picture gets its name. Numbers of scripts stand for sections and order.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from pathlib import Path
from runpy import run_path

HERE = Path(__file__).parent

SECTIONS = {
    "1": "Random effects",
    "2": "Residuals and fit",
    "3": "Effects and coefficients",
    "4": "Profiles, bootstraps, power",
    "5": "Design and structure",
    "6": "Influence",
    "7": "Several models",
}
"""By the first digit of a script's name."""

HEAD = """# Gallery

Every plot, on real data where there are some of the kind. Each picture is made by the
code below it, all of them by `python docs/gallery/make.py`. A plot is a method of
results and a function of `sm_lmer.graphics` ([reference](reference/plots.md)); it
returns a matplotlib figure. matplotlib comes with the extra `plot`.
"""


def scripts() -> list[Path]:
    """The scripts in their order."""
    return sorted(HERE.glob("[0-9]*.py"))


def draw(script: Path) -> None:
    """Run a script and save its figure beside it."""
    fig = run_path(str(script))["fig"]
    fig.savefig(script.with_suffix(".png"), dpi=110, pil_kwargs={"optimize": True})


def page(found: Iterable[Path]) -> str:
    """The page with titles, explanations, pictures and code."""
    parts, section = [HEAD], ""
    for script in found:
        if SECTIONS[script.name[0]] != section:
            section = SECTIONS[script.name[0]]
            parts.append(f"## {section}\n")
        source = script.read_text(encoding="utf-8")
        tree = ast.parse(source)
        title, _, text = (ast.get_docstring(tree) or "").partition("\n")
        code = "".join(source.splitlines(keepends=True)[tree.body[0].end_lineno :])
        parts.append(
            f"### {title.rstrip('.')}\n\n{text.strip()}\n\n"
            f"![{title.rstrip('.')}](gallery/{script.stem}.png)\n\n"
            f"```python\n{code.strip()}\n```\n"
        )
    return "\n".join(parts)


def main() -> None:
    """Draw all pictures, or those of the scripts that are named, and write the page."""
    for script in scripts():
        if len(sys.argv) == 1 or script.stem in sys.argv[1:]:
            draw(script)
            print(script.stem)
    text = page(scripts())
    (HERE.parent / "gallery.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
