"""Tables as text in one format or another, a module each."""
