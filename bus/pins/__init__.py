"""The board's pins: one engine for relays and inputs, and the libraries that it can stand on."""
