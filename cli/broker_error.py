"""What stops `boondock broker`."""


class BrokerError(Exception):
    """The broker cannot be set up; the text says why and what to do, for the person at the terminal."""
