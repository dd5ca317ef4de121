"""Chips on an I2C bus, and what hangs on them; one file per kind."""
