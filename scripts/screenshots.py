"""Takes the pictures of the page in docs/pictures, from the demo: python -m scripts.screenshots.

It needs what scripts/setup dev installs, and takes about a minute.
"""

import base64
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from scripts.pictures import FOLDER
from tests.page.browsers import DESKTOP, PHONE, Visitor, chromium
from tests.page.demo import Demo, Past, demo

_LARGEST = 150_000
_SHARP: Mapping[str, Any] = {"viewport": PHONE, "device_scale_factor": 2}
_WIDE: Mapping[str, Any] = {"viewport": DESKTOP, "device_scale_factor": 1}


@dataclass(frozen=True, slots=True)
class Picture:
    """A view and what must stand in it; `browser` are arguments of Playwright's new_context."""

    name: str
    view: str
    ready: str
    browser: Mapping[str, Any] = field(default_factory=dict)


_CHARTS = ".frame[aria-busy=false] canvas"
_TILES = "[data-card=switches] [role=switch]:enabled"
_MONTH = "history?e=smartshunt.soc&e=smartshunt.power&e=mppt.yield_today&r=30d"
_PICTURES = (
    Picture("page-phone-screen.webp", "now", _TILES, _SHARP),
    Picture("page-japanese-screen.webp", "now", _TILES, {**_SHARP, "locale": "ja-JP"}),
    Picture("page-dark-screen.webp", "now", _TILES, {**_WIDE, "color_scheme": "dark"}),
    Picture("page-desktop-screen.webp", "house", "[data-card=log] li", _WIDE),
    Picture("page-history-screen.webp", _MONTH, _CHARTS, _WIDE),
    Picture("page-history-phone-screen.webp", _MONTH, _CHARTS, _SHARP),
)


def main() -> int:
    """Start the demo, give it a past, take each picture; return 1 if one cannot be had."""
    try:
        with chromium() as browser, tempfile.TemporaryDirectory(prefix="screenshots") as folder:
            _say("starting the demo")
            with demo(Path(folder)) as house:
                _remember(house)
                visitor = Visitor(browser, house.address)
                for picture in _PICTURES:
                    _take(visitor, picture)
                visitor.close()
    except (pytest.skip.Exception, RuntimeError) as error:
        sys.stderr.write(f"screenshots: {error}\n")
        return 1
    if visitor.complaints:
        sys.stderr.write(f"screenshots: the page complained: {visitor.complaints}\n")
    return 1 if visitor.complaints else 0


def _remember(house: Demo) -> None:
    _say("importing a past of 40 days")
    Past(40).remember(house)
    # So that there is something to read in the access log.
    house.client.publish("camper/set/relay/pump", '{"value": "ON", "for": 20, "from": "galley"}')


def _take(visitor: Visitor, picture: Picture) -> None:
    page = visitor.open(**picture.browser)
    page.wait_for_selector(_TILES)
    page.evaluate("view => { location.hash = view }", picture.view)
    page.wait_for_selector(picture.ready)
    page.wait_for_load_state("networkidle")
    # Playwright itself takes no WebP, which is a third of a PNG.
    clip = {"x": 0, "y": 0, **picture.browser["viewport"], "scale": picture.browser["device_scale_factor"]}
    asked = {"format": "webp", "quality": 85, "clip": clip}
    taken = page.context.new_cdp_session(page).send("Page.captureScreenshot", asked)
    content = base64.b64decode(taken["data"])
    (FOLDER / picture.name).write_bytes(content)
    _say(f"{picture.name}: {len(content) / 1000:.0f} kB")
    if len(content) > _LARGEST:
        raise RuntimeError(f"{picture.name} has {len(content)} bytes, more than {_LARGEST}: take it smaller")


def _say(text: str) -> None:
    print(f"screenshots: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
