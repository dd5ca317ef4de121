"""Who is told what of the alarms, and when; pure: the time is an argument.

Seconds called `now` count on one time line that goes on over restarts (`passed`). Times that people read are
ms since 1970, as the house clock has them.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from fnmatch import fnmatchcase
from math import ceil
from typing import Literal

from msgspec import Struct

from bus.messages import Alarm, from_iso
from config.model import Notify

Mood = Literal["warning", "info", "success"]

# What comes within so many seconds goes out as one message.
GROUP_S = 30.0
HOUR_S = 3600.0
# Alarms of one recipient that wait to be told; older ones that ended are only counted.
MOST_WAITING = 200
# What was heard before waits so long, seconds: a broker that starts may have an older word of the controller,
# until that is back. So many are known of an alarm.
AGAIN_S = 120.0
_MOST_HEARD = 10
# Lines and characters of a message: it is read on a phone, and some services take 1024 characters.
_LINES, _LONGEST = 6, 900
_LONGEST_LINE = 240
# A clock of this house that is ahead of another by more is no clock, ms.
_AHEAD_MS = 60_000
_NO_TIME = "a time unknown (the clock was not set)"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Moment(Struct, frozen=True):
    """When something was, by the clock of `boot`; `offset` is its wall time minus its boot time, ms."""

    ms: int
    offset: int
    right: bool
    boot: str


class Present(Struct, frozen=True):
    """Now, by the house clock: wall ms, offset in ms, whether the clock is right; the boot and the zone.

    No time before `earliest` ms can be true.
    """

    wall: int
    offset: int
    right: bool
    boot: str
    zone: tzinfo
    earliest: int


class Mark(Struct, frozen=True):
    """A point of the time line: `at` there, `monotonic` s of `boot`, `wall` ms and whether that is right."""

    at: float
    monotonic: float
    boot: str
    wall: int
    right: bool


def passed(mark: Mark, *, monotonic: float, boot: str, wall: int, right: bool) -> float:
    """Return the seconds since a mark: exact in one boot, by two right clocks over boots, else 0."""
    if boot == mark.boot != "" and monotonic >= mark.monotonic:
        return monotonic - mark.monotonic
    return max(0.0, (wall - mark.wall) / 1000) if right and mark.right else 0.0


def moment_of(since: str, present: Present) -> Moment:
    """Date what the controller has just said, by the clock that it was said with. Raises ValueError."""
    ms = from_iso(since)
    # Older than this boot: it was said by a clock of before, and this one cannot correct it.
    earlier = ms < present.offset
    right = present.right or (earlier and not is_lost(ms, present))
    return Moment(ms, present.offset, right and not is_lost(ms, present), "" if earlier else present.boot)


def is_lost(ms: int, present: Present) -> bool:
    """Whether a time cannot be true: too early, or ahead of a right clock."""
    return ms < present.earliest or (present.right and ms > present.wall + _AHEAD_MS)


def corrected(moment: Moment, present: Present) -> Moment:
    """Move a time of this boot by what the clock was wrong by, once it is right."""
    if moment.right or not present.right or moment.boot != present.boot or present.boot == "":
        return moment
    ms = moment.ms + present.offset - moment.offset
    return Moment(ms, present.offset, not is_lost(ms, present), present.boot)


def said(moment: Moment, present: Present) -> str:
    """Say a time to people: 14:05, 14:05 yesterday, 14:05 on 21 Nov."""
    moment = corrected(moment, present)
    if not moment.right:
        return _NO_TIME
    then = datetime.fromtimestamp(moment.ms / 1000, present.zone)
    today = datetime.fromtimestamp(present.wall / 1000, present.zone).date()
    clock = f"{then:%H:%M}"
    if present.right and then.date() == today:
        return clock
    if present.right and then.date() == today - timedelta(days=1):
        return f"{clock} yesterday"
    day = f"{clock} on {then.day} {_MONTHS[then.month - 1]}"
    return day if present.right and then.year == today.year else f"{day} {then.year}"


def is_quiet(hours: str | None, present: Present) -> bool:
    """Whether the local time lies in hours such as 22:00-07:00; never while the clock is not known."""
    if hours is None or not present.right:
        return False
    begin, _, end = hours.partition("-")
    time = f"{datetime.fromtimestamp(present.wall / 1000, present.zone):%H:%M}"
    return begin <= time < end if begin <= end else time >= begin or time < end


class Episode(Struct, kw_only=True):
    """An alarm from its begin to its end, as one recipient knows it; `since` tells one from the next.

    `due` is from when on there is something to tell, None: nothing. `told` says that its begin was told,
    `again` that it had been heard and forgotten before.
    """

    alarm: str
    since: str
    text: str
    began: Moment
    due: float | None
    ended: Moment | None = None
    acknowledged: bool = False
    told: bool = False
    delayed: bool = False
    again: bool = False


class Letter(Struct, frozen=True):
    """One message, and which episodes it tells of, by alarm and since, each with whether it tells the end."""

    title: str
    body: str
    mood: Mood
    tells: dict[tuple[str, str], bool]
    joined: dict[str, int]


class Queue(Struct):
    """What of a recipient outlives the process; `sent` are the messages of the last hour: when, of what.

    `heard` has the newest `since` of each alarm, `joined` how many episodes are only counted.
    """

    episodes: list[Episode] = []
    heard: dict[str, list[str]] = {}
    joined: dict[str, int] = {}
    sent: list[tuple[float, tuple[str, ...]]] = []
    failures: int = 0
    next_try: float = 0.0


class Recipient:
    """Decides what one [[notify]] table is told; `titles` are the names of the alarms there are.

    `delayed` and `joined` count what quiet hours delayed, and what was only counted, for there was too much.
    """

    def __init__(self, settings: Notify, titles: Mapping[str, str], queue: Queue) -> None:
        self._settings = settings
        self._titles = {name: _plain(one) for name, one in titles.items() if _matches(name, settings.alarms)}
        self.queue = queue
        self.delayed = self.joined = 0
        queue.episodes = [one for one in queue.episodes if one.alarm in self._titles]
        queue.heard = {name: one for name, one in queue.heard.items() if name in self._titles}
        queue.joined = {name: count for name, count in queue.joined.items() if name in self._titles}

    def hear(self, alarm: str, message: Alarm, now: float, present: Present) -> bool:
        """Take how an alarm stands; True if that is news. Raises ValueError."""
        if alarm not in self._titles:
            return False
        moment = moment_of(message.since, present)
        wait = self._remember(alarm, message.since)
        mine = [one for one in self.queue.episodes if one.alarm == alarm]
        current = next((one for one in mine if one.ended is None), None)
        if current is not None and message.state != "ok" and current.since == message.since:
            return message.state == "acknowledged" and self._acknowledge(current)
        if current is not None:
            self._end(current, moment, now, wait)
        if message.state != "active":
            return current is not None
        same = next((one for one in mine if one.since == message.since), None)
        if same is None:
            self._begin(alarm, message, moment, now, wait)
        else:
            same.ended = None
            same.due = self._next(now) if same.told else now + max(wait, self._settings.after)
        return True

    def _remember(self, alarm: str, since: str) -> float:
        """Keep what was heard; return the seconds that it has to wait, for it is no news."""
        heard = self.queue.heard.setdefault(alarm, [])
        wait = AGAIN_S if since in heard else 0.0
        self.queue.heard[alarm] = [*(one for one in heard if one != since), since][-_MOST_HEARD:]
        return wait

    def _begin(self, alarm: str, message: Alarm, moment: Moment, now: float, wait: float) -> None:
        text = _plain(message.text).removeprefix(self._titles[alarm]).strip(" .:")
        if message.value is not None:
            value = f"(it is {_plain(_shown(message.value))})"
            text = text if value in text else f"{text} {value}".strip()
        self.queue.episodes.append(
            Episode(
                alarm=alarm,
                since=message.since,
                text=text[:_LONGEST_LINE],
                began=moment,
                due=now + max(wait, self._settings.after),
                again=wait > 0,
            )
        )
        # The newest of each alarm stays: there its older ones are counted.
        newest = {one.alarm: one for one in self.queue.episodes}.values()
        older = [one for one in self.queue.episodes if one not in newest]
        for one in older[: max(0, len(self.queue.episodes) - MOST_WAITING)]:
            self.queue.episodes.remove(one)
            if not one.told:
                self.queue.joined[one.alarm] = self.queue.joined.get(one.alarm, 0) + 1
                self.joined += 1

    def _end(self, episode: Episode, moment: Moment, now: float, wait: float) -> None:
        in_time = episode.due is not None and now < episode.due
        if not episode.told and (episode.again or (self._settings.after and in_time)):
            self.queue.episodes.remove(episode)
            return
        episode.ended = moment
        episode.due = now + wait if episode.told else max(episode.due or 0.0, now + wait if wait else 0.0)

    def _next(self, now: float) -> float | None:
        return None if self._settings.repeat is None else now + self._settings.repeat

    def _acknowledge(self, episode: Episode) -> bool:
        if episode.acknowledged:
            return False
        episode.acknowledged = True
        if episode.told:
            episode.due = None
        elif self._settings.after:
            self.queue.episodes.remove(episode)
        return True

    def correct(self, present: Present) -> bool:
        """Correct the times of this boot once its clock is right; True if there were some."""
        found = False
        for one in self.queue.episodes:
            before = one.began, one.ended
            one.began = corrected(one.began, present)
            one.ended = None if one.ended is None else corrected(one.ended, present)
            found = found or before != (one.began, one.ended)
        return found

    def letter(self, now: float, present: Present) -> Letter | None:
        """Write the message that is to go now; None: there is nothing, or it has to wait."""
        due = self._due(now, present)
        sent = self._sent_lately(now)
        left = self._settings.most_an_hour - len(sent)
        if left == 1 and sent:
            # The last message of an hour is kept for another alarm.
            lately = {name for _, names in sent for name in names}
            due = [one for one in due if one.alarm not in lately]
        if not due or left < 1 or now < self.queue.next_try:
            return None
        if now < min(one.due or 0.0 for one in due) + GROUP_S:
            return None
        written = _write(due, self.queue.joined, self._titles, present)
        if left > 2:
            return written
        minutes = ceil((min([now, *(at for at, _ in sent)]) + HOUR_S - now) / 60)
        same = " of the same" if left == 2 else ""
        body = f"{written.body}\nNo more messages{same} for {minutes} min: see the page."
        return Letter(written.title, body, written.mood, written.tells, written.joined)

    def _due(self, now: float, present: Present) -> list[Episode]:
        if not self._settings.resolve:
            # It may still be heard to go on, until its end were told.
            self.queue.episodes = [one for one in self.queue.episodes if not _is_over(one, now)]
        due = [one for one in self.queue.episodes if one.due is not None and one.due <= now]
        if not self._settings.resolve:
            due = [one for one in due if not (one.told and one.ended)]
        if not is_quiet(self._settings.quiet, present):
            return due
        for one in due:
            if not one.delayed and not _matches(one.alarm, self._settings.always):
                one.delayed = True
                self.delayed += 1
        return [one for one in due if _matches(one.alarm, self._settings.always)]

    def _sent_lately(self, now: float) -> list[tuple[float, tuple[str, ...]]]:
        return [one for one in self.queue.sent if now - one[0] < HOUR_S]

    def sent(self, letter: Letter, now: float) -> None:
        """Note that a message has gone."""
        queue = self.queue
        queue.sent = [*self._sent_lately(now), (now, tuple({alarm for alarm, _ in letter.tells}))]
        queue.failures, queue.next_try = 0, 0.0
        for name, count in letter.joined.items():
            queue.joined[name] = queue.joined.get(name, 0) - count
        queue.joined = {name: count for name, count in queue.joined.items() if count > 0}
        for one in list(queue.episodes):
            tells_end = letter.tells.get((one.alarm, one.since))
            if tells_end is not None:
                self._note(one, now, tells_end=tells_end)

    def _note(self, episode: Episode, now: float, *, tells_end: bool) -> None:
        episode.told, episode.delayed = True, False
        if tells_end and episode.ended is not None:
            self.queue.episodes.remove(episode)
        elif tells_end or episode.ended is not None:
            # It ended, or went on after all, while the message was on its way.
            episode.due = now
        else:
            episode.due = None if episode.acknowledged else self._next(now)

    def failed(self, now: float, pause: Callable[[int], float]) -> None:
        """Note that a message has not gone; `pause` makes the seconds until the next try of the failures."""
        self.queue.failures += 1
        self.queue.next_try = now + pause(self.queue.failures)

    def waiting(self) -> int:
        """Count what waits to be told."""
        return sum(one.due is not None for one in self.queue.episodes) + sum(self.queue.joined.values())


def _is_over(episode: Episode, now: float) -> bool:
    return episode.told and episode.ended is not None and now >= (episode.due or 0.0) + GROUP_S


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, one) for one in patterns)


def _plain(text: str) -> str:
    """Make a text one line without control characters: it becomes the subject of a mail."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _write(
    due: Sequence[Episode], joined: Mapping[str, int], titles: Mapping[str, str], present: Present
) -> Letter:
    """Write one message of all that is due, a line for each alarm; what goes on comes first."""
    of_alarm: dict[str, list[Episode]] = {}
    for one in due:
        of_alarm.setdefault(one.alarm, []).append(one)
    names = sorted(of_alarm, key=lambda name: of_alarm[name][-1].ended is not None)
    earlier = {name: joined[name] for name in names if name in joined}
    lines = [_line(of_alarm[name], earlier.get(name, 0), present) for name in names]
    going_on = sum(of_alarm[name][-1].ended is None for name in names)
    if len(names) == 1:
        title = titles[names[0]] + ("" if going_on else ": over")
        text = lines[0][0].upper() + lines[0][1:]
    else:
        over = len(names) - going_on
        title = f"{len(names)} alarms" + (f", {over} of them over" if over and going_on else "")
        title += " are over" if not going_on else ""
        shown = [f"{titles[name]}: {line}" for name, line in zip(names[:_LINES], lines, strict=False)]
        more = len(names) - len(shown)
        text = "\n".join([*shown, *([f"{more} more alarms, see the page"] if more else [])])
    news = any(not one.told for one in due)
    mood: Mood = "warning" if going_on else "info" if news else "success"
    tells = {(one.alarm, one.since): one.ended is not None for one in due}
    return Letter(title, text[:_LONGEST], mood, tells, earlier)


def _line(episodes: Sequence[Episode], earlier: int, present: Present) -> str:
    """Say of one alarm what is to be told of it."""
    last = episodes[-1]
    times = earlier + sum(not one.told for one in episodes)
    since = f"since {said(last.began, present)}"
    if times > 1:
        first = next((one for one in episodes if not one.told), last)
        begun = "" if earlier else f" from {said(first.began, present)} on"
        since = f"{times} times{begun}, the last {since}"
    if last.ended is not None:
        over = f"it ended {_at(last.ended, present)}"
        return f"{since}; {over}" if times else f"{over}; it began {_at(last.began, present)}"
    seen = "; acknowledged" if last.acknowledged else ""
    again = any(one.told for one in episodes[:-1])
    still = "still " if last.told else "again " if again else ""
    return ", ".join(one for one in (last.text, f"{still}{since}{seen}") if one)


def _at(moment: Moment, present: Present) -> str:
    """Say when something was: 14:05, or at a time unknown."""
    words = said(moment, present)
    return f"at {words}" if words == _NO_TIME else words
