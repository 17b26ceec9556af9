"""From lme4 formulas and data to arrays."""
