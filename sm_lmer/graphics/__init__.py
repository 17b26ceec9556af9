"""Pictures of fitted models; they need matplotlib, the extra ``plot``."""
