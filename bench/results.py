"""Keeps the newest table of each measurement in bench/RESULTS.md, with machine and date."""

import os
import platform
import re
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).parent / "RESULTS.md"
_HEAD = """\
# Measured

Written by `python -m bench <what>`, the newest run of each. Nothing here ran on a Raspberry Pi: read the
ratios and the shares, not the absolute figures.
"""


def keep(what: str, table: str) -> None:
    """Replace the section of a measurement."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else _HEAD
    section = f"\n## {what}\n\n{_machine()}\n\n{table}\n"
    pattern = re.compile(rf"\n## {re.escape(what)}\n.*?(?=\n## |\Z)", re.DOTALL)
    text = pattern.sub(lambda _: section, text) if pattern.search(text) else text + section
    PAGE.write_text(text, encoding="utf-8")


def _machine() -> str:
    processor = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text(encoding="utf-8"))
        processor = f"{processor}, {found[1]}" if found else processor
    kernel = f"{platform.system()} {platform.release()}"
    software = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return f"{datetime.now(UTC):%Y-%m-%d}: {processor}, {os.cpu_count()} cores, {kernel}, {software}."
