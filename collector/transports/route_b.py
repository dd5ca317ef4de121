"""Wi-SUN sticks on route B of a Japanese smart meter; the only file with momonga.

momonga opens the port by its path, so a stick behind a network is not possible. Opening scans for the meter
and joins it, which takes from half a minute to a few; the thread of this port waits, no other.
"""

import logging
import termios
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import momonga
from momonga import Momonga, MomongaError
from momonga.momonga_device import BP35A1Strategy, BP35C2Strategy
from momonga.momonga_response import SkLl64Response, SkScanResponse
from momonga.momonga_sk_wrapper import MomongaSkWrapper

from collector.devices.description import LineError, RefusedError
from collector.devices.lines import MeterPlace
from collector.transports.library import failure
from collector.transports.serial_port import close_port, guarded, open_port

log = logging.getLogger(__name__)

T = TypeVar("T")

BAUDRATE = 115_200
_LOGGERS = (momonga.logger, momonga.session_manager_logger, momonga.sk_wrapper_logger)
# What momonga lets through besides its own errors: the driver's of a pulled cable, and noise for numbers.
_TROUBLES = (MomongaError, OSError, termios.error, ValueError)
# Announcements of the meter that are taken between two questions, at most.
_ANNOUNCEMENTS = 20
# The answer to SKVER, and what a busy stick says: SKSTACK-IP, command reference.
_VERSION, _FAIL = b"EVER ", b"FAIL ER"
_MOST_NOISE = 4096
# A stick of the other dialect says that arguments are too many, too few or no such (ER05, ER06).
_OTHER_DIALECT = (momonga.MomongaSkCommandInvalidArgument, momonga.MomongaSkCommandInvalidSyntax)
# Puts the strength of the signal into what is received; a stick that has no such register tells none.
_TELLS_SIGNAL = "SA2"
# EVENT, its number, the sender: behind them only BP35C2 names the side on which the meter was joined.
_WORDS_WITHOUT_SIDE = 3

for _logger in _LOGGERS:
    # All it would say comes as an exception, too, and is told once.
    _logger.setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds, and how many times: `answer` to a question of the meter, `transmit` until the radio is free.

    `answer` and `pause` (between its own steps) are as momonga has them; `opening` and `closing` bound all of
    each.
    """

    stick: float = 3.0
    answer: float = 12.0
    tries: int = 3
    transmit: float = 60.0
    pause: float = 5.0
    opening: float = 300.0
    closing: float = 4.0
    scans: int = 3
    joins: int = 2


class _Stick(MomongaSkWrapper):
    """The stick's commands, which tell what takes long; with a place nothing is scanned.

    Sticks speak two dialects, with a side in commands and answers (BP35C2) and without (BP35A1). momonga
    takes one for the other where SKINFO does not tell them apart; the scan does, or the join.
    """

    def __init__(
        self, port: str, baudrate: int, place: MeterPlace | None, tell: Callable[[str], None]
    ) -> None:
        super().__init__(port, baudrate)
        self._place = place
        self._tell = tell
        self._found: SkScanResponse | None = None

    def skscan(self, retry: int = 3) -> SkScanResponse:
        """Find the meter."""
        place = self._place
        if place is not None:
            # As the stick would say it; the meter's hardware address is not needed.
            said = [f"Channel:{place.channel:X}", "Channel Page:09", f"Pan ID:{place.pan_id.hex()}"]
            self._found = SkScanResponse([*said, "Addr:00", "LQI:00", "PairID:00"], lambda _: None)
        else:
            self._tell("scanning all channels for the meter, which takes up to 2 minutes")
            scan = super().skscan
            self._found = self._in_either_dialect(lambda: scan(retry))
        return self._found

    def _in_either_dialect(self, scan: Callable[[], T]) -> T:
        try:
            return scan()
        except _OTHER_DIALECT as error:
            log.debug("%s: %s", self.dev, error)
            has_side = isinstance(self.device_strategy, BP35C2Strategy)
            self._speak(BP35A1Strategy() if has_side else BP35C2Strategy())
            return scan()

    def exec_command(self, command: list[str], *rest: Any, **more: Any) -> list[str]:  # noqa: ANN401 — momonga's
        """Execute a command; who joins without a scan learns the dialect from the event that ends it."""
        answer = super().exec_command(command, *rest, **more)
        if command[0] == "SKJOIN" and self._place is not None:
            has_side = len(answer[-1].split()) > _WORDS_WITHOUT_SIDE
            self._speak(BP35C2Strategy() if has_side else BP35A1Strategy())
        return answer

    def _speak(self, dialect: BP35A1Strategy | BP35C2Strategy) -> None:
        if dialect.device_type is not self.device_type:
            self.device_strategy = dialect
            log.info("%s: the stick speaks the dialect of a %s", self.dev, dialect.device_type.name)

    def sksreg(self, reg: str, val: str | int | bytes) -> None:
        """Set a register; a stick without the signal's is read without it."""
        try:
            super().sksreg(reg, val)
        except momonga.MomongaSkCommandExecutionFailure as error:
            if reg != _TELLS_SIGNAL:
                raise
            log.debug("%s: the stick does not tell the signal's strength: %s", self.dev, error)

    def skll64(self, mac_addr: bytes) -> SkLl64Response:
        """Find the meter's address."""
        return super().skll64(mac_addr) if self._place is None else SkLl64Response([self._place.address])

    def skjoin(
        self,
        ip6_addr: str,
        retry: int = 3,
        deadline: float | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        """Join the meter."""
        if self._found is not None:
            place = MeterPlace(self._found.channel, self._found.pan_id, ip6_addr)
            self._tell(f"joining the meter ({place}), which takes up to a minute")
        super().skjoin(ip6_addr, retry, deadline, should_stop)


class _Session(Momonga):
    """momonga's session, which gives values as the meter sent them: their meaning is the device file's."""

    def data(self, codes: tuple[int, ...]) -> dict[int, bytes | None]:
        """Ask for the properties' data in one question; all or MomongaResponseNotPossible."""
        answer = self._request_to_get([momonga.EchonetProperty(code) for code in codes])
        return {int(one.epc): one.edt for one in answer}

    def _init_energy_unit(self) -> None:
        """Nothing: a unit that momonga does not know is no reason not to open."""


class _Redacted(logging.Filter):
    """Takes the ID and the password out of whatever momonga logs, should somebody let it."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        super().__init__()
        self._secrets = secrets

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self.clean(record.getMessage()), ()
        record.exc_info = record.exc_text = None
        return True

    def clean(self, text: str) -> str:
        """Cut the secrets out of a text."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text


class RouteB:
    """A stick on a serial port, joined to the meter of this ID and password; a RouteBLine.

    With `detail` every word of the stick is logged, without the secrets.
    """

    def __init__(
        self,
        port: str,
        route_b_id: str,
        password: str,
        patience: Timeouts | None = None,
        *,
        baudrate: int = BAUDRATE,
        place: MeterPlace | None = None,
        tell: Callable[[str], None] = log.debug,
        detail: bool = False,
    ) -> None:
        self._port = port
        self._baudrate = baudrate
        self._place = place
        self._tell = tell
        self._detail = detail
        self._id = route_b_id.upper()
        self._password = password
        self._patience = patience or Timeouts()
        # The end of the ID goes through the air as the pair ID; it is not told all the same.
        self._redacted = _Redacted((self._id, password, self._id[-8:]))
        self._session: _Session | None = None
        # Properties that were refused when they were asked for last.
        self._refused: set[int] = set()
        # pyserial has no types.
        self._lock: Any = None

    def open(self) -> None:
        """Scan and join. Raises LineError."""
        # Ours for as long as the session lives: momonga opens without locking.
        self._lock = open_port(self._port, self._baudrate, timeout=self._patience.stick)
        for logger in _LOGGERS:
            logger.addFilter(self._redacted)
            if self._detail:
                logger.setLevel(logging.DEBUG)
        self._require_stick()
        self._refused.clear()
        self._session = self._join()

    def close(self) -> None:
        """End the session and let go of the port."""
        session, self._session = self._session, None
        lock, self._lock = self._lock, None
        if session is not None:
            try:
                with _bounded(session, self._patience.closing):
                    session.close()
            except _TROUBLES as error:
                log.debug("%s: %s", self._port, self._redacted.clean(str(error)))
        if lock is not None:
            close_port(lock)
        if self._detail:
            for logger in _LOGGERS:
                logger.setLevel(logging.CRITICAL)

    def properties(self, codes: tuple[int, ...]) -> Mapping[int, bytes | None]:
        """As RouteBLine says; properties that are refused together are asked one by one, now and later."""
        with self._well() as session:
            # Together with what the meter has refused, none of them is answered.
            found = _ask(session, tuple(code for code in codes if code not in self._refused))
            for code in self._refused.intersection(codes):
                found |= _ask(session, (code,))
            self._refused -= set(codes)
            self._refused |= {code for code, data in found.items() if data is None}
            for _ in range(_ANNOUNCEMENTS):
                # momonga keeps for ever what nobody takes, and answers those that want it.
                if session.get_notification(0) is None:
                    break
            return found

    def choose_day(self, days_ago: int) -> None:
        """As RouteBLine says."""
        with self._well() as session:
            try:
                session.set_day_for_historical_data_1(days_ago)
            except momonga.MomongaResponseNotPossible as error:
                raise RefusedError(f"the meter does not give its history of {days_ago} days ago") from error

    def signal(self) -> float | None:
        """As RouteBLine says."""
        rssi = None if self._session is None else self._session.rssi
        return None if rssi is None else round(rssi, 1)

    def _require_stick(self) -> None:
        """Ask it a first word: momonga would wait five minutes for one from what is no stick."""
        with guarded(self._port):
            self._lock.write(b"\r\nSKVER\r\n")
            heard = self._lock.read_until(_VERSION, _MOST_NOISE)
        if _VERSION not in heard and _FAIL not in heard:
            raise LineError(f"{self._port}: no Wi-SUN stick answers there: is it the right port?")

    def _join(self) -> _Session:
        patience, port = self._patience, self._port
        session = _Session(
            self._id, self._password, port, scan_retries=patience.scans, join_retries=patience.joins
        )
        session.session_manager.skw = _Stick(port, self._baudrate, self._place, self._tell)
        session.internal_xmit_interval = patience.pause
        session.recv_timeout = patience.answer
        session.xmit_retries = patience.tries
        session.xmit_timeout = patience.transmit
        try:
            with _bounded(session, patience.opening):
                session.open()
        except momonga.MomongaSkScanFailure as error:
            raise LineError(
                f"{port}: no meter heard: is the stick near enough, is the route B ID right?"
            ) from error
        except momonga.MomongaSkJoinFailure as error:
            if self._place is None:
                raise LineError(f"{port}: the meter refused: the route B ID or password is wrong") from error
            raise LineError(
                f"{port}: no meter could be joined ({self._place}): leave this place out, so that it is"
                " scanned for; or the route B ID or password is wrong"
            ) from error
        except momonga.MomongaSkCommandCancelled as error:
            raise LineError(f"{port}: not joined within {patience.opening:g} s") from error
        except _TROUBLES as error:
            raise self._trouble(error) from error
        return session

    @contextmanager
    def _well(self) -> Iterator[_Session]:
        if self._session is None:
            raise LineError(f"{self._port} is not open")
        try:
            yield self._session
        except _TROUBLES as error:
            raise self._trouble(error) from error

    def _trouble(self, error: Exception) -> LineError:
        try:
            with guarded(self._port):
                _ = self._lock.in_waiting
        except LineError as gone:
            return gone
        detail = self._redacted.clean(f"{type(error).__name__}: {error}")
        said = next((text for kind, text in _TOLD if isinstance(error, kind)), None)
        # momonga's own words differ each time.
        log.debug("%s: %s", self._port, detail)
        return LineError(f"{self._port}: {said or failure('momonga', detail, _ANEW)}")


_ANEW = "unplug it for a moment and plug it in again"
# What the owner can do, by the error of momonga; the first that fits.
_TOLD: tuple[tuple[type[Exception], str], ...] = (
    (momonga.MomongaXmitTimeout, "the session with the meter was lost and did not come back"),
    (momonga.MomongaNeedToReopen, "the meter does not answer any more: joining it anew"),
    (
        momonga.MomongaSkCommandExecutionFailure,
        f"the stick refuses a command: is it a Wi-SUN stick for route B (BP35A1, BP35C2)? If so, {_ANEW}",
    ),
    (
        momonga.MomongaResponseNotExpected,
        "the meter's answer cannot be read; if it stays so, move the stick towards the meter",
    ),
    (momonga.MomongaConnectionFailure, f"the stick does not answer as a Wi-SUN stick does: {_ANEW}"),
    (ValueError, "what the stick says is damaged: is it plugged in without a hub, is its cable sound?"),
)


@contextmanager
def _bounded(session: _Session, seconds: float) -> Iterator[None]:
    """End what the stick does not answer: momonga would wait for up to five minutes a command."""
    limit = threading.Timer(seconds, session.session_manager.skw.cancel_commands)
    limit.daemon = True
    limit.start()
    try:
        yield
    finally:
        limit.cancel()


def _ask(session: _Session, codes: tuple[int, ...]) -> dict[int, bytes | None]:
    if not codes:
        return {}
    try:
        return session.data(codes)
    except momonga.MomongaResponseNotPossible:
        # It does not say which of them the meter does not give.
        if len(codes) == 1:
            return {codes[0]: None}
    found: dict[int, bytes | None] = {}
    for code in codes:
        found |= _ask(session, (code,))
    return found
