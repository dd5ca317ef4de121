"""Reads devices and publishes their readings; one process per transport."""
