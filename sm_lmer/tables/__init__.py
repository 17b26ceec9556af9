"""Tables of several models: tidy frames, layout, one renderer a format."""
