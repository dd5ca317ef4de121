"""Sends readings and statistics to other systems, and alarms to people."""
