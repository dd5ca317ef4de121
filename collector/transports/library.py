"""What the owner is told when a library fails in a way that nobody foresaw."""

import logging

log = logging.getLogger(__name__)


def failure(library: str, detail: object, advice: str) -> str:
    """Return a sentence for the owner; the library's own words are for the log of who looks closer."""
    log.debug("%s: %s: %s", library, type(detail).__name__, detail)
    return f"the library {library} failed: {advice}"
