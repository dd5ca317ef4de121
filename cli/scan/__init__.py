"""`boondock scan`: what collectors find, what is on serial ports, what is on the local network."""
