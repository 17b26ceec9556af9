"""Tables made by hand that the tests of all renderers share.

``TABLES`` holds them by name; ``HOSTILE_TEXTS`` are the strings that must come out of
every format as they went in.
"""

from sm_lmer.tables.table import EMPTY, Cell, Row, Section, Span, Table

HOSTILE = "a_b & 5% ~ ^ # $ < [x]* <script>alert(1)</script>"

HOSTILE_TEXTS = (
    HOSTILE,
    r"back\slash \textbf{x} \\ {braces} \input{/etc/passwd}",
    "pipe | tick `code` ``` **bold** __under__ ![i](j) [l](k)",
    "\"quotes\" 'single' </td></table></style> &amp; &#60; -->",
    '@ref #strong[x] $x^2$ // /* <label> = head - item + item "s"',
    "=1+1",
    "-- --- ... ~~ 1. first",
    "R² τ₀₀ σ² \u00d7 √τ₁₁ ρ₀₁ \u2212 é e\u0301 日本語",
)


def _estimates(label, *pairs, empty=EMPTY):
    """An estimate's row with its standard errors below; a pair may be None."""
    estimates = tuple(Cell(*pair[0]) if pair else empty for pair in pairs)
    errors = tuple(Cell(pair[1], "(", ")") if pair else empty for pair in pairs)
    return Row((label,), estimates), Row(("",), errors, "statistic")


def _values(label, *numbers, kind="gof"):
    cells = tuple(Cell(number) if number else EMPTY for number in numbers)
    return Row((label,), cells, kind)


def _ordinary() -> Table:
    """OLS, REML and ML with spanners, stars, an interval and empty cells."""
    coefficients = (
        *_estimates(
            "(Intercept)",
            (("11.828", "", "", "***"), "0.406"),
            (("11.728", "", "", "***"), "0.670"),
            (("11.728", "", "", "***"), "0.605"),
        ),
        *_estimates(
            "meanses",
            (("6.572", "", "", "***"), "0.737"),
            (("6.633", "", "", "***"), "1.139"),
            (("6.492", "", "", "***"), "1.035"),
        ),
        *_estimates(
            "cses",
            (("2.856", "", "", "***"), "0.461"),
            (("2.860", "", "", "***"), "0.464"),
            (("2.862", "", "", "***"), "0.459"),
        ),
        *_estimates(
            "meanses \u00d7 cses",
            None,
            (("-0.885",), "0.661"),
            (("-0.888",), "0.655"),
        ),
        Row(
            ("",),
            (
                EMPTY,
                Cell(prefix="[-2.368, 0.598]", numeric=True),
                Cell(prefix="[-2.172, 0.396]", numeric=True),
            ),
            "statistic",
        ),
    )
    random = (
        _values("SD (Intercept id)", "", "1.520", "1.317", kind="estimate"),
        _values("SD (cses id)", "", "0.354", "0.311", kind="estimate"),
        _values("Cor (Intercept~cses id)", "", "1.000", "1.000", kind="estimate"),
        _values("SD (Observations)", "", "5.698", "5.689", kind="estimate"),
    )
    gof = (
        _values("Num.Obs.", "686", "686", "686"),
        _values("R2 Marg.", "", "0.248", "0.247"),
        _values("AIC", "4376.2", "4365.1", "4365.4"),
        Row(("p (LR)",), (EMPTY, Cell("0.001", "<"), Cell("1.2e-05"))),
        Row(
            ("Std.Errors",),
            (Cell(prefix="HC1"), Cell(prefix="IID"), Cell(prefix="IID")),
            "added",
        ),
    )
    return Table(
        headers=(
            (Span(""), Span("Mixed models", 2)),
            (Span("OLS"), Span("REML"), Span("ML")),
        ),
        sections=(
            Section(coefficients),
            Section(random, "Random effects", "random"),
            Section(gof, kind="gof"),
        ),
        title="Mathematics achievement",
        label="hsb",
        notes=(
            "Standard errors in parentheses.",
            "+ p < 0.1, * p < 0.05, ** p < 0.01, *** p < 0.001",
        ),
    )


def _hostile() -> Table:
    """Every text is one that some format could take for its own syntax."""
    rows = tuple(
        Row(
            (text,),
            (
                Cell("-1.5", "(", ")", "***"),
                Cell(prefix=text),
                Cell("2.50", "<", "%", "<script>"),
            ),
        )
        for text in HOSTILE_TEXTS
    )
    broken = Row(
        ("line one\nline two",),
        (Cell("-12.25", "a_b-c ", " & x-1"), Cell(prefix="x\ny"), Cell("1e-10")),
        "statistic",
    )
    return Table(
        headers=(
            (Span(HOSTILE_TEXTS[1], 2), Span(HOSTILE_TEXTS[3])),
            (Span(HOSTILE_TEXTS[0]), Span(HOSTILE_TEXTS[2]), Span(HOSTILE_TEXTS[4])),
        ),
        sections=(
            Section(rows, HOSTILE),
            Section((broken,), HOSTILE_TEXTS[2], "gof"),
        ),
        stub=(HOSTILE_TEXTS[7],),
        title=f"{HOSTILE} {HOSTILE_TEXTS[1]}",
        label="a_b {#x} <y>",
        notes=(*HOSTILE_TEXTS, "two\nlines"),
        align="dld",
    )


def _two_stubs() -> Table:
    """Outcomes of a multinomial model in a second stub column; three header rows."""
    rows = (
        Row(("age", "low"), (Cell("-0.052", stars="**"), Cell("-10.5"))),
        Row(("", ""), (Cell("0.018", "(", ")"), Cell("3.25", "(", ")")), "statistic"),
        Row(("age", "high"), (Cell("0.110", stars="+"), EMPTY)),
        Row(("", ""), (Cell("0.061", "(", ")"), EMPTY), "statistic"),
    )
    gof = (Row(("Num.Obs.", ""), (Cell("944"), Cell("1,024")), "gof"),)
    return Table(
        headers=(
            (Span("Party", 2),),
            (Span("(1)"), Span("(2)")),
            (Span("MNLogit"), Span("MNLogit")),
        ),
        sections=(Section(rows), Section(gof, kind="gof")),
        stub=("Term", "Outcome"),
        align="dr",
    )


def _untitled() -> Table:
    """No titles, notes or spanners; columns to the left, the centre and the right."""
    rows = (
        Row(("x",), (Cell("1.5"), Cell("22.25"), Cell(prefix="yes"))),
        Row(("long name",), (Cell("-10"), EMPTY, Cell(prefix="no"))),
    )
    return Table(
        headers=((Span("left"), Span("centre"), Span("right")),),
        sections=(Section(rows), Section((Row(("N",), (Cell("10"),) * 3, "gof"),))),
        align="lcr",
    )


def _panels() -> Table:
    """Panels one below the other, the title of each a section's."""
    panels = tuple(
        Section((*_estimates("x", ((f"{k}.25",), "0.5")),), f"Panel {name}", "panel")
        for k, name in enumerate("ABC", start=1)
    )
    return Table(headers=((Span("y"),),), sections=panels, title="Panels")


TABLES: dict[str, Table] = {
    "ordinary": _ordinary(),
    "hostile": _hostile(),
    "two_stubs": _two_stubs(),
    "untitled": _untitled(),
    "panels": _panels(),
}


def large(models: int = 50, terms: int = 30) -> Table:
    """Many models of many coefficients, two lines each, for timing."""
    pairs = [
        ((f"{(k - 25) / 7:.3f}", "", "", "*" * (k % 4)), f"{k / 9:.3f}")
        for k in range(models)
    ]
    rows = [row for j in range(terms) for row in _estimates(f"x{j}", *pairs)]
    return Table(
        headers=(tuple(Span(f"({k})") for k in range(models)),),
        sections=(Section(tuple(rows)),),
    )
