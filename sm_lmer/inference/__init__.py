"""Inference on fitted models; it reads the public results."""
