# What lme4, lmerTest and RLRsim print for the models of docs/tutorials/lme4-lectures.md.
# Usage: Rscript tutorial_lme4-lectures.R > tutorial_lme4-lectures.txt (one minute)

suppressMessages({library(lmerTest); library(RLRsim)})
lmer <- lmerTest::lmer
show <- function(title, value) {
  cat("\n##", title, "\n")
  print(value)
}
cat(R.version.string, "\n")
for (package in c("lme4", "lmerTest", "RLRsim")) {
  cat(package, as.character(packageVersion(package)), "\n")
}

fm1 <- lmer(Yield ~ 1 + (1 | Batch), Dyestuff)
show("Dyestuff", summary(fm1))
show("Dyestuff, random effects", round(ranef(fm1)$Batch, 5))
show("Dyestuff, intervals", confint(fm1, quiet = TRUE))
show("Dyestuff, ranova", ranova(fm1))
show("Dyestuff, exact test", exactRLRT(fm1, nsim = 1e5, seed = 1))
show("Dyestuff, F test", anova(lm(Yield ~ Batch, Dyestuff)))
fm1M <- update(fm1, REML = FALSE)
show("Dyestuff, ML", c(deviance = deviance(fm1M), logLik = logLik(fm1M), AIC = AIC(fm1M),
                       BIC = BIC(fm1M)))
show("Dyestuff, ML, variances", VarCorr(fm1M))

fm1A <- suppressMessages(lmer(Yield ~ 1 + (1 | Batch), Dyestuff2, REML = FALSE))
show("Dyestuff2, ML", c(deviance = deviance(fm1A), logLik = logLik(fm1A), AIC = AIC(fm1A),
                        BIC = BIC(fm1A)))
show("Dyestuff2, ML, variances", VarCorr(fm1A))
show("Dyestuff2, ML, mean", coef(summary(fm1A)))
lm1 <- lm(Yield ~ 1, Dyestuff2)
show("Dyestuff2, lm", coef(summary(lm1)))
show("Dyestuff2, lm", logLik(lm1))

fm2 <- lmer(diameter ~ 1 + (1 | plate) + (1 | sample), Penicillin)
show("Penicillin", summary(fm2))
show("Penicillin, random effects", round(ranef(fm2)$sample, 4))
show("Penicillin, intervals", confint(fm2, quiet = TRUE))

fm3 <- lmer(strength ~ 1 + (1 | batch) + (1 | sample), Pastes)
fm4 <- lmer(strength ~ 1 + (1 | sample), Pastes)
show("Pastes", summary(fm3))
show("Pastes, intervals", confint(fm3, quiet = TRUE))
show("Pastes, casks only, intervals", confint(fm4, quiet = TRUE))
show("Pastes, anova", suppressMessages(anova(fm4, fm3)))
show("Pastes, anova, all digits", as.data.frame(suppressMessages(anova(fm4, fm3))))
show("Pastes, ranova", ranova(fm3))
batches <- lmer(strength ~ 1 + (1 | batch), Pastes)
show("Pastes, exact test of batches",
     exactRLRT(as(batches, "lmerMod"), as(fm3, "lmerMod"), as(fm4, "lmerMod"), nsim = 1e5,
               seed = 1))
casks <- aggregate(strength ~ batch + sample, Pastes, mean)
show("Pastes, F test of batches against casks", anova(lm(strength ~ batch, casks)))

fm5 <- lme4::lmer(y ~ 1 + (1 | s) + (1 | d) + (1 | dept:service), InstEval, REML = FALSE,
                  control = lmerControl(calc.derivs = FALSE))
fm5a <- lme4::lmer(y ~ 1 + (1 | s) + (1 | d), InstEval, REML = FALSE,
                   control = lmerControl(calc.derivs = FALSE))
show("InstEval, variances", as.data.frame(VarCorr(fm5)))
show("InstEval, anova", anova(fm5a, fm5))
