# Where lme4 stops on the 16 schools of docs/tutorials/testing.md, and what R prints for
# models that the lesson does not have: Rscript tutorial_testing.R (20 s) writes
# tutorial_testing.txt.

script <- "tutorial_testing.R"
this_file <- grep("^--file=", commandArgs(FALSE), value = TRUE)
here <- if (length(this_file)) dirname(sub("^--file=", "", this_file[1])) else "."
source(file.path(here, "lmm_common.R"))
suppressPackageStartupMessages({library(lme4); library(lmerTest); library(RLRsim)})
sink(file.path(here, "tutorial_testing.txt"))
options(width = 88)
cat(R.version.string, "\n")
for (p in c("lme4", "lmerTest", "pbkrtest", "RLRsim")) cat(p, format(packageVersion(p)), "\n")

d <- load_hsb()
set.seed(840)
ids <- sample(sort(unique(as.numeric(as.character(d$School)))), 16)
print(sort(ids))
d <- d[as.character(d$School) %in% ids, ]
school <- as.character(d$School)
hsbsub <- data.frame(
  mathach = d$MathAch, meanses = d$MEANSES, sector = as.numeric(d$Sector == "Catholic"),
  ses_cmc = d$SES - ave(d$SES, school), id = factor(school)
)

quiet <- function(x) suppressMessages(suppressWarnings(x))
stop_of <- function(m) {
  cat("theta:", format(getME(m, "theta"), digits = 12), "\n")
  cat("criterion:", format(if (isREML(m)) REMLcrit(m) else deviance(m), digits = 14), "\n")
  print(as.data.frame(VarCorr(m)), digits = 9)
}

cat("\ncrlv_int by REML\n")
crlv_int <- quiet(lmer(mathach ~ meanses + sector * ses_cmc + (ses_cmc | id), hsbsub))
stop_of(crlv_int)
print(anova(crlv_int, ddf = "Kenward-Roger"))
print(coef(summary(crlv_int)), digits = 6)
print(ranova(crlv_int))

cat("\ncrlv_int by ML\n")
crlv_int_ml <- quiet(lme4::lmer(formula(crlv_int), hsbsub, REML = FALSE))
stop_of(crlv_int_ml)
print(quiet(confint(crlv_int_ml, quiet = TRUE)))

cat("\nran_slp\n")
ran_slp <- quiet(lmer(mathach ~ meanses + ses_cmc + (ses_cmc | id), hsbsub))
m_bw <- lmer(mathach ~ meanses + ses_cmc + (1 | id), hsbsub)
stop_of(ran_slp)
print(REMLcrit(m_bw) - REMLcrit(ran_slp))
print(ranova(ran_slp))

cat("\nindependent slopes\n")
both <- quiet(lmer(mathach ~ meanses + ses_cmc + (ses_cmc || id), hsbsub))
stop_of(both)
print(ranova(both))
slopes <- quiet(lmer(mathach ~ meanses + ses_cmc + (0 + ses_cmc | id), hsbsub))
set.seed(840)
print(exactRLRT(m = slopes, mA = both, m0 = m_bw))
print(exactRLRT(m_bw))
sink()
