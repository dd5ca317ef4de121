"""A collector with one device that answers by HEX, and what a test waits for."""

from collections.abc import Callable

from tests.collector.rig import Rig

Start = Callable[..., Rig]


def until(rig: Rig, done: Callable[[], bool], seconds: int = 60) -> None:
    for _ in range(seconds):
        if done():
            return
        rig.pass_(1.0)
    raise TimeoutError(rig.said("van")[-1:], rig.journal.problems)


def says(rig: Rig, **values: object) -> None:
    """Wait until the newest values of these entities are so."""

    def newest() -> dict[str, object]:
        return {entity: value for said in rig.said("van") for entity, value in said.items()}

    until(rig, lambda: values.items() <= newest().items())
