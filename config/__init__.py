"""Settings: one typed model, read from boondock.toml, the environment and secret files."""
