"""What a command can fail with, and the one line that says so."""


class CommandError(Exception):
    """What was asked for cannot be had; the text is for the person at the terminal."""

    exit_code = 1


class SettingsError(CommandError):
    """The settings cannot be used; the text has a line for each mistake."""

    exit_code = 78


def sentence(command: str, error: Exception) -> str:
    """One line: what is wrong, and the next step where one helps; of settings a line for each mistake."""
    if isinstance(error, SettingsError):
        return str(error)
    if not isinstance(error, OSError):
        return f"boondock {command}: {error}"
    what = f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
    step = f"; next: sudo boondock {command} …" if isinstance(error, PermissionError) else ""
    return f"boondock {command}: {what}{step}"
