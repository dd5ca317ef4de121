"""The greatest or smallest periods of an entity, and how many there are above a threshold."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from bus.commands import Code, Refused
from statistician.requests.params import Number, StatisticsOf
from statistician.requests.rows import Period
from statistician.requests.wishes import Wish

_LIMIT = 10
# So many more than wanted are kept before the rest is dropped.
_ROOM = 100


@dataclass(frozen=True, slots=True)
class Ranking:
    """Which type ranks periods, in the unit of the answer; only those `above` count."""

    order_by: Number
    descending: bool
    limit: int
    above: float | None

    def best(
        self, one: Wish, periods: Iterator[Period | None]
    ) -> Generator[None, None, tuple[int, list[Period]]]:
        """How many periods count, and the first `limit` of them; of equal ones the earlier is first."""
        count = 0
        found: list[tuple[float, int, Period]] = []
        for period in periods:
            if period is None:
                yield None
                continue
            value: float | None = getattr(one.line(period, None, None), self.order_by)
            if value is None or (self.above is not None and value <= self.above):
                continue
            count += 1
            found.append((-value if self.descending else value, period.start, period))
            if len(found) > self.limit + _ROOM:
                found = sorted(found)[: self.limit]
        return count, [period for _, _, period in sorted(found)[: self.limit]]


def ranking(params: StatisticsOf) -> Ranking | None:
    """What a request ranks by; None if it wants all in order of time. Raises Refused."""
    if params.order_by is None:
        for field in ("descending", "limit", "above"):
            if getattr(params, field) is not None:
                raise Refused(Code.INVALID, f"{field}: it goes with order_by, the type that is ranked")
        return None
    return Ranking(
        params.order_by,
        descending=params.descending is not False,
        limit=_LIMIT if params.limit is None else params.limit,
        above=params.above,
    )
