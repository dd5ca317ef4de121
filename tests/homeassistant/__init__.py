"""A journey with the real Home Assistant, installed for the tests in an environment of its own."""
