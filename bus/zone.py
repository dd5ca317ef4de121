"""The machine's time zone."""

import os
from datetime import UTC, tzinfo
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

_LOCALTIME = Path("/etc/localtime")


@lru_cache(maxsize=1)
def machine_zone() -> tzinfo:
    """Return the zone of the variable TZ, else of /etc/localtime, else UTC."""
    name = os.environ.get("TZ", "").removeprefix(":")
    try:
        if name:
            return ZoneInfo(name)
        with _LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (LookupError, ValueError, OSError):
        # A machine without a zone counts in UTC, as its C library does.
        return UTC
