"""Write the golden files of the text-like formats: python tests/tables/regenerate.py.

Read the difference before it is committed.
"""

import sys
from pathlib import Path

from sm_lmer.tables.render.csv import to_csv
from sm_lmer.tables.render.html import to_html
from sm_lmer.tables.render.latex import to_latex
from sm_lmer.tables.render.markdown import to_markdown
from sm_lmer.tables.render.text import to_text
from sm_lmer.tables.render.typst import to_typst

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"

FORMATS = {
    "txt": to_text,
    "md": to_markdown,
    "html": to_html,
    "csv": to_csv,
    "tex": to_latex,
    "typ": to_typst,
}


def main():
    sys.path.insert(0, str(HERE.parent))
    from tables.examples import TABLES

    GOLDEN.mkdir(exist_ok=True)
    for name, table in TABLES.items():
        for suffix, render in FORMATS.items():
            path = GOLDEN / f"{name}.{suffix}"
            path.write_bytes(render(table).encode("utf-8"))


if __name__ == "__main__":
    main()
