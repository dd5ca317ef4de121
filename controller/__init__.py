"""Obeys commands for relays and tells what they did."""
