"""Installs a house for good: on bare Python, for it runs before anything else is there."""
