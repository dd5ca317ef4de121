"""What the page shows of devices that a client speaks for."""

from tests.page.browsers import Visitor


def test_the_tiles_fill(visit: Visitor) -> None:
    page = visit.open()
    battery = page.locator('[data-card="battery.smartshunt"]')
    assert "81.5" in battery.inner_text()
