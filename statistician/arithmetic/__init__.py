"""Arithmetic of statistics: no clock, no socket, no file; time is an argument."""
