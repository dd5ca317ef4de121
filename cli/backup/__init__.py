"""Backup of a whole house into one file, and its return."""
