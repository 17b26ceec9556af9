# Effects of R's package effects: writes effects.json.
# Run: Rscript tests/reference/effects.R

source(file.path(dirname(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE)[1])), "lmm_common.R"))
suppressPackageStartupMessages({
  library(effects)
  library(splines)
  library(pbkrtest)
})

# ---- data ------------------------------------------------------------------------

set.seed(804)
n_schools <- 14
school <- rep(sprintf("s%02d", seq_len(n_schools)), times = sample(8:20, n_schools, TRUE))
n <- length(school)
between <- data.frame(
  funding = sample(c("low", "mid", "high"), n_schools, TRUE, c(0.5, 0.3, 0.2)),
  urban = sample(c("city", "land"), n_schools, TRUE),
  u0 = rnorm(n_schools, 0, 2), u1 = rnorm(n_schools, 0, 0.5)
)
at <- as.integer(substr(school, 2, 3))
pupils <- data.frame(
  school = school,
  motiv = round(rnorm(n, 5, 2), 2),
  age = round(runif(n, 11, 18), 2),
  funding = factor(between$funding[at], levels = c("low", "mid", "high")),
  urban = between$urban[at],
  sex = factor(sample(c("m", "f"), n, TRUE, c(0.4, 0.6))),
  late = runif(n) < 0.3,
  w = round(runif(n, 0.5, 2), 3),
  o = round(runif(n, 0, 3), 2)
)
pupils$score <- round(40 + 1.2 * pupils$motiv + (as.integer(pupils$funding) - 1) * (1 + 0.6 * pupils$motiv) +
  6 * log(pupils$age) - 2 * pupils$late + 0.05 * (pupils$motiv - 5)^2 + (pupils$sex == "f") +
  between$u0[at] + between$u1[at] * (pupils$motiv - 5) + pupils$o + rnorm(n, 0, 3), 2)
pupils$positive <- round(exp(pupils$score / 40), 4)

cake <- lme4::cake
cake$temperature <- factor(cake$temperature, ordered = FALSE)
sleepstudy <- lme4::sleepstudy
oats <- load_data("oats")
hsb <- load_data("hsb")
for (name in names(hsb)) if (is.ordered(hsb[[name]])) hsb[[name]] <- factor(hsb[[name]], ordered = FALSE)
oats$Variety <- factor(as.character(oats$Variety))
oats$Block <- factor(as.character(oats$Block))

# ---- models ----------------------------------------------------------------------

models <- list()
fits <- list()

# Newton steps from lme4's optimum, then lmer() at that theta, as effects needs its call.
fit <- function(name, data, r, python, weights = NULL) {
  formula <- as.formula(r, env = globalenv())
  parts <- do.call(lFormula, list(formula = formula, data = get(data), REML = TRUE,
                                  weights = if (!is.null(weights)) get(data)[[weights]]))
  devfun <- do.call(mkLmerDevfun, parts[c("fr", "X", "reTrms", "REML")])
  theta <- polish(devfun, parts$reTrms$lower, parts$reTrms$cnms, 0)$theta
  models[[name]] <<- list(data = data, formula = python, weights = weights)
  call <- list(quote(lmer), formula = formula, data = as.name(data), start = list(theta = theta),
               control = quote(lmerControl(optimizer = NULL, calc.derivs = FALSE)))
  if (!is.null(weights)) call$weights <- as.name(weights)
  fits[[name]] <<- eval(as.call(call), globalenv())
}

cases <- list()
add <- function(model, m, focal, at = NULL, kr = FALSE, ...) {
  e <- Effect(focal, m, KR = kr, ..., xlevels = if (is.null(at)) list() else at)
  d <- as.data.frame(e)
  for (v in focal) d[[v]] <- if (is.numeric(d[[v]])) d[[v]] else as.character(d[[v]])
  cases[[length(cases) + 1]] <<- list(
    model = model, focal = I(focal), at = if (is.null(at)) NULL else lapply(at, I), kr = kr,
    grid = lapply(d[focal], I), fit = I(d$fit), se = I(d$se), lower = I(d$lower), upper = I(d$upper))
}

m <- fit("sleep", "sleepstudy", "Reaction ~ Days + (Days | Subject)", "Reaction ~ Days + (Days | Subject)")
add("sleep", m, "Days")
add("sleep", m, "Days", kr = TRUE)
add("sleep", m, "Days", list(Days = c(0, 3.5, 9)))
m <- fit("sleep_curve", "sleepstudy", "Reaction ~ poly(Days, 3) + (Days | Subject)",
         "Reaction ~ Days + I(Days**2) + I(Days**3) + (Days | Subject)")
add("sleep_curve", m, "Days")

m <- fit("cake_numeric", "cake", "angle ~ recipe * temp + (1 | recipe:replicate)",
         "angle ~ recipe * temp + (1 | recipe:replicate)")
for (focal in list(c("recipe", "temp"), "recipe", "temp")) add("cake_numeric", m, focal)
m <- fit("cake_factor", "cake", "angle ~ recipe * temperature + (1 | recipe:replicate)",
         "angle ~ recipe * temperature + (1 | recipe:replicate)")
for (focal in list(c("recipe", "temperature"), "recipe", "temperature")) {
  add("cake_factor", m, focal)
  add("cake_factor", m, focal, kr = TRUE)
}
m <- fit("oats", "oats", "yield ~ nitro + I(nitro^2) + Variety + (1 | Block/Variety)",
         "yield ~ nitro + I(nitro**2) + Variety + (1 | Block/Variety)")
for (focal in list("nitro", "Variety", c("Variety", "nitro"))) add("oats", m, focal)

m <- fit("hsb", "hsb", "MathAch ~ SES * Sector + MEANSES + Minority + (SES | School)",
         "MathAch ~ SES * Sector + MEANSES + Minority + (SES | School)")
for (focal in list(c("SES", "Sector"), "SES", "Sector", "MEANSES", "Minority")) add("hsb", m, focal)

m <- fit("school", "pupils", "score ~ motiv * funding + sex + late + age + (motiv | school)",
         "score ~ motiv * funding + sex + late + age + (motiv | school)")
for (focal in list(c("motiv", "funding"), "motiv", "funding", "sex", "late", "age", c("sex", "age"))) add("school", m, focal)
m <- fit("three", "pupils", "score ~ motiv * funding * sex + urban + (1 | school)",
         "score ~ motiv * funding * sex + urban + (1 | school)")
for (focal in list(c("motiv", "funding", "sex"), c("motiv", "funding"), "motiv", "sex", "urban")) add("three", m, focal)
m <- fit("log", "pupils", "score ~ log(age) * funding + urban * sex + (1 | school)",
         "score ~ np.log(age) * funding + urban * sex + (1 | school)")
for (focal in list("age", c("age", "funding"), "funding", c("urban", "sex"), "urban")) add("log", m, focal)
m <- fit("spline", "pupils", "score ~ bs(age, df = 5) * sex + poly(motiv, 2) + (1 | school)",
         "score ~ bs(age, df=5) * sex + motiv + I(motiv**2) + (1 | school)")
for (focal in list("motiv", "sex", c("motiv", "sex"))) add("spline", m, focal)
for (focal in list("age", c("age", "sex"))) add("spline", m, focal, list(age = c(12, 14.2, 17.5)))
m <- fit("weights", "pupils", "score ~ motiv * funding + sex + (1 | school)",
         "score ~ motiv * funding + sex + (1 | school)", weights = "w")
for (focal in list(c("motiv", "funding"), "motiv", "sex")) add("weights", m, focal)
m <- fit("offset", "pupils", "score ~ motiv + funding + offset(o) + (1 | school)",
         "score ~ motiv + funding + offset(o) + (1 | school)")
for (focal in list("motiv", "funding")) add("offset", m, focal)
m <- fit("no_intercept", "pupils", "score ~ 0 + funding + motiv + sex + (1 | school)",
         "score ~ 0 + funding + motiv + sex + (1 | school)")
for (focal in list("funding", "motiv", "sex", c("funding", "motiv"))) add("no_intercept", m, focal)
m <- fit("logged", "pupils", "log(positive) ~ motiv + sex + (1 | school)",
         "np.log(positive) ~ motiv + sex + (1 | school)")
add("logged", m, "motiv")

# ---- which effects allEffects() and predictorEffects() show -------------------------

sets <- list()
for (name in c("sleep", "cake_numeric", "hsb", "school")) {
  e <- allEffects(fits[[name]])
  sets[[name]] <- lapply(unname(e), function(e) I(names(e$variables)))
}
predictor <- lapply(c("motiv", "sex"), function(v) {
  e <- predictorEffect(v, fits$three)
  list(model = "three", predictor = v, variables = I(names(e$variables)))
})

# ---- partial residuals: those of the fixed part by least squares ---------------------

m <- lmer(angle ~ recipe * temp + (1 | recipe:replicate), cake)  # balanced: OLS is GLS
e <- Effect(c("temp", "recipe"), m, residuals = TRUE)
residuals_of <- list(residuals = I(unname(e$residuals)))

# ---- standardised coefficients -------------------------------------------------------

# "refit": numeric variables and the response to mean 0 and sd 1 before the fit; "basic":
# coefficients times sd of the column of X over sd of y, as effectsize defines both.
standardised <- list()
for (name in c("school", "sleep", "weights", "hsb")) {
  model <- models[[name]]
  data <- get(model$data)
  m <- fit(name, model$data, model$formula, model$formula, model$weights)
  X <- getME(m, "X")
  factor <- apply(X, 2, sd) / sd(getME(m, "y"))
  grouping <- names(getME(m, "flist"))
  scaled <- data
  for (v in intersect(all.vars(formula(m)), names(data))) {
    if (is.numeric(data[[v]]) && !v %in% c(grouping, model$weights)) scaled[[v]] <- as.vector(scale(data[[v]]))
  }
  assign("scaled", scaled, envir = globalenv())
  s <- fit(paste0(name, "_scaled"), "scaled", model$formula, model$formula, model$weights)
  models[[paste0(name, "_scaled")]] <- NULL
  standardised[[length(standardised) + 1]] <- list(
    model = name, basic = I(unname(fixef(m) * factor)),
    basic_se = I(unname(sqrt(diag(as.matrix(vcov(m)))) * factor)),
    refit = I(unname(fixef(s))), refit_se = I(unname(sqrt(diag(as.matrix(vcov(s)))))),
    terms = I(names(fixef(m))))
}

write_json(list(
  meta = c(meta("effects.R"), list(effects = as.character(packageVersion("effects")))),
  data = list(pupils = pupils),
  models = models,
  cases = cases,
  sets = sets,
  predictor = predictor,
  residuals = residuals_of,
  standardised = standardised
), file.path(this_dir(), "effects.json"))
