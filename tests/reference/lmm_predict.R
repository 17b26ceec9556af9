# Predictions, getME values and refits for the tests of LMERResults.
# Usage: Rscript lmm_predict.R. Writes lmm_predict.json beside this file.

file_arg <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(file_arg)
source(file.path(here, "lmm_common.R"))
begun <- Sys.time()

# ---- predictions -----------------------------------------------------------------------

new_rows <- list(
  sleepstudy = data.frame(Days = c(0, 4.5, 12, 3, 7), Subject = c("308", "335", "372", "999", "309"),
                          stringsAsFactors = FALSE),
  penicillin = data.frame(plate = c("a", "b", "x", "zz", "zz"), sample = c("A", "F", "B", "C", "QQ"),
                          stringsAsFactors = FALSE),
  # the known cask label d is in no batch; batch Z is new; A:a to J:b are known
  pastes = data.frame(batch = c("A", "B", "A", "Z", "J"), cask = c("a", "c", "d", "a", "b"),
                      stringsAsFactors = FALSE)
)
models <- list(
  sleepstudy = list(formula = "Reaction ~ Days + (Days | Subject)",
                    partial = c("~ (1 | Subject)", "~ (0 + Days | Subject)")),
  penicillin = list(formula = "diameter ~ 1 + (1 | plate) + (1 | sample)",
                    partial = c("~ (1 | plate)", "~ (1 | sample)")),
  pastes = list(formula = "strength ~ 1 + (1 | batch/cask)",
                partial = c("~ (1 | batch)", "~ (1 | cask:batch)"))
)

fits <- list()
predictions <- list()
for (name in names(models)) {
  spec <- models[[name]]
  data <- load_data(name)
  m <- fit_polished(spec$formula, data, TRUE)$model
  fits[[name]] <- m
  forms <- c(list(conditional = NULL, fixed = NA), setNames(lapply(spec$partial, as.formula), spec$partial))
  newdata <- new_rows[[name]]
  values <- lapply(names(forms), function(label) {
    form <- forms[[label]]
    list(re_form = label,
         original = I(unname(predict(m, re.form = form))[1:12]),
         new = I(unname(predict(m, newdata, re.form = form, allow.new.levels = TRUE))))
  })
  refused <- tryCatch({
    predict(m, newdata)
    ""
  }, error = conditionMessage)
  predictions[[name]] <- c(
    list(id = name, data = name, formula = spec$formula, reml = TRUE, newdata = newdata,
         predict = values, error_without_allow_new_levels = refused),
    summaries(m)
  )
  cat(name, "new levels refused with:", refused, "\n")
}

# lme4 must agree with X beta + Z b by hand
m <- fits$sleepstudy
b <- as.matrix(ranef(m)$Subject)[c("308", "335", "372"), ]
by_hand <- c(fixef(m)[1] + fixef(m)[2] * c(0, 4.5, 12) + b[, 1] + b[, 2] * c(0, 4.5, 12),
             fixef(m)[1] + fixef(m)[2] * 3)
gap <- max(abs(by_hand - predictions$sleepstudy$predict[[1]]$new[1:4]))
cat(sprintf("sleepstudy predictions by hand: %.1e\n", gap))
stopifnot(gap < 1e-9)

# ---- getME ---------------------------------------------------------------------------------

dense <- function(x) {
  x <- as.matrix(x)
  matrix(x, nrow(x), ncol(x))
}

all_of_getme <- function(m) {
  g <- function(name) getME(m, name)
  plain_vector <- function(name) I(as.vector(unname(g(name))))
  L <- g("L")
  list(
    theta = g("theta"), beta = plain_vector("beta"), fixef = g("fixef"), sigma = g("sigma"),
    u = plain_vector("u"), b = plain_vector("b"),
    Lambdat = dense(g("Lambdat")), Lambda = dense(g("Lambda")), Lind = plain_vector("Lind"),
    Tlist = lapply(g("Tlist"), dense), ST = lapply(g("ST"), dense), Tp = plain_vector("Tp"),
    Gp = plain_vector("Gp"), lower = plain_vector("lower"),
    cnms = lapply(g("cnms"), I), flist = lapply(g("flist"), function(f) I(levels(f))),
    X_dim = I(dim(g("X"))), X_head = dense(g("X")[1:3, , drop = FALSE]),
    Z_dim = I(dim(g("Z"))), Z_head = dense(g("Z")[1:3, , drop = FALSE]),
    Ztlist_dim = lapply(g("Ztlist"), function(z) I(dim(z))),
    mmList_dim = lapply(g("mmList"), function(z) I(dim(z))),
    RX = dense(g("RX")), RZX = dense(g("RZX")),
    # RZX follows L's fill-reducing order of the random effects (0-based)
    L_perm = I(L@perm), L_logdet = as.numeric(2 * determinant(L, sqrt = TRUE)$modulus),
    mu = I(as.vector(g("mu"))[1:10]), y = I(as.vector(g("y"))[1:10]),
    offset = I(as.vector(g("offset"))[1:10]),
    devcomp = list(cmp = g("devcomp")$cmp, dims = g("devcomp")$dims),
    REML = g("REML"), is_REML = g("is_REML"),
    n = g("n"), N = g("N"), p = g("p"), q = g("q"), n_rtrms = g("n_rtrms"), n_rfacs = g("n_rfacs"),
    p_i = g("p_i"), l_i = g("l_i"), q_i = g("q_i"), k = g("k"), m_i = g("m_i"), m = g("m")
  )
}

getme <- lapply(names(fits), function(name) {
  c(list(id = name, data = name, formula = models[[name]]$formula, reml = TRUE),
    all_of_getme(fits[[name]]))
})

# ---- refits ----------------------------------------------------------------------------------

gap <- function(a, b) {
  max(abs(fixef(a) / fixef(b) - 1), abs(sigma(a) / sigma(b) - 1), abs(a@theta - b@theta))
}
refits <- lapply(names(models), function(name) {
  formula <- as.formula(models[[name]]$formula)
  data <- load_data(name)
  response <- all.vars(formula)[1]
  reversed <- data
  reversed[[response]] <- rev(data[[response]])
  m <- fits[[name]]
  again <- fit_polished(formula, reversed, TRUE)
  ml <- fit_polished(formula, data, FALSE)
  # lme4 1.1-31's refit() sets the REML dimension to 1 instead of p, so with p > 1 it
  # minimises a wrong criterion (df n - 1): the reference is a new fit, refit() a remark.
  ordinary <- lmer(formula, data)
  lme4_again <- suppressMessages(refit(ordinary, rev(data[[response]])))
  lme4_ml <- refitML(ordinary)
  if (lme4_again@devcomp$dims[["REML"]] != length(fixef(m))) {
    cat(sprintf("%s: lme4's refit() has REML = %d with p = %d\n", name,
                lme4_again@devcomp$dims[["REML"]], length(fixef(m))))
  }
  cat(sprintf("%s: refit differs from polished by %.1e (criterion %.1e), refitML by %.1e (%.1e)\n",
              name, gap(lme4_again, again$model), REMLcrit(lme4_again) - REMLcrit(again$model),
              gap(lme4_ml, ml$model), 2 * as.numeric(logLik(ml$model) - logLik(lme4_ml))))
  list(id = name, data = name, formula = models[[name]]$formula,
       reversed_response = c(summaries(again$model), list(polish = again$report)),
       ml = c(summaries(ml$model), list(polish = ml$report)))
})

write_json(list(meta = meta("lmm_predict.R"), predictions = unname(predictions),
                getme = getme, refits = refits),
           file.path(here, "lmm_predict.json"))
cat(sprintf("total %.0f s\n", stamp(begun)))
