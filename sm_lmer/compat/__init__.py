"""The only place that touches private or changing interfaces of other packages."""
