# Satterthwaite degrees of freedom of lmerTest, at the polished fits of lmm_fits.json.
# Usage: Rscript satterthwaite.R; writes satterthwaite.json beside this file.

file_arg <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(file_arg)
source(file.path(here, "lmm_common.R"))
suppressPackageStartupMessages(library(lmerTest))

fits <- jsonlite::fromJSON(file.path(here, "lmm_fits.json"), simplifyDataFrame = FALSE,
                           simplifyMatrix = FALSE)

inline_data <- function(name) {
  columns <- lapply(fits$inline[[name]], function(col) {
    if (col$type == "factor") factor(col$values, levels = col$levels) else as.double(col$values)
  })
  as.data.frame(columns)
}

data_used <- NULL

# A model at theta, through lmer() itself so that update() finds everything.
model_at <- function(case) {
  data_used <<- if (is.null(case$inline)) load_data(case$data) else inline_data(case$inline)
  if (!is.null(case$weights)) data_used$.w <<- data_used[[case$weights]]
  theta <- as.numeric(case$theta)
  formula <- as.formula(case$formula)
  at <- lmerControl(optimizer = NULL, calc.derivs = FALSE,
                    check.conv.singular = "ignore")
  call <- bquote(lme4::lmer(.(formula), data = data_used, REML = .(case$reml),
                            start = .(theta), control = at))
  if (!is.null(case$weights)) call$weights <- quote(.w)
  eval(call)
}

one <- function(case) {
  m <- suppressWarnings(suppressMessages(model_at(case)))
  stopifnot(max(abs(m@theta - as.numeric(case$theta))) < 1e-12)
  notes <- character(0)
  s <- withCallingHandlers(
    suppressMessages(as_lmerModLmerTest(m)),
    warning = function(w) {
      notes <<- c(notes, conditionMessage(w))
      invokeRestart("muffleWarning")
    })
  table <- coef(summary(s))
  p <- nrow(table)
  joint <- NULL
  if (p > 2) {
    L <- diag(p)[-1, , drop = FALSE]
    joint <- contestMD(s, L)
    joint <- list(F = joint[["F value"]], df = joint$NumDF, df_denom = joint$DenDF,
                  p = joint[["Pr(>F)"]])
  }
  cat(sprintf("%-34s %s\n", case$id, paste(format(table[, "df"], digits = 7), collapse = " ")))
  list(id = case$id, df = I(unname(table[, "df"])), p = I(unname(table[, "Pr(>|t|)"])),
       joint = joint, notes = I(notes))
}

wanted <- Filter(function(case) case$data != "insteval" &&
                   !(case$data == "hsb" && !case$reml), fits$cases)
write_json(list(meta = meta("satterthwaite.R"), cases = lapply(wanted, one)),
           file.path(here, "satterthwaite.json"))
