"""Mirrors collector/devices/victron."""
