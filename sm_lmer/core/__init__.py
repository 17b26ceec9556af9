"""The likelihood of linear mixed models in NumPy and SciPy alone (no pandas)."""
