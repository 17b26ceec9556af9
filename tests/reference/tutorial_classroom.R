# The models of docs/tutorials/classroom.md on the data that the page simulates.
# Usage: Rscript tutorial_classroom.R simulated.csv, where the file is made by the page's
# first cell and classroom.to_csv("simulated.csv", index=False).
# Writes tutorial_classroom.json beside this file. With a copy of the real classroom.csv
# it prints the numbers of the page's boxes, and writes nothing.

suppressMessages({library(lmerTest); library(pbkrtest)})
file_arg <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(file_arg)
source(file.path(here, "lmm_common.R"))
path <- commandArgs(TRUE)[1]
if (is.na(path)) stop("usage: Rscript tutorial_classroom.R simulated.csv")

classroom <- read.csv(path)
real <- "childid" %in% names(classroom)
control <- lmerControl(optCtrl = list(xtol_abs = 1e-12, ftol_abs = 1e-12, maxeval = 5000))
# ranova evaluates the call again, so it needs names that are known everywhere
fit <- function(formula, data = "classroom", REML = TRUE) {
  eval(bquote(lmerTest::lmer(.(formula), data = .(as.name(data)), REML = .(REML),
                             control = control)), globalenv())
}
# lme4 stops short of its optimum, which shows in the printed digits of variances and df:
# the same model at the optimum that fit_polished finds
polished <- function(model, data = "classroom") {
  theta <- getME(fit_polished(formula(model), get(data), isREML(model))$model, "theta")
  eval(bquote(lmerTest::lmer(.(formula(model)), data = .(as.name(data)), start = .(theta),
                             control = lmerControl(optimizer = NULL))), globalenv())
}
vcov_of <- function(model) {
  table <- as.data.frame(VarCorr(model))
  setNames(as.list(table$vcov), table$grp)
}
rows <- function(table) {
  table <- as.data.frame(table)
  setNames(lapply(seq_len(nrow(table)), function(i) as.list(table[i, ])), rownames(table))
}
models <- list(
  two = fit(mathkind ~ ses + (1 | schoolid)),
  schools = fit(mathkind ~ 1 + (1 | schoolid)),
  both = fit(mathkind ~ 1 + (1 | schoolid/classid)),
  three = fit(mathgain ~ 1 + (1 | schoolid/classid)),
  without = fit(mathgain ~ 1 + (1 | schoolid)),
  predicted = fit(mathgain ~ ses + mathknow + (1 | schoolid/classid)),
  full = fit(mathgain ~ mathkind + sex + minority + ses + mathknow + housepov +
             (1 | schoolid/classid))
)
complete <- subset(classroom, !is.na(mathknow))
fit7 <- fit(mathgain ~ 1 + (1 | schoolid/classid), "complete", REML = FALSE)
fit8 <- fit(mathgain ~ ses + mathknow + (1 | schoolid/classid), "complete", REML = FALSE)
refused <- tryCatch(anova(models$three, models$predicted), error = conditionMessage)

optima <- lapply(models, polished)

results <- list(
  meta = meta("tutorial_classroom.R"),
  models = lapply(optima, function(m) list(
    nobs = nobs(m), remlcrit = REMLcrit(m), vcov = vcov_of(m), coef = rows(coef(summary(m)))
  )),
  ranova = list(two = rows(ranova(models$two)), three = rows(ranova(models$three))),
  schools_classes = rows(anova(models$without, models$three, refit = FALSE)),
  complete = rows(anova(fit7, fit8)),
  kenward_roger = rows(anova(optima$full, ddf = "Kenward-Roger")),
  refused = refused
)
if (real) {
  str(results, digits.d = 7)
} else {
  write_json(results, file.path(here, "tutorial_classroom.json"))
}
