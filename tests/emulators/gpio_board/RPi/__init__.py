"""The package that RPi.GPIO lives in."""
