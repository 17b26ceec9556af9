# Estimated marginal means of R's emmeans: writes emmeans.json.
# Run: Rscript tests/reference/emmeans.R

source(file.path(dirname(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE)[1])), "lmm_common.R"))
suppressPackageStartupMessages({
  library(lmerTest)
  library(emmeans)
  library(mvtnorm)
})
emm_options(msg.interaction = FALSE, msg.nesting = FALSE, pbkrtest.limit = 1e5, lmerTest.limit = 1e5)

tight <- lmerControl(optimizer = "nloptwrap", optCtrl = list(
  xtol_abs = 1e-12, ftol_abs = 1e-12, xtol_rel = 1e-12, ftol_rel = 1e-15, maxeval = 10000))

# ---- data ------------------------------------------------------------------------

set.seed(1804)
warp <- expand.grid(rep = 1:9, tension = c("L", "M", "H"), wool = c("A", "B"))
warp$block <- sample(letters[1:8], nrow(warp), TRUE)
warp$x <- round(rnorm(nrow(warp), 10, 3), 2)
warp$treated <- rbinom(nrow(warp), 1, 0.4)
effect <- round(rnorm(8, 0, 4), 2)
warp$breaks <- round(30 + 3 * (warp$wool == "B") - 4 * (warp$tension == "H") +
  0.5 * warp$x + 2 * warp$treated + effect[match(warp$block, letters)] + rnorm(nrow(warp), 0, 5), 1)
warp <- warp[sort(sample(nrow(warp), 43)), c("block", "wool", "tension", "x", "treated", "breaks")]
warp$wool <- as.character(warp$wool)
warp$tension <- factor(warp$tension, levels = c("L", "M", "H"))
warp$o <- round(runif(nrow(warp), 0, 2), 2)
holes <- warp[!(warp$wool == "A" & warp$tension == "H"), ]

sets <- list(cake = lme4::cake, machines = as.data.frame(nlme::Machines),
             oats = as.data.frame(nlme::Oats), warp = warp, holes = holes)
for (n in c("machines", "oats")) class(sets[[n]]) <- "data.frame"
sets$machines$Machine <- factor(as.character(sets$machines$Machine))
sets$cake$temperature <- factor(sets$cake$temperature, ordered = FALSE)
sets$oats$Variety <- factor(as.character(sets$oats$Variety))
sets$oats$nitrof <- factor(sets$oats$nitro)

# ---- tables ----------------------------------------------------------------------

plain_table <- function(s, est) {
  s <- as.data.frame(s)
  names(s)[names(s) == est] <- "estimate"
  names(s) <- sub("^asymp\\.LCL$|^lower\\.CL$", "lower", names(s))
  names(s) <- sub("^asymp\\.UCL$|^upper\\.CL$", "upper", names(s))
  names(s) <- sub("^[tz]\\.ratio$", "t", names(s))
  names(s)[names(s) == "p.value"] <- "p"
  s
}

estimate_name <- function(e) attr(summary(e), "estName")
full <- function(e, ...) plain_table(summary(e, infer = c(TRUE, TRUE), ...), estimate_name(e))

# mvt from emmeans itself has errors of 1e-3; here with more points.
mvt <- function(e) {
  s <- as.data.frame(summary(e, infer = c(FALSE, TRUE), adjust = "none"))
  t <- s[[grep("ratio", names(s))]]
  df <- emmeans:::.fix.df(s$df)
  R <- cov2cor(as.matrix(vcov(e)))
  k <- length(t)
  set.seed(1)
  vapply(seq_len(k), function(i) 1 - as.numeric(pmvt(rep(-abs(t[i]), k), rep(abs(t[i]), k),
    df = as.integer(df[i]), corr = R, algorithm = GenzBretz(maxpts = 3e5, abseps = 1e-6))), 0)
}

models <- list()
add_model <- function(name, data, r, python) {
  assign(paste0("set_", data), sets[[data]], envir = globalenv())
  models[[name]] <<- list(data = data, formula = python)
  eval(substitute(lmerTest::lmer(F, data = D, control = tight),
                  list(F = as.formula(r), D = as.name(paste0("set_", data)))), globalenv())
}

cases <- list()
# arguments of Python's emmeans (a list) beside R's own call
add <- function(model, arguments, e) {
  s <- full(e, adjust = "none")
  case <- list(model = model, arguments = arguments, table = s)
  cases[[length(cases) + 1]] <<- case
  invisible(e)
}
contrasts_of <- list()
add_contrast <- function(case, arguments, con, adjust) {
  contrasts_of[[length(contrasts_of) + 1]] <<- list(
    case = case - 1, arguments = arguments, adjust = adjust, table = full(con, adjust = adjust))
}
methods <- c("tukey", "sidak", "bonferroni", "holm", "hochberg", "hommel", "fdr", "by",
             "scheffe", "dunnettx", "none")
ddfs <- c(satterthwaite = "satterthwaite", "kenward-roger" = "kenward-roger", asymptotic = "normal")

both <- function(model, fit, specs, arguments, ...) {
  for (mode in names(ddfs)) {
    e <- emmeans(fit, specs, lmer.df = mode, ...)
    add(model, c(arguments, list(ddf = ddfs[[mode]])), e)
    con <- contrast(e, "pairwise")
    for (adjust in if (mode == "satterthwaite" && model %in% c("machines", "warp")) methods else "tukey") {
      add_contrast(length(cases), list(method = "pairwise"), con, adjust)
    }
  }
  invisible(emmeans(fit, specs, lmer.df = "satterthwaite", ...))
}

# ---- cake ------------------------------------------------------------------------

fit <- add_model("cake_numeric", "cake", "angle ~ recipe * temp + (1 | recipe:replicate)",
                 "angle ~ recipe * temp + (1 | recipe:replicate)")
both("cake_numeric", fit, ~ recipe, list(specs = "recipe"))
e <- emmeans(fit, ~ recipe | temp, at = list(temp = c(180, 210)), lmer.df = "satterthwaite")
add("cake_numeric", list(specs = "recipe | temp", at = list(temp = I(c(180, 210))), ddf = "satterthwaite"), e)
for (a in c("tukey", "holm", "scheffe")) add_contrast(length(cases), list(method = "pairwise"), pairs(e), a)
trends <- list()
add_trend <- function(model, arguments, e) {
  force(e)
  trends[[length(trends) + 1]] <<- list(model = model, arguments = arguments,
    table = full(e, adjust = "none"), pairs = full(pairs(e), adjust = "tukey"))
}
add_trend("cake_numeric", list(specs = "recipe", var = "temp", ddf = "satterthwaite"),
          emtrends(fit, ~ recipe, var = "temp", lmer.df = "satterthwaite"))

fit <- add_model("cake_factor", "cake", "angle ~ recipe * temperature + (1 | recipe:replicate)",
                 "angle ~ recipe * temperature + (1 | recipe:replicate)")
e <- both("cake_factor", fit, ~ temperature, list(specs = "temperature"))
at <- length(cases) - 2
for (m in c("eff", "del.eff", "consec", "mean_chg", "poly", "trt.vs.ctrl", "revpairwise")) {
  con <- contrast(e, m)
  add_contrast(at, list(method = m), con, if (m %in% c("consec", "mean_chg")) "holm" else con@misc$adjust)
}
e <- emmeans(fit, ~ recipe | temperature, lmer.df = "satterthwaite")
add("cake_factor", list(specs = I("recipe"), by = "temperature", ddf = "satterthwaite"), e)
for (a in methods) add_contrast(length(cases), list(method = "pairwise"), pairs(e), a)
e <- emmeans(fit, ~ recipe * temperature, lmer.df = "satterthwaite")
add("cake_factor", list(specs = "recipe * temperature", ddf = "satterthwaite"), e)
add_contrast(length(cases), list(method = "pairwise", interaction = TRUE),
             contrast(e, interaction = "pairwise"), "none")

# ---- Machines, Oats --------------------------------------------------------------

fit <- add_model("machines", "machines", "score ~ Machine + (Machine | Worker)",
                 "score ~ Machine + (Machine | Worker)")
e <- both("machines", fit, ~ Machine, list(specs = "Machine"))
mvt_cases <- list(list(case = length(cases) - 3, method = "pairwise", p = mvt(contrast(e, "pairwise"))))
add_contrast(length(cases) - 2, list(method = "trt.vs.ctrl", ref = "C"), contrast(e, "trt.vs.ctrl", ref = 3), "dunnettx")
fit <- add_model("oats_factor", "oats", "yield ~ nitrof * Variety + (1 | Block/Variety)",
                 "yield ~ C(nitro) * Variety + (1 | Block/Variety)")
e <- both("oats_factor", fit, ~ Variety, list(specs = "Variety"))
fit <- add_model("oats_numeric", "oats", "yield ~ nitro + I(nitro^2) + Variety + (1 | Block/Variety)",
                 "yield ~ nitro + I(nitro**2) + Variety + (1 | Block/Variety)")
e <- both("oats_numeric", fit, ~ nitro * Variety, list(specs = I(c("nitro", "Variety")), at = list(nitro = I(c(0, 0.3, 0.6)))),
          at = list(nitro = c(0, .3, .6)))
add_trend("oats_numeric", list(specs = "Variety", var = "nitro", ddf = "satterthwaite", delta_var = 0.0006),
          emtrends(fit, ~ Variety, var = "nitro", lmer.df = "satterthwaite"))

# ---- unbalanced ------------------------------------------------------------------

fit <- add_model("warp", "warp", "breaks ~ wool * tension + x + treated + (1 | block)",
                 "breaks ~ wool * tension + x + treated + (1 | block)")
e <- both("warp", fit, ~ tension, list(specs = "tension"))
con <- contrast(e, "pairwise")
mvt_cases[[2]] <- list(case = length(cases) - 3, method = "pairwise", p = mvt(con))
mvt_cases[[3]] <- list(case = length(cases) - 3, method = "eff", p = mvt(contrast(e, "eff")))
add_contrast(length(cases) - 2, list(method = "consec"), contrast(e, "consec"), "scheffe")
for (w in c("proportional", "outer", "cells", "flat")) {
  e <- emmeans(fit, ~ wool, weights = w, lmer.df = "satterthwaite")
  add("warp", list(specs = "wool", weights = w, ddf = "satterthwaite"), e)
  e <- emmeans(fit, ~ treated | wool, weights = w, lmer.df = "satterthwaite")
  add("warp", list(specs = "treated | wool", weights = w, ddf = "satterthwaite"), e)
  add_contrast(length(cases), list(method = "pairwise"), pairs(e), "tukey")
}
e <- emmeans(fit, ~ 1, lmer.df = "satterthwaite")
add("warp", list(specs = "1", ddf = "satterthwaite"), e)
e <- emmeans(fit, ~ wool * tension, lmer.df = "satterthwaite")
add("warp", list(specs = "wool * tension", ddf = "satterthwaite"), e)
for (a in methods) add_contrast(length(cases), list(method = "pairwise"), pairs(e), a)
mvt_cases[[4]] <- list(case = length(cases) - 1, method = "pairwise", p = mvt(pairs(e)))
fit <- add_model("warp_curve", "warp", "breaks ~ wool + tension * log(x) + offset(o) + (1 | block)",
                 "breaks ~ wool + tension * np.log(x) + offset(o) + (1 | block)")
e <- both("warp_curve", fit, ~ tension, list(specs = "tension"))
# emtrends of emmeans 1.8.4 fails on a model with an offset
fit <- add_model("warp_log", "warp", "breaks ~ wool + tension * log(x) + (1 | block)",
                 "breaks ~ wool + tension * np.log(x) + (1 | block)")
add_trend("warp_log", list(specs = "tension", var = "x", ddf = "satterthwaite",
          delta_var = 0.001 * diff(range(warp$x))),
          emtrends(fit, ~ tension, var = "x", lmer.df = "satterthwaite"))

# ---- an empty cell ---------------------------------------------------------------

fit <- suppressMessages(add_model("holes", "holes", "breaks ~ wool * tension + x + (1 | block)",
                 "breaks ~ wool * tension + x + (1 | block)"))
for (specs in c("wool", "tension", "wool * tension")) {
  e <- emmeans(fit, as.formula(paste("~", specs)), lmer.df = "satterthwaite")
  add("holes", list(specs = specs, ddf = "satterthwaite"), e)
  for (a in c("tukey", "sidak", "bonferroni", "holm", "fdr", "scheffe")) add_contrast(length(cases), list(method = "pairwise"), pairs(e), a)
}
e <- emmeans(fit, ~ wool, weights = "cells", lmer.df = "satterthwaite")
add("holes", list(specs = "wool", weights = "cells", ddf = "satterthwaite"), e)

# ---- the studentized range -------------------------------------------------------

range_tails <- list()
for (k in c(2, 3, 6, 10)) for (df in c(3, 7.5, 42, 500, Inf)) for (q in c(0.5, 2, 3.5, 5)) {
  range_tails[[length(range_tails) + 1]] <- list(k = k, df = if (is.finite(df)) df else -1, q = q,
    p = ptukey(q, k, df, lower.tail = FALSE), quantile = qtukey(0.95, k, df))
}

write_json(list(
  meta = c(meta("emmeans.R"), list(emmeans = as.character(packageVersion("emmeans")),
                                   lmerTest = as.character(packageVersion("lmerTest")))),
  data = list(warp = warp, holes = holes),
  models = models,
  cases = cases,
  contrasts = contrasts_of,
  trends = trends,
  mvt = mvt_cases,
  range = range_tails
), file.path(this_dir(), "emmeans.json"))
