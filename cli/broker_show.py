"""`boondock broker --show`: what a person needs to connect as a user, for a phone as a QR code."""

from urllib.parse import urlencode

import segno

from cli.broker_error import BrokerError
from cli.broker_given import Given
from cli.broker_tls import Papers, server_pem
from config.model import Settings


def url(settings: Settings, papers: Papers | Given) -> str:
    """Where a phone finds the broker and which authority it may trust; it holds no password."""
    place = f"mqtts://{papers.names[0]}:{settings.lan.port}"
    if not isinstance(papers, Papers):
        return place
    return f"{place}?{urlencode({'ca_sha256': papers.fingerprint().replace(':', '')})}"


def show(name: str, password: str | None, settings: Settings, papers: Papers | Given) -> None:
    """Print a user's password and the ways to the broker. Raises BrokerError, OSError."""
    if password is None:
        raise BrokerError(f"{name} has no password yet: run boondock broker without --show first")
    print(f"user      {name}")
    print(f"password  {password}")
    print(f"here      mqtt://127.0.0.1:{settings.broker.port}")
    lan = settings.lan
    if not lan.listen or not server_pem(papers.folder).exists():
        return
    host = papers.names[0]
    print(f"network   mqtts://{host}:{lan.port}")
    if lan.websockets is not None:
        print(f"          wss://{host}:{lan.websockets}")
    if isinstance(papers, Papers):
        print(f"authority {papers.ca}")
        print(f"SHA-256   {papers.fingerprint()}")
    print(url(settings, papers))
    segno.make(url(settings, papers), micro=False).terminal(compact=True)
