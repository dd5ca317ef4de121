"""What stops `boondock broker`."""

from cli.errors import CommandError


class BrokerError(CommandError):
    """The broker cannot be set up; the text says why and what to do, for the person at the terminal."""
