"""The lines of a page that asks a service, run as they stand, and the answers that are printed below them."""

import json
import re
import shlex
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

Json = Any


class Page:
    """A page of docs/; `examples` are each request, its verb and its answer, in the page's order."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text(encoding="utf-8")
        # Later ones build on earlier ones.
        self.examples: list[tuple[str, str, Json]] = [
            (line, verb, json.loads(answer))
            for line, verb, answer in re.findall(
                r"```sh\n(mosquitto_rr [^\n]+)\n```\n\n```json (\w+)\n(.*?)```", self.text, re.DOTALL
            )
        ]
        self.lines: list[str] = re.findall(r"^mosquitto_\w+ .*$", self.text, re.MULTILINE)
        self.verbs: list[str] = re.findall(r"^### (\w+)$", self.text, re.MULTILINE)

    def printed(self, word: str) -> Json:
        """The answer that is printed under this word."""
        (found,) = re.findall(rf"```json {word}\n(.*?)```", self.text, re.DOTALL)
        return json.loads(found)

    def ask_by_pair(self, port: int) -> Json:
        """The answer that the pair of commands for older clients gets."""
        (pair,) = re.findall(r"```sh pair\n(.*?)\n(.*?)\n```", self.text, re.DOTALL)
        listen, ask = (shlex.split(line) + _place(port) for line in pair)
        listener = subprocess.Popen([*listen, "-W", "20"], stdout=subprocess.PIPE, text=True)
        # It does not say when it listens: ask until it has heard.
        while True:
            subprocess.run(ask, check=True, timeout=20)
            try:
                said, _ = listener.communicate(timeout=0.3)
            except subprocess.TimeoutExpired:
                continue
            return json.loads(said)


def _place(port: int) -> list[str]:
    return ["-h", "127.0.0.1", "-p", str(port)]


def run(line: str, port: int) -> Json:
    """The answer to a line of the page, run as it stands but for the port."""
    command = [*shlex.split(line), *_place(port), "-W", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=True)
    return json.loads(done.stdout)


def shape(value: Json, some: Collection[str] = ()) -> Json:
    """Keys and types; of a list its first element's. What stands under the keys `some` differs."""
    if isinstance(value, dict):
        return {key: "some" if key in some else shape(one, some) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(one, some) for one in value[:1]]
    return "number" if isinstance(value, int | float) else type(value).__name__
