"""Devices, pure: a table of what each reports and one function from its bytes to values."""
