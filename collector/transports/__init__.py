"""Transports: the only files that touch a radio, port, bus, pin or socket."""
