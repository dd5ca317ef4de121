"""Every verb the statistician answers: its parameters and its function."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar

from msgspec import Meta, Struct
from msgspec.structs import replace

from bus.access_log import AccessLog
from bus.commands import Code, Refused
from bus.events import Publishes
from bus.health import Journal
from bus.messages import to_iso
from bus.request_server import RequestServer
from bus.requests import Action, Listing, Ms, Part, Parts, Place, Wait, action
from bus.topics import Topics
from statistician.fixes import Fixes
from statistician.fixes_ground import FixError
from statistician.fixes_params import (
    AcceptReading,
    AdjustSum,
    ChangeUnit,
    Clear,
    DeleteStates,
    DeviceRename,
    DeviceReplaced,
    EntityRename,
    ImportStatistics,
    ListFixes,
    Recompile,
    SetMetadata,
    Summary,
    UndoFix,
)
from statistician.records import StoreError
from statistician.requests import params
from statistician.requests.ground import Ground
from statistician.requests.history import history
from statistician.requests.letters import Take, dead_letters, taking_again
from statistician.requests.outliers import outliers
from statistician.requests.overview import entities, info, latest, metadata
from statistician.requests.statistic import statistic
from statistician.requests.statistics import statistics
from statistician.requests.validate import validate
from statistician.upkeep import Upkeep

P = TypeVar("P", bound=Struct)
SERVICE = "statistician"
# Bytes of a request that brings data: what the broker takes.
LARGEST_DATA = 65_000

# What a cursor holds, by what a verb lists.
_BY_NAME = tuple[str]
_BY_TIME = tuple[Ms]
_BY_TWO = tuple[Ms, Annotated[int, Meta(ge=-1_000_000_000, le=1_000_000_000)]]
_BY_ROW = tuple[params.Index, Ms]


def reading(ground: Ground) -> Mapping[str, Action]:
    """The verbs that change nothing."""

    def on(run: Callable[[Ground, P, Place], Listing]) -> Callable[[P, Place], Listing]:
        return lambda asked, place: run(ground, asked, place)

    return {
        "info": action(params.Nothing, on(info)),
        "entities": action(params.Which, on(entities), key=_BY_NAME),
        "latest": action(params.Which, on(latest), key=_BY_NAME),
        "history": action(params.History, on(history), key=_BY_TWO),
        "statistics": action(params.StatisticsOf, on(statistics), key=_BY_ROW),
        "statistic": action(params.StatisticOf, on(statistic)),
        "metadata": action(params.MetadataOf, on(metadata), key=_BY_NAME),
        "validate": action(params.Nothing, on(validate), key=_BY_NAME),
        "outliers": action(params.Outliers, on(outliers), key=_BY_TIME),
    }


def fixing(fixes: Fixes) -> Mapping[str, Action]:
    """The verbs that change what is kept, and the one that lists what was changed."""
    verbs = {
        "set_metadata": action(SetMetadata, _fix(fixes.set_metadata)),
        "change_unit": action(ChangeUnit, _fix(fixes.change_unit)),
        "adjust_sum": action(AdjustSum, _fix(fixes.adjust_sum)),
        "clear": action(Clear, _fix(fixes.clear), largest=LARGEST_DATA),
        "import_statistics": action(ImportStatistics, _fix(fixes.import_statistics), largest=LARGEST_DATA),
        "device_rename": action(DeviceRename, _fix(fixes.device_rename)),
        "device_replaced": action(DeviceReplaced, _fix(fixes.device_replaced)),
        "entity_rename": action(EntityRename, _fix(fixes.entity_rename)),
        "delete_states": action(DeleteStates, _fix(fixes.delete_states)),
        "accept_reading": action(AcceptReading, _fix(fixes.accept_reading)),
        "recompile": action(Recompile, _fix(fixes.recompile)),
        "undo": action(
            params.TakeBack, _fix(lambda asked: fixes.undo(UndoFix(id=asked.fix, dry_run=asked.dry_run)))
        ),
    }
    found = {verb: dataclasses.replace(one, changes=True) for verb, one in verbs.items()}
    return {**found, "fixes": action(ListFixes, _journal(fixes), key=_BY_TWO)}


def _fix(run: Callable[[P], Summary]) -> Callable[[P, Place], Listing]:
    def parts(asked: P) -> Parts:
        try:
            yield Part((), run(asked))
        except FixError as error:
            raise Refused(Code(error.code), str(error)) from error

    return lambda asked, _place: Listing.whole(parts(asked))


def _journal(fixes: Fixes) -> Callable[[ListFixes, Place], Listing]:
    def parts(asked: ListFixes, place: Place) -> Parts:
        before, left = (2**60, asked.limit) if place.after is None else map(int, place.after)
        for one in fixes.journal(replace(asked, limit=left), before):
            left -= 1
            yield Part((one.id, left), one)
            yield None

    return lambda asked, place: Listing(parts(asked, place), lambda found: [part.value for part in found])


def _backup(upkeep: Upkeep) -> Callable[[params.Nothing, Place], Listing]:
    def parts(now: int) -> Parts:
        told: list[tuple[str | None, str | None]] = []
        earliest = upkeep.ask_backup(lambda made, error: told.append((made, error)), now)
        if earliest is not None:
            text = f"clients get a copy every 10 minutes at most; the next is possible at {to_iso(earliest)}"
            raise Refused(Code.LIMIT, text)
        while not told:
            yield Wait.WAIT
        made, error = told[0]
        if error is not None:
            raise Refused(Code.INTERNAL, error)
        yield Part((), {"file": made})

    return lambda _asked, place: Listing.whole(parts(place.now))


def open_desk(
    ground: Ground,
    fixes: Fixes,
    upkeep: Upkeep,
    bus: Publishes,
    topics: Topics,
    *,
    journal: Journal,
    take: Take,
    access: AccessLog | None = None,
) -> RequestServer:
    """The desk at which the statistician's requests are answered."""
    more = {
        "backup": action(params.Nothing, _backup(upkeep)),
        "dead_letters": action(
            params.DeadLetters, lambda asked, place: dead_letters(ground, asked, place), key=_BY_TWO
        ),
        "take_again": action(params.TakeAgain, taking_again(ground, take)),
    }
    return RequestServer(
        SERVICE,
        {**reading(ground), **fixing(fixes), **more},
        bus=bus,
        topics=topics,
        journal=journal,
        wall=ground.clock.wall,
        failures=(StoreError,),
        access=access,
    )
