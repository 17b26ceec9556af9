# Z', Lambda, Lambda'Z'WZ Lambda + I and the numbers of entries of its Cholesky factor.
# Usage: Rscript structure.R. Writes structure.json.
#
# Matrices are lists of entries (row and column from 0). nnz_L is that of lme4's own
# factor, whose fill-reducing ordering CHOLMOD chooses; nnz_L_unordered that of a factor
# in the order of lme4's terms.

file_arg <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(file_arg)
source(file.path(here, "lmm_common.R"))

set.seed(8)
crossed <- expand.grid(a = sprintf("a%d", 1:7), b = sprintf("b%d", 1:5), k = 1:3)
crossed <- crossed[runif(nrow(crossed)) < 0.55, c("a", "b")]
crossed$x <- round(rnorm(nrow(crossed)), 2)
crossed$w <- round(runif(nrow(crossed), 0.5, 2), 2)
crossed$y <- round(rnorm(nrow(crossed)) + rnorm(7)[crossed$a] + rnorm(5)[crossed$b], 3)
rownames(crossed) <- NULL

cases <- list(
  list("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
  list("sleepstudy", "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)"),
  list("pastes", "strength ~ 1 + (1 | batch/cask)"),
  list("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
  list("oats", "yield ~ nitro + (1 | Block/Variety)"),
  list("machines", "score ~ Machine + (Machine | Worker)"),
  list("crossed", "y ~ x + (x | a) + (1 | b)", weights = "w"),
  list("crossed", "y ~ x + (1 | a) + (1 | b) + (1 | a:b)")
)

entries <- function(M) {
  T <- as(as(as(M, "dMatrix"), "generalMatrix"), "TsparseMatrix")
  list(shape = I(dim(T)), row = I(T@i), col = I(T@j), value = I(T@x))
}

one <- function(case) {
  data <- if (case[[1]] == "crossed") crossed else load_data(case[[1]])
  args <- list(formula = as.formula(case[[2]]), data = data)
  if (!is.null(case$weights)) args$weights <- data[[case$weights]]
  m <- suppressMessages(do.call(lmer, args))
  Zt <- getME(m, "Zt")
  U <- getME(m, "Lambdat") %*% Zt %*% Diagonal(x = sqrt(weights(m)))
  A <- forceSymmetric(tcrossprod(U) + Diagonal(nrow(U)), "L")
  unordered <- Cholesky(A, perm = FALSE, LDL = FALSE, super = FALSE)
  list(
    data = case[[1]], formula = case[[2]], weights = case$weights,
    theta = I(unname(getME(m, "theta"))),
    groups = I(names(getME(m, "cnms"))),
    Zt = entries(Zt), Lambda = entries(t(getME(m, "Lambdat"))), A = entries(A),
    nnz_L = length(as(getME(m, "L"), "sparseMatrix")@x),
    nnz_L_unordered = length(as(unordered, "sparseMatrix")@x),
    logdet_A = as.numeric(determinant(A)$modulus)
  )
}

write_json(
  list(
    meta = list(R = R.version.string, lme4 = as.character(packageVersion("lme4")),
                Matrix = as.character(packageVersion("Matrix"))),
    inline = list(crossed = lapply(crossed, function(v) if (is.factor(v)) as.character(v) else v)),
    cases = lapply(cases, one)
  ),
  file.path(here, "structure.json")
)
