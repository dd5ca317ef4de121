"""Keeps states in SQLite and publishes 5-minute and hourly statistics."""
