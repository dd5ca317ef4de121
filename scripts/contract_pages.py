"""The contract's pages as data: their tables, lines and examples."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
CONTRACT, REQUESTS, REGISTRY = (
    (DOCS / name).read_text(encoding="utf-8") for name in ("contract.md", "requests.md", "registry.md")
)

Json = dict[str, Any]


class ContractError(ValueError):
    """A page of the contract lacks what the document is made of; the text names it."""


def meanings(page: str, heading: str) -> dict[str, str]:
    """Read the tables of a section, or of what is before all: what each key means. Raises ContractError."""
    _, found, rest = page.partition(f"## {heading}\n") if heading else ("", "yes", page)
    if not found:
        raise ContractError(f"no section {heading!r}")
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \|$", rest.split("\n## ")[0], re.MULTILINE)
    return {key: prose(text) for keys, text in rows for key in re.findall(r"`([^`]+)`", keys)}


def prose(text: str) -> str:
    """Return a text without links and emphasis."""
    return re.sub(r"\[([^]]+)]\([^)]*\)", r"\1", text).replace("**", "").strip()


def rows() -> Iterator[tuple[str, str, int, bool, str]]:
    """Read the contract's table of topics: address, payload, QoS, retained, who writes it."""
    found = re.findall(r"^\| `([^`]+/[^`]+)` \| (.+) \| ([01]) \| (\w+) \| (.+) \|$", CONTRACT, re.MULTILINE)
    for topic, payload, qos, retained, writer in found:
        yield re.sub(r"<(\w+)>", r"{\1}", topic), prose(payload), int(qos), retained == "yes", writer


def examples(page: str) -> Iterator[tuple[str, Json]]:
    """Read a page's JSON examples with their words."""
    for word, text in re.findall(r"^```json (\w+)\n(.*?)```", page, re.MULTILINE | re.DOTALL):
        yield word, json.loads(text)


def sent(page: str) -> Iterator[tuple[str, str]]:
    """Read the lines of a page that send something: topic and payload."""
    for line in re.findall(r"^mosquitto_(?:rr|pub) .*$", page, re.MULTILINE):
        words = shlex.split(line)
        yield words[words.index("-t") + 1], words[words.index("-m") + 1]
