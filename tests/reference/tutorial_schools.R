# The models of docs/tutorials/schools.md by lme4 and its companions. Usage:
# Rscript tutorial_schools.R. Needs r-cran-lmertest, -pbkrtest, -emmeans, -effects,
# -performance. Reads `data` from tutorial_schools.json, which the first cell of the page
# simulates, and writes the file anew with the results beside the data.

file_arg <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(file_arg)
source(file.path(here, "lmm_common.R"))
suppressPackageStartupMessages(library(lmerTest))

path <- file.path(here, "tutorial_schools.json")
stored <- jsonlite::fromJSON(path)$data
pupils <- as.data.frame(stored)
pupils$school <- factor(pupils$school)
pupils$climate <- ave(pupils$motiv, pupils$school) - 5
pupils$motiv_c <- pupils$motiv - ave(pupils$motiv, pupils$school)

# By the name of the data, which ranova and effects look up again
fitted_by <- function(formula, data = "pupils") {
  notes <- character()
  fit <- withCallingHandlers(
    do.call("lmer", list(formula, as.name(data))),
    warning = function(w) {
      notes <<- c(notes, conditionMessage(w))
      invokeRestart("muffleWarning")
    },
    message = function(m) {
      notes <<- c(notes, trimws(conditionMessage(m)))
      invokeRestart("muffleMessage")
    }
  )
  list(fit = fit, notes = notes)
}

table_of <- function(x) {
  x <- as.data.frame(x)
  c(list(row = rownames(x)), lapply(as.list(x), as.numeric))
}

described <- function(found) {
  components <- as.data.frame(VarCorr(found$fit))
  list(
    formula = paste(deparse(formula(found$fit), 500), collapse = ""),
    criterion = as.numeric(REMLcrit(found$fit)),
    coefficients = table_of(coef(summary(found$fit))),
    components = list(
      grp = components$grp, var1 = components$var1, var2 = components$var2,
      sdcor = components$sdcor
    ),
    singular = isSingular(found$fit),
    notes = I(found$notes)
  )
}

small <- subset(pupils, !(school == "15" & ave(score, school, FUN = seq_along) > 3))
models <- list(
  empty = fitted_by(score ~ 1 + (1 | school)),
  few = fitted_by(score ~ 1 + (1 | school), "small"),
  parallel = fitted_by(score ~ motiv + girl + (1 | school)),
  raw = fitted_by(score ~ motiv + girl + (motiv | school)),
  centred = fitted_by(score ~ motiv_c + climate + girl + (motiv_c | school)),
  without = fitted_by(score ~ motiv_c + climate + funding + girl + (motiv_c | school)),
  full = fitted_by(score ~ motiv_c * funding + climate + girl + (motiv_c | school)),
  maximal = fitted_by(score ~ motiv_c * funding + climate + girl + (motiv_c + girl | school)),
  excessive = fitted_by(
    score ~ motiv_c * funding + climate + girl + (motiv_c * girl * climate | school)
  )
)
full <- models$full$fit
at <- list(funding = c(-1, 0, 1))
new <- data.frame(
  school = c("1", "99"), motiv_c = 1, funding = 0, climate = 0, girl = 0
)
grid <- list(motiv_c = c(-2, 0, 2), funding = c(-1, 1))
effect <- effects::Effect(c("motiv_c", "funding"), full, xlevels = grid)

results <- list(
  meta = meta("tutorial_schools.R"),
  versions = vapply(
    c("lmerTest", "pbkrtest", "emmeans", "effects", "performance"),
    function(p) as.character(packageVersion(p)), ""
  ),
  data = stored,
  models = lapply(unname(names(models)), function(name) {
    c(list(name = name), described(models[[name]]))
  }),
  icc = performance::icc(models$empty$fit)$ICC_adjusted,
  modes = list(
    empty = ranef(models$empty$fit)$school[[1]],
    few = ranef(models$few$fit)$school[[1]]
  ),
  slopes = table_of(suppressMessages(
    anova(models$parallel$fit, models$raw$fit)
  )),
  interaction = table_of(suppressMessages(anova(models$without$fit, models$full$fit))),
  anova = table_of(anova(full)),
  kenward_roger = table_of(coef(summary(full, ddf = "Kenward-Roger"))),
  trends = table_of(summary(emmeans::emtrends(
    full, ~funding, "motiv_c", at = at, lmer.df = "satterthwaite"
  ))),
  effects = table_of(as.data.frame(effect)),
  ranova = table_of(ranova(models$maximal$fit)),
  predictions = unname(predict(full, new, allow.new.levels = TRUE))
)
write_json(results, path)
print(warnings())
