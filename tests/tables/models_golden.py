"""Write the golden files of whole tables: python tests/tables/models_golden.py.

``models.*`` needs statsmodels alone; ``packages.*`` has pyfixest and linearmodels, too,
and is written only where those are. Read the difference before it is committed.
"""

import importlib.util
import sys
import warnings
from functools import cache
from pathlib import Path

import statsmodels.formula.api as smf

import sm_lmer.api as sml
from sm_lmer.tables.modelsummary import modelsummary

GOLDEN = Path(__file__).parent / "golden_models"

SUFFIXES = ("txt", "md", "html", "tex", "typ", "csv")

OTHERS = ("pyfixest", "linearmodels")


def others_installed() -> bool:
    return all(importlib.util.find_spec(name) for name in OTHERS)


@cache
def data():
    frame = sml.datasets.load_sleepstudy()
    frame["Subject"] = frame["Subject"].astype(str)
    frame["slow"] = (frame["Reaction"] > 300).astype(int)
    frame["week"] = frame["Days"] // 4
    return frame


@cache
def models():
    formula, frame = "Reaction ~ Days", data()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mixedlm = smf.mixedlm(formula, frame, groups="Subject", re_formula="~Days")
        return {
            "OLS": smf.ols(formula, frame).fit(),
            "OLS, robust": smf.ols(formula, frame).fit(cov_type="HC1"),
            "Logit": smf.logit("slow ~ Days", frame).fit(disp=0),
            "MixedLM": mixedlm.fit(),
            "By subject": sml.lmer(f"{formula} + (Days | Subject)", frame).fit(),
            "Crossed": sml.lmer(f"{formula} + (1 | Subject) + (1 | week)", frame).fit(
                reml=False
            ),
        }


def with_others():
    import pyfixest
    from linearmodels.panel import PanelOLS

    frame = data().assign(day=data()["Days"]).set_index(["Subject", "day"])
    panel = PanelOLS.from_formula("Reaction ~ Days + EntityEffects", frame)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            **models(),
            "feols": pyfixest.feols("Reaction ~ Days | Subject", data()),
            "PanelOLS": panel.fit(),
        }


def table(fitted):
    return modelsummary(
        fitted,
        fmt=2,
        stars=True,
        header=["depvar", "model"],
        title="Reaction times in the sleep study",
        label="sleep",
        notes="Standard errors in parentheses.",
        gof_map=[
            "nobs",
            "ngroups",
            "r2",
            ("r2_marginal", None, 2),
            ("r2_conditional", None, 2),
            ("icc", None, 2),
            "rmse",
            "vcov_type",
        ],
    )


def rendered(found, suffix):
    render = {
        "txt": found.to_text,
        "md": found.to_markdown,
        "html": found.to_html,
        "tex": found.to_latex,
        "typ": found.to_typst,
        "csv": found.to_csv,
    }
    return render[suffix]()


def main():
    GOLDEN.mkdir(exist_ok=True)
    tables = {"models": table(models())}
    if others_installed():
        tables["packages"] = table(with_others())
    for name, found in tables.items():
        for suffix in SUFFIXES:
            path = GOLDEN / f"{name}.{suffix}"
            path.write_bytes(rendered(found, suffix).encode("utf-8"))


if __name__ == "__main__":
    sys.exit(main())
