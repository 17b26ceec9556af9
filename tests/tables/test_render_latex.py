"""LaTeX: escaping, siunitx, longtable, golden files, and TeX itself where there is one."""

import re
import shutil
import subprocess
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables.examples import TABLES, large
from tables.regenerate import GOLDEN
from tables.words import unlatex, words

from sm_lmer.tables.render.latex import latex_label, to_latex
from sm_lmer.tables.render.latex_text import latex_text
from sm_lmer.tables.render.symbols import MINUS
from sm_lmer.tables.table import EMPTY, Cell, Row, Section, Span, Table

PREAMBLE = r"""\documentclass{article}
\usepackage[a3paper,landscape,margin=1cm]{geometry}
\usepackage{booktabs,siunitx,longtable}
\DeclareUnicodeCharacter{65E5}{N}
\DeclareUnicodeCharacter{672C}{H}
\DeclareUnicodeCharacter{8A9E}{G}
\begin{document}\tiny
"""

OPTIONS = {
    "plain": {},
    "without siunitx": {"siunitx": False},
    "longtable": {"longtable": True},
    "tabular": {"tabular_only": True},
}


def numbers(*texts, align="d", **around):
    rows = tuple(Row(("x",), (Cell(text, **around),)) for text in texts)
    return Table(((Span("y"),),), (Section(rows),), align=align)


def body(source):
    """Cells of the lines between the header and the end."""
    lines = source.split("\\midrule\n", 1)[1].split("\\bottomrule")[0].splitlines()
    return [line.removesuffix(" \\\\").split(" & ") for line in lines]


def compiled(tmp_path, *sources):
    """The text of a PDF that TeX makes of the sources."""
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex on PATH to compile LaTeX with")
    path = tmp_path / "document.tex"
    path.write_text(PREAMBLE + "\n\n".join(sources) + "\\end{document}\n", "utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", path.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    log = done.stdout.decode("latin-1")
    assert done.returncode == 0, log[-2000:]
    if shutil.which("pdftotext") is None:
        return log, ""
    text = subprocess.run(
        ["pdftotext", "-layout", path.with_suffix(".pdf"), "-"],
        capture_output=True,
        check=True,
    )
    return log, text.stdout.decode("utf-8")


@pytest.mark.parametrize("name", TABLES)
def test_golden_file(name):
    expected = (GOLDEN / f"{name}.tex").read_text("utf-8")
    assert to_latex(TABLES[name]) == expected


@pytest.mark.parametrize("siunitx", [True, False])
def test_speed(siunitx):
    table = large(50, 30)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        to_latex(table, siunitx=siunitx)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.1


# -- content --------------------------------------------------------------------


@pytest.mark.parametrize("options", ["plain", "without siunitx", "longtable"])
@pytest.mark.parametrize("name", TABLES)
def test_every_text_is_there(name, options):
    said = unlatex(to_latex(TABLES[name], **OPTIONS[options]))
    for text in words(TABLES[name]):
        assert text in said, text


def test_tabular_alone_has_neither_caption_nor_notes():
    table = TABLES["ordinary"]
    source = to_latex(table, tabular_only=True)
    assert "\\caption" not in source
    assert "\\label" not in source
    assert table.notes[0] not in source
    assert source.count("\\begin{tabular}") == 1


def test_caption_label_and_notes():
    source = to_latex(TABLES["ordinary"])
    assert "\\caption{Mathematics achievement}\n\\label{hsb}\n" in source
    assert source.index("\\end{tabular}") < source.index("Standard errors in")
    assert "\\caption" not in to_latex(TABLES["untitled"])


def test_spanners_have_rules_of_their_width():
    source = to_latex(TABLES["ordinary"])
    assert "\\multicolumn{2}{c}{Mixed models}" in source
    assert "\\cmidrule(lr){3-4}" in source
    assert source.count("\\cmidrule") == 1


def test_header_of_the_stub_alone():
    table = Table((), (Section((Row(("x",), (Cell("1"),)),)),), stub=("Term",))
    assert "Term &  \\\\\n\\midrule" in to_latex(table)


def test_no_header_at_all():
    table = Table((), (Section((Row(("x",), (Cell("1"),)),)),))
    assert "\\toprule\nx & 1 \\\\" in to_latex(table)


def test_longtable_keeps_estimates_with_their_errors():
    source = to_latex(TABLES["ordinary"], longtable=True)
    assert "11.728{***} \\\\*\n & {(}0.406{)}" in source
    assert source.count("\\toprule") == 2


def test_longtable_is_no_tabular():
    with pytest.raises(ValueError, match="use either longtable or tabular_only"):
        to_latex(TABLES["ordinary"], longtable=True, tabular_only=True)


# -- siunitx ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("-0.885", "-0.885"),
        ("1,234.5", "{1,}234.5"),
        ("1,000", "{1,00}0"),
        ("+0.5", "{+}0.5"),
        ("-1,004", "{$-$1,00}4"),
        ("007", "{00}7"),
        (".042", ".042"),
        ("-.042", "-.042"),
        ("1.2e-05", "1.2{e$-$05}"),
        ("nan", "{nan}"),
    ],
)
def test_numbers_stay_as_they_are(number, expected):
    assert body(to_latex(numbers(number))) == [["x", expected]]


def test_zeros_before_points_only_where_they_were():
    source = to_latex(numbers(".042", "0.042", "-0.5", "1.5"))
    assert "print-zero-integer=false" in source
    cells = [cell for _, cell in body(source)]
    assert cells == [".042", "{0}.042", "{$-$0}.5", "1.5"]
    assert "print-zero" not in to_latex(numbers("0.042"))


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (numbers("1.5", "-22.125"), "-2.3"),
        (numbers("3", "12"), "2"),
        (numbers("0.5", prefix="(", suffix=")"), "{(}1.1{)}"),
        (numbers("0.5", stars="***"), "1.1{***}"),
    ],
)
def test_format_of_the_column(table, expected):
    assert f"S[table-format={expected}]" in to_latex(table)


def test_a_column_without_numbers_is_no_s_column():
    row = Row(("x",), (Cell(prefix="yes"), EMPTY))
    source = to_latex(Table(((Span("a"), Span("b")),), (Section((row,)),)))
    assert "\\begin{tabular}{lcc}" in source
    assert "sisetup" not in source


# -- escaping ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("R² τ₀₀ σ²", r"R$^{2}$ $\tau_{00}$ $\sigma^{2}$"),
        ("√τ₁₁ ρ₀₁", r"$\sqrt{\tau_{11}}$ $\rho_{01}$"),
        ("a \N{MULTIPLICATION SIGN} b \N{MINUS SIGN} c", r"a $\times$ b $-$ c"),
        ("a---b", "a-{}-{}-b"),
        ("100% & a_b #1 $", r"100\% \& a\_b \#1 \$"),
        ("\\write18{ls}", r"\textbackslash{}write18\{ls\}"),
        ("a\n\nb", "a  b"),
        ("e\u0301", "é"),
    ],
)
def test_escaped(text, expected):
    assert latex_text(text) == expected


@given(st.text(st.characters(max_codepoint=126, exclude_categories=["Cc"])))
def test_escaping_can_be_undone(text):
    assert unlatex(latex_text(text)) == text.replace(" ", "")


@given(st.text(max_size=20))
def test_escaped_braces_balance(text):
    source = re.sub(r"\\[{}$]", "", latex_text(text))
    assert source.count("{") == source.count("}")
    assert not re.search(r"\\(input|write|def|catcode)", source)
    assert source.count("$") % 2 == 0


@pytest.mark.parametrize("text", ["[x]", "*"])
def test_line_starts_are_no_arguments(text):
    rows = (Row(("x",), (Cell("1"),)), Row((text,), (Cell("2"),)))
    source = to_latex(Table(((Span("y"),),), (Section(rows),)))
    assert f"\n{{{text[0]}}}{text[1:]} & 2" in source


def test_label_keeps_what_can_be_referred_to():
    assert latex_label("tab:my_table-1") == "tab:my_table-1"
    assert latex_label("}\\input{x}%") == "input-x"


# -- TeX ----------------------------------------------------------------------------


def test_tex_compiles_every_table_and_reads_no_file(tmp_path):
    sources = [
        to_latex(replace(table, label=f"{name}:{kind}"), **options)
        for kind, options in OPTIONS.items()
        for name, table in TABLES.items()
    ]
    log, text = compiled(tmp_path, *sources)
    assert "(/etc/passwd" not in log
    assert "root:" not in text
    if text:
        assert "\\input{/etc/passwd}" in text.replace(" ", "")


def test_tex_sets_numbers_as_they_are(tmp_path):
    shown = ["1,234.5", "-1,004", "007.25", "+0.5", "12345", "1.2e-05", "1e10"]
    _, text = compiled(tmp_path, to_latex(numbers(*shown), tabular_only=True))
    _, bare = compiled(tmp_path, to_latex(numbers(".042", "0.5"), tabular_only=True))
    if not text:
        pytest.skip("no pdftotext on PATH to read the PDF with")
    for number in shown:
        assert re.search(rf"x\s+{re.escape(number.replace('-', MINUS))}\s", text)
    assert re.search(r"x\s+\.042\s+x\s+0\.5\s", bare)
