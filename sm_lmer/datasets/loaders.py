"""One loader a data set.

Columns, rows and factor levels come in the order of the frames in R's packages
lme4 and nlme, so that rows of conditional modes line up with R's. Factors are
pandas categoricals whose categories are strings. They are ordered only where the
order says something about the variable (baking temperature, semesters); note that
R then codes polynomial contrasts by default, patsy and formulaic treatment ones.
nlme also marks Worker, Block and School as ordered, by the largest response in each
group: here they keep that sequence of levels but are unordered.

The files in ``data`` are written by ``tests/reference/export_datasets.R``;
``schema.json`` beside them holds each set's file, column types and factor levels.
"""

import json
from importlib.resources import as_file, files
from typing import Any

import pandas as pd


def _load(name: str) -> pd.DataFrame:
    """Read the data set that ``schema.json`` lists under `name`."""
    data = files("sm_lmer.datasets") / "data"
    schema = json.loads((data / "schema.json").read_text(encoding="utf-8"))[name]
    dtypes = {column: _dtype(kind) for column, kind in schema["columns"].items()}
    with as_file(data / schema["file"]) as path:
        return pd.read_csv(path, dtype=dtypes, na_filter=False)


def _dtype(kind: str | dict[str, Any]) -> str | pd.CategoricalDtype:
    """Turn a column's schema, a NumPy dtype's name or a factor, into a dtype."""
    if isinstance(kind, str):
        return kind
    return pd.CategoricalDtype(kind["levels"], ordered=kind["ordered"])


def load_sleepstudy() -> pd.DataFrame:
    """Load the sleep deprivation study: reaction time over ten days.

    Eighteen people were allowed three hours in bed a night and took a vigilance
    test every day; balanced and complete, one row a person and day. Days 0 and 1
    were for adaptation and training and day 2 is the baseline, so restricted
    sleep shows from day 3 on. The usual model is
    ``Reaction ~ Days + (Days | Subject)``.

    Returns
    -------
    pandas.DataFrame
        180 rows:

        - ``Reaction``, float: the day's mean reaction time, in milliseconds
        - ``Days``, int: day of the study, 0 to 9
        - ``Subject``, category: number of the person, 18 levels

    References
    ----------
    Belenky, G., Wesensten, N. J., Thorne, D. R., Thomas, M. L., Sing, H. C.,
    Redmond, D. P., Russo, M. B. and Balkin, T. J. (2003). Patterns of performance
    degradation and restoration during sleep restriction and subsequent recovery: a
    sleep dose-response study. Journal of Sleep Research 12(1), 1-12. The group with
    three hours in bed; as ``sleepstudy`` in R's lme4.

    Examples
    --------
    >>> from sm_lmer.datasets import load_sleepstudy
    >>> load_sleepstudy().head(3)
       Reaction  Days Subject
    0  249.5600     0     308
    1  258.7047     1     308
    2  250.8006     2     308
    """
    return _load("sleepstudy")


def load_dyestuff() -> pd.DataFrame:
    """Load the dyestuff yields: a balanced one-way layout.

    Six batches of an intermediate (H-acid), and from each of them five laboratory
    preparations of the dye Naphthalene Black 12B. The question is how much of the
    variation in yield stems from the batches: ``Yield ~ 1 + (1 | Batch)``.

    Returns
    -------
    pandas.DataFrame
        30 rows:

        - ``Batch``, category: batch of the intermediate, A to F
        - ``Yield``, float: grams of standard colour, from a dye trial

    See Also
    --------
    load_dyestuff2 : The same layout without a batch effect.

    References
    ----------
    Davies, O. L. and Goldsmith, P. L. (eds) (1972). Statistical Methods in Research
    and Production, 4th ed. Oliver and Boyd, section 6.4. ``Dyestuff`` in R's lme4.

    Examples
    --------
    >>> from sm_lmer.datasets import load_dyestuff
    >>> dyestuff = load_dyestuff()
    >>> dyestuff.groupby("Batch", observed=True)["Yield"].mean().to_dict()
    {'A': 1505.0, 'B': 1528.0, 'C': 1564.0, 'D': 1498.0, 'E': 1600.0, 'F': 1470.0}
    """
    return _load("dyestuff")


def load_dyestuff2() -> pd.DataFrame:
    """Load the constructed dyestuff yields, whose batch variance is estimated as 0.

    Made-up numbers in the layout of `load_dyestuff`, drawn so that the mean square
    between batches is below the one within: the smallest example of a singular fit.

    Returns
    -------
    pandas.DataFrame
        30 rows:

        - ``Batch``, category: batch, A to F
        - ``Yield``, float: simulated yield, on an arbitrary scale

    See Also
    --------
    load_dyestuff : The real experiment.

    References
    ----------
    Box, G. E. P. and Tiao, G. C. (1973). Bayesian Inference in Statistical Analysis.
    Addison-Wesley, section 5.1.2. ``Dyestuff2`` in R's lme4.

    Examples
    --------
    >>> from sm_lmer.datasets import load_dyestuff2
    >>> load_dyestuff2().head(3)
      Batch  Yield
    0     A  7.298
    1     A  3.846
    2     A  2.434
    """
    return _load("dyestuff2")


def load_penicillin() -> pd.DataFrame:
    """Load the penicillin assay: two fully crossed random factors.

    Each of 24 plates of nutrient agar held one pot of each of six penicillin
    samples; the diameter of the zone in which Bacillus subtilis does not grow
    measures the strength of the solution. One reading a plate and sample:
    ``diameter ~ 1 + (1 | plate) + (1 | sample)``.

    Returns
    -------
    pandas.DataFrame
        144 rows:

        - ``diameter``, float: diameter of the clear zone, in millimetres
        - ``plate``, category: agar plate, a to x
        - ``sample``, category: penicillin sample, A to F

    References
    ----------
    Davies, O. L. and Goldsmith, P. L. (eds) (1972). Statistical Methods in Research
    and Production, 4th ed. Oliver and Boyd, section 6.6. ``Penicillin`` in R's lme4.

    Examples
    --------
    >>> from sm_lmer.datasets import load_penicillin
    >>> load_penicillin().head(3)
       diameter plate sample
    0      27.0     a      A
    1      23.0     a      B
    2      26.0     a      C
    """
    return _load("penicillin")


def load_pastes() -> pd.DataFrame:
    """Load the strength of a chemical paste: casks nested in batches.

    Ten deliveries, three casks drawn from each, two tests of the sample from every
    cask. Labels of ``cask`` recur in every batch (implicit nesting) and those of
    ``sample`` do not, so these say the same:
    ``strength ~ 1 + (1 | batch/cask)`` and
    ``strength ~ 1 + (1 | batch) + (1 | sample)``.

    Returns
    -------
    pandas.DataFrame
        60 rows:

        - ``strength``, float: paste strength
        - ``batch``, category: delivery, A to J
        - ``cask``, category: cask in its batch, a to c
        - ``sample``, category: batch and cask, A:a to J:c, 30 levels

    References
    ----------
    Davies, O. L. and Goldsmith, P. L. (eds) (1972). Statistical Methods in Research
    and Production, 4th ed. Oliver and Boyd, section 6.5. ``Pastes`` in R's lme4.

    Examples
    --------
    >>> from sm_lmer.datasets import load_pastes
    >>> load_pastes().head(3)
       strength batch cask sample
    0      62.8     A    a    A:a
    1      62.6     A    a    A:a
    2      60.1     A    b    A:b
    """
    return _load("pastes")


def load_cake() -> pd.DataFrame:
    """Load the chocolate cakes: a split-plot experiment.

    Three recipes, each mixed 15 times; a mix gave six cakes, one for each baking
    temperature, and the angle at which each cake broke was measured. Recipes are
    compared between mixes, temperatures within them. Replicate 1 of recipe A and
    replicate 1 of recipe B are different mixes, so a mix is ``recipe:replicate``:
    ``angle ~ recipe * temperature + (1 | recipe:replicate)``. Replicates are
    probably numbered in order of time.

    Returns
    -------
    pandas.DataFrame
        270 rows:

        - ``replicate``, category: mix of its recipe, 1 to 15
        - ``recipe``, category: A, B, C
        - ``temperature``, ordered category: 175 < 185 < ... < 225, in degrees
          Fahrenheit
        - ``angle``, int: breaking angle, in degrees
        - ``temp``, int: the temperature as a number

    References
    ----------
    Cook, F. E. (1938). Chocolate cake, I. Optimum baking temperature. Master's
    thesis, Iowa State College.

    Cochran, W. G. and Cox, G. M. (1957). Experimental Designs, 2nd ed. Wiley,
    p. 300. ``cake`` in R's lme4.

    Examples
    --------
    >>> from sm_lmer.datasets import load_cake
    >>> load_cake().head(3)
      replicate recipe temperature  angle  temp
    0         1      A         175     42   175
    1         1      A         185     46   185
    2         1      A         195     47   195
    """
    return _load("cake")


def load_insteval() -> pd.DataFrame:
    """Load the lecture ratings of ETH Zurich: large, partially crossed.

    Every row is one student's rating of one lecture. Students and lecturers are
    crossed, but each student has rated only some of the lecturers; the standard
    test of speed is ``y ~ service + (1 | s) + (1 | d) + (1 | dept)``. The data were
    anonymised and somewhat simplified before release.

    Returns
    -------
    pandas.DataFrame
        73,421 rows:

        - ``s``, category: student, 2,972 levels
        - ``d``, category: lecturer, 1,128 levels
        - ``studage``, ordered category: semesters the student has been enrolled,
          2 < 4 < 6 < 8
        - ``lectage``, ordered category: how many semesters ago the lecture was held,
          1 < 2 < ... < 6
        - ``service``, category: 1 if the lecture was given for a department other
          than the lecturer's own, else 0
        - ``dept``, category: the lecture's department in a random code, 14 levels,
          in R's order (15, 5, 10, ...)
        - ``y``, int: rating, from 1 (poor) to 5 (very good)

    References
    ----------
    ETH Zurich, Switzerland: students' evaluation of lectures. ``InstEval`` in R's
    lme4; Bates, D., Maechler, M., Bolker, B. and Walker, S. (2015). Fitting linear
    mixed-effects models using lme4. Journal of Statistical Software 67(1), 1-48.

    Examples
    --------
    >>> from sm_lmer.datasets import load_insteval
    >>> insteval = load_insteval()
    >>> insteval.shape
    (73421, 7)
    >>> insteval.head(3)
       s     d studage lectage service dept  y
    0  1  1002       2       2       0    2  5
    1  1  1050       2       1       1    6  2
    2  1  1582       2       2       0    2  5
    """
    return _load("insteval")


def load_machines() -> pd.DataFrame:
    """Load the productivity of workers on three machines.

    Six workers, drawn at random from a factory's staff, ran each of three brands of
    machine three times. Workers differ, and not equally on all machines:
    ``score ~ Machine + (1 | Worker/Machine)`` or ``(Machine | Worker)``.

    Returns
    -------
    pandas.DataFrame
        54 rows:

        - ``Worker``, category: 6, 2, 4, 1, 3, 5, which is the order of the workers'
          best scores (nlme's levels; ordered there, not here)
        - ``Machine``, category: brand A, B or C
        - ``score``, float: productivity, from number and quality of the parts made

    References
    ----------
    Milliken, G. A. and Johnson, D. E. (1992). Analysis of Messy Data, Volume I:
    Designed Experiments. Chapman and Hall, p. 285.

    Pinheiro, J. C. and Bates, D. M. (2000). Mixed-Effects Models in S and S-PLUS.
    Springer, appendix A.14. ``Machines`` in R's nlme.

    Examples
    --------
    >>> from sm_lmer.datasets import load_machines
    >>> machines = load_machines()
    >>> machines.head(3)
      Worker Machine  score
    0      1       A   52.0
    1      1       A   52.8
    2      1       A   53.1
    >>> list(machines["Worker"].cat.categories)
    ['6', '2', '4', '1', '3', '5']
    """
    return _load("machines")


def load_oats() -> pd.DataFrame:
    """Load the oats field trial of Rothamsted: a split-plot experiment.

    Six blocks of three plots; each plot of a block grew one of three varieties, and
    its four quarters got four amounts of nitrogen:
    ``Q("yield") ~ nitro + (1 | Block/Variety)`` (``yield`` is a keyword of Python,
    hence patsy's ``Q``).

    Returns
    -------
    pandas.DataFrame
        72 rows:

        - ``Block``, category: VI, V, III, IV, II, I, which is the order of the
          blocks' largest yields (nlme's levels; ordered there, not here)
        - ``Variety``, category: Golden Rain, Marvellous, Victory
        - ``nitro``, float: nitrogen, 0, 0.2, 0.4 or 0.6 hundredweight an acre
        - ``yield``, float: grain, in quarter pounds a sub-plot of 1/80 acre (the
          unit Yates used; nlme labels it as bushels an acre)

    References
    ----------
    Yates, F. (1935). Complex experiments. Supplement to the Journal of the Royal
    Statistical Society 2(2), 181-247. doi:10.2307/2983638

    Pinheiro, J. C. and Bates, D. M. (2000). Mixed-Effects Models in S and S-PLUS.
    Springer, appendix A.15. ``Oats`` in R's nlme.

    Examples
    --------
    >>> from sm_lmer.datasets import load_oats
    >>> load_oats().head(3)
      Block  Variety  nitro  yield
    0     I  Victory    0.0  111.0
    1     I  Victory    0.2  130.0
    2     I  Victory    0.4  157.0
    """
    return _load("oats")


def load_hsb() -> pd.DataFrame:
    """Load the High School and Beyond data: pupils in schools.

    Mathematics scores of 7,185 pupils in 160 schools of the United States (14 to 67
    a school, 90 public and 70 Catholic), with what is known of the schools: the
    running example of multilevel textbooks, as in ``MathAch ~ SES + (SES | School)``.

    ``MEANSES`` is the pupils' mean ``SES`` in the school plus 0.006, to three
    decimals. Where deviations must sum to 0 in each school, centre ``SES`` on means
    computed from the rows.

    Returns
    -------
    pandas.DataFrame
        7,185 rows, in the order of nlme's ``MathAchieve``:

        - ``School``, category: number of the school, 160 levels, in the order of the
          schools' largest scores (nlme's levels; ordered there, not here)
        - ``Minority``, category: No, Yes: the pupil belongs to a minority
        - ``Sex``, category: Male, Female
        - ``SES``, float: socio-economic status of the pupil, a standardised scale
        - ``MathAch``, float: score in mathematics
        - ``MEANSES``, float: mean socio-economic status in the school
        - ``Size``, int: number of pupils in the school
        - ``Sector``, category: Public, Catholic
        - ``PRACAD``, float: share of pupils in the academic track, 0 to 1
        - ``DISCLIM``, float: disciplinary climate, a scale
        - ``HIMINTY``, category: 1 if more than 40 % of the pupils belong to a
          minority, else 0

    References
    ----------
    Raudenbush, S. W. and Bryk, A. S. (2002). Hierarchical Linear Models:
    Applications and Data Analysis Methods, 2nd ed. Sage, chapter 4.

    Pinheiro, J. and Bates, D.: R's nlme, ``MathAchieve`` joined with
    ``MathAchSchool`` by ``School``.

    Examples
    --------
    >>> from sm_lmer.datasets import load_hsb
    >>> hsb = load_hsb()
    >>> hsb[["School", "Sex", "SES", "MathAch", "MEANSES", "Size", "Sector"]].head(3)
      School     Sex    SES  MathAch  MEANSES  Size  Sector
    0   1224  Female -1.528    5.876   -0.428   842  Public
    1   1224  Female -0.588   19.708   -0.428   842  Public
    2   1224    Male -0.528   20.349   -0.428   842  Public
    """
    return _load("hsb")
