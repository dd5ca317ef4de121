"""The page for browsers: where it was built, the copy of it that is served, and whether it answers."""

import gzip
import http.client
import re
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from cli.machine import Finding
from cli.terminal import CommandError

BUILT = Path(sys.prefix) / "page"
"""Where scripts/page puts it: beside the Python packages, so that both belong to one release."""
_HTML = "index.html"
# What makes it an app, for a server that says what each file is; mosquitto/page/public.
BESIDE = ("manifest.webmanifest", "sw.js", "icon.svg", "icon-180.png", "icon-512.png")
_BUILD = "next: ./scripts/page builds it"
_TIMEOUT_S = 5.0
# RFC 6455, 1.3: any 16 bytes in base64.
_KEY = "Ym9vbmRvY2sgZG9jdG9yIQ=="


def why_missing() -> str | None:
    """Say why there is no page, and what to do; None if there is one."""
    if (BUILT / _HTML).exists():
        return None
    try:
        return (BUILT / "failed").read_text(encoding="utf-8").partition("\n")[0]
    except OSError:
        return f"it was not built; {_BUILD}"


def put_copy(folder: Path, base: str, *, websocket: int | None = None) -> None:
    """Write the page as it is served for a base topic; `websocket` is the port of the broker's own.

    Raises CommandError if it was not built.
    """
    if (why := why_missing()) is not None:
        raise CommandError(f"there is no page: {why}")
    text = (BUILT / _HTML).read_text(encoding="utf-8")
    text = _told(_told(text, "boondock-base", base), "boondock-ws", str(websocket or ""))
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    files = {_HTML: text.encode(), f"{_HTML}.gz": gzip.compress(text.encode(), mtime=0)}
    files |= {name: (BUILT / name).read_bytes() for name in BESIDE if (BUILT / name).exists()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o644)


def _told(html: str, name: str, content: str) -> str:
    """Give a <meta> of the page its content. Raises CommandError."""
    made, found = re.subn(
        rf'<meta name="{name}" content="[^"]*">', f'<meta name="{name}" content="{content}">', html
    )
    if found != 1:
        raise CommandError(f"the page has no place for its {name}; {_BUILD}")
    return made


def with_login(address: str, user: str, password: str) -> str:
    """Add a login to an address: behind the #, which a browser sends to nobody."""
    return f"{address}#{urlencode({'user': user, 'password': password})}"


def look(place: str, mend: str) -> Iterator[Finding]:
    """Whether the page comes from this address, and MQTT over WebSockets too."""
    found = urlsplit(place)
    # Whether it answers, not who: `boondock check` looks at the certificate.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    shown = f"{found.scheme}://{found.netloc}/"
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Protocol": "mqtt"}
    upgrade |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": _KEY}
    for path, headers, wanted, what in (("/", {}, 200, "the page"), ("/mqtt", upgrade, 101, "its WebSocket")):
        try:
            status = _ask(found.scheme, found.netloc, context, path, headers)
        except (OSError, http.client.HTTPException) as error:
            yield Finding("page", f"{what} does not come from {shown}: {error}", mend)
            return
        if status != wanted:
            yield Finding("page", f"{what} at {shown} answers {status}, not {wanted}", mend)
            return
    yield Finding("page", f"{shown} gives the page and takes connections", ok=True)


def _ask(scheme: str, place: str, context: ssl.SSLContext, path: str, headers: dict[str, str]) -> int:
    """Ask for a path and return the status. Raises OSError, HTTPException."""
    if scheme == "https":
        link: http.client.HTTPConnection = http.client.HTTPSConnection(
            place, timeout=_TIMEOUT_S, context=context
        )
    else:
        link = http.client.HTTPConnection(place, timeout=_TIMEOUT_S)
    try:
        link.request("GET", path, headers=headers)
        return link.getresponse().status
    finally:
        link.close()
