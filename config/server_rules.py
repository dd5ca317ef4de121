"""What a type cannot say of the server that an output sends to: its address, login, headers, topic."""

import re
from collections.abc import Iterator

from config.model import Output
from config.urls import HTTP, MQTT, Url, UrlError, parse

# Key, what is wrong, what is allowed.
Wrong = tuple[str, str, str]
_PORTS = {"webhook": HTTP, "signed": HTTP, "influx": HTTP, "mqtt": MQTT}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# RFC 9110, 5.6.2.
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
# They say how a request is sent, which is ours.
_OURS = frozenset(
    {"connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
TOPIC_NAMES = ("device", "entity", "id", "key", "period")
"""What an MQTT topic may name of a record."""
_OF_A_DEVICE = ("device", "entity", "id")
_NAME = re.compile(r"\{([^{}]*)\}")
_LONGEST_TOPIC = 1024


def wrong_server(output: Output) -> Iterator[Wrong]:
    """Find what is wrong with the server of an output."""
    url = None
    ports = _PORTS.get(output.kind)
    if ports is not None and output.url is not None:
        try:
            url = parse(output.url, ports)
        except UrlError as error:
            yield "url", error.wrong, error.allowed
    yield from _wrong_login(output, url)
    if url is not None:
        yield from _wrong_tls(output, url)
    for name, value in output.headers.items():
        yield from _wrong_header(name, value)
    if output.kind == "mqtt" and output.topic is not None:
        yield from _wrong_topic(output.topic, samples="samples" in output.records)
    if output.kind == "prometheus":
        yield from _wrong_prometheus(output)
    if (word := output.measurement) is not None and (not word or word[0] in "#_" or not word.isprintable()):
        yield "measurement", f"{word!r} is no name in InfluxDB", "a word that does not begin with # or _"


def _wrong_login(output: Output, url: Url | None) -> Iterator[Wrong]:
    for key in ("username", "password", "token", "sign"):
        value = getattr(output, key)
        if value is not None and _CONTROL.search(value):
            yield key, "it has a line end or another control character in it", "one line of text"
        elif value == "" and key != "password":
            yield key, "it is empty", "a text, or take it out"
    headers = {name.lower() for name in output.headers}
    user = output.username or (url.username if url else None) or ""
    if output.token is not None and (output.username is not None or output.password is not None):
        yield "token", "there is a username or a password already", "one of the two ways to log in"
    if "authorization" in headers and (output.token is not None or output.username is not None):
        yield "headers", "Authorization says another login", "one of the two ways to log in"
    if output.kind in _PORTS and output.kind != "mqtt" and ":" in user:
        yield "username", "it has a : in it, which HTTP has no place for", "a name without :"
    if output.password is not None and not user:
        yield "username", "it is missing: there is a password", "the name that the password is of"


def _wrong_tls(output: Output, url: Url) -> Iterator[Wrong]:
    secure = "mqtts" if output.kind == "mqtt" else "https"
    for key in ("tls_ca", "verify"):
        if getattr(output, key) is not None and url.scheme != secure:
            yield key, f"{url.scheme}:// is sent without TLS", f"{secure}:// in url, or take it out"
    if output.tls_ca is not None and output.verify is False:
        yield "verify", "false takes any certificate, so tls_ca would do nothing", "take one of the two out"


def _wrong_header(name: str, value: str) -> Iterator[Wrong]:
    if not _HEADER.match(name):
        yield "headers", f"{name!r} is no name of a header", "letters, digits and -, such as X-Van"
    elif name.lower() in _OURS:
        yield "headers", f"{name} is not yours to say", "take it out"
    if _CONTROL.search(value):
        yield "headers", f"{name} has a line end or another control character in it", "one line of text"


def _wrong_topic(topic: str, *, samples: bool) -> Iterator[Wrong]:
    for name in _NAME.findall(topic):
        if name not in TOPIC_NAMES:
            allowed = ", ".join(f"{{{known}}}" for known in TOPIC_NAMES)
            yield "topic", f"a record has no {{{name}}}", allowed
        elif samples and name in _OF_A_DEVICE:
            yield "topic", f"a sample is of no {{{name}}}", "a topic without it"
    rest = _NAME.sub("", topic)
    if "{" in rest or "}" in rest:
        yield "topic", "a { or } is alone", "names in braces, such as vans/12/{device}/{entity}"
    if strange := re.search(r"[+#\x00-\x1f\x7f]", rest):
        yield (
            "topic",
            f"it has {strange[0]!r} in it, which no topic may have",
            "such as vans/12/{device}/{entity}",
        )
    if not 0 < len(topic) <= _LONGEST_TOPIC or topic.startswith("$"):
        yield "topic", "it is empty, too long or begins with $", "such as vans/12/{device}/{entity}"


def _wrong_prometheus(output: Output) -> Iterator[Wrong]:
    if output.path is not None and not output.path.endswith(".prom"):
        yield "path", "node_exporter reads only files that end with .prom", "such as /run/boondock/van.prom"
    if output.records != ("readings",):
        yield (
            "records",
            "an output of kind prometheus shows the newest readings",
            'take it out, or ["readings"]',
        )
