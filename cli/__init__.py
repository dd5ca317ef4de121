"""The `boondock` command."""
