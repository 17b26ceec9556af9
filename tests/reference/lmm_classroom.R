# The models of West, Welch and Galecki on the classroom data. Summaries only: the data
# are not ours to publish. Usage: Rscript lmm_classroom.R /path/to/classroom.csv
# Writes lmm_classroom.json beside this file.

file_arg <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(file_arg)
source(file.path(here, "lmm_common.R"))
path <- commandArgs(TRUE)[1]
if (is.na(path)) stop("usage: Rscript lmm_classroom.R /path/to/classroom.csv")
begun <- Sys.time()

classroom <- read.csv(path)
formulas <- c(
  kind_ses = "mathkind ~ ses + (1 | schoolid)",
  gain_nested = "mathgain ~ ses + mathknow + (1 | schoolid/classid)",
  gain_null = "mathgain ~ 1 + (1 | classid) + (1 | schoolid)",
  gain_pupil = "mathgain ~ 1 + mathkind + sex + minority + ses + (1 | schoolid/classid)"
)

results <- list()
for (id in names(formulas)) {
  for (reml in c(TRUE, FALSE)) {
    started <- Sys.time()
    fit <- fit_polished(formulas[[id]], classroom, reml)
    name <- paste0(id, if (reml) "_reml" else "_ml")
    results[[name]] <- c(
      list(id = name, data = "classroom", formula = formulas[[id]], reml = reml),
      summaries(fit$model), list(polish = fit$report)
    )
    cat(sprintf("%-18s crit %.6f  lme4-polished %8.1e  |g| %.1e  step %.1e  starts %d/%d  %.1fs\n",
                name, results[[name]]$criterion,
                fit$report$lme4_default_criterion - results[[name]]$criterion,
                fit$report$gradient_norm, fit$report$newton_step,
                fit$report$starts_at_optimum, fit$report$starts, stamp(started)))
  }
}
write_json(list(meta = meta("lmm_classroom.R"), cases = unname(results)),
           file.path(here, "lmm_classroom.json"))

expect <- function(label, value, published, digits) {
  good <- abs(value - published) <= 0.5001 * 10^-digits
  cat(sprintf("%-4s %-34s %.*f (published %.*f)\n", if (good) "ok" else "BAD", label,
              digits + 2, value, digits, published))
}
variances <- function(id) results[[id]]$varcorr$vcov
expect("mathkind REML", results$kind_ses_reml$criterion, 12038.7, 1)
expect("mathkind var school", variances("kind_ses_reml")[1], 309, 0)
expect("mathkind var residual", variances("kind_ses_reml")[2], 1308, 0)
expect("mathgain nested REML", results$gain_nested_reml$criterion, 10684.6, 1)
expect("mathgain nested rows", results$gain_nested_reml$nobs, 1081, 0)
for (i in 1:3) {
  expect(paste("mathgain nested var", i), variances("gain_nested_reml")[i],
         c(104.64, 92.11, 1018.67)[i], 2)
}
expect("mathgain null REML", results$gain_null_reml$criterion, 11768.76, 2)
cat(sprintf("total %.0f s\n", stamp(begun)))
