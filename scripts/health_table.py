"""Every counter, fact and problem that a process may tell in health: what it means, and what to do.

docs/health.md is made from it, by `python -m scripts.health`. A test holds the code to it: a counter that is
not here fails by name. A line is `name | what it means | what to do`; one that begins with a space goes on
with the line before. `<device>` and the like stand for any name.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

Kind = Literal["counter", "fact", "problem"]


class Entry(NamedTuple):
    """One row; `who` tells it, `then` is empty where there is nothing to do."""

    who: str
    kind: Kind
    name: str
    means: str
    then: str


def entries() -> Iterator[Entry]:
    """Yield all rows in the order of the page. Raises ValueError naming a line that is no row."""
    for (who, kind), table in _TABLES.items():
        for line in table.strip().replace("\n ", " ").splitlines():
            name, means, then = (cell.strip() for cell in line.split("|"))
            yield Entry(who, kind, name, means, then)


EVERY = "Every process"
OWNERS = "Collectors and the controller"
COLLECTORS = "Collectors"
CONTROLLER = "The controller"
STATISTICIAN = "The statistician"
FORWARDER = "The forwarder"

_TABLES: dict[tuple[str, Kind], str] = {
    (EVERY, "counter"): """
faults | errors of this software; all else went on | look at the problem `fault`, and report it
set_aside_messages | messages that are not handled any more: they ended the process twice, or failed with
 an error | look at the problem `set_aside`
refused_messages | messages that could not be read; at the statistician those that it left with the broker,
 because too many waited | look at the log
requests | requests that came |
refused_requests | requests that were answered with an error | the answer says what was wrong
ignored_requests | requests that were retained, or not for this process; a page that asks the broker for its
 rights sends one | send requests without retain
dropped_requests | requests that came faster than the process takes them | find the client that asks without
 pause
dropped_commands | commands that came too fast; of those for one output all but the newest 8 | find the
 client that sends without pause
dropped_messages | messages of QoS 0 that came faster than the process takes them | find the client that
 sends without pause
abandoned_requests | requests that took long, such as scans, and were ended because nobody listened to the
 answer any more |
dropped_answers | answers to requests that the broker did not take | ask again; if it goes on, look at the
 broker's log
refused_publications | messages that the broker refused | `last_error` and the log name the topic: look at
 the ACL
refused_oversize_publications | messages that are larger than the broker takes | raise `max_packet_size` of
 the
 broker
dropped_problems | problems of single devices for which health has no room | solve those that are told first
dropped_access_lines | changes that came too fast to be written into the access log | find who sends without
 pause
unreadable_access_lines | lines of the access log that cannot be read | nothing, after a power cut
""",
    (EVERY, "fact"): """
clock | where the process has the time from | wait for the network, or set the clock, if it is not
 `synchronised`
""",
    (EVERY, "problem"): """
broker | there is no connection to the broker, and why | do what it says; the process tries again by itself
clock | the time of this machine is not right | do what it says
fault | an error of this software in one message or piece of work, told for an hour; all else goes on |
 report it
set_aside | a message that ended the process twice, or failed; it is passed over | at the statistician ask
 for `dead_letters` and `take_again`; elsewhere read the log
flood | a client sends without pause; what is too much is dropped and counted | find it and end it
instance | another process of this name is on the broker | give each house a `[broker] base`, or end one of
 them
state | the state folder cannot be written: a second process of this name would not be noticed | look at the
 disk and at who owns the folder
access_log | the access log cannot be written: who changed what is not kept | look at the disk
""",
    (OWNERS, "counter"): """
readings | readings that were kept for the statistician and published |
resent_readings | readings that were sent again as backlog | nothing; many of them: look at the
 statistician
refused_oversize_readings | readings that are larger than the broker takes; they were set aside | raise
 `max_packet_size` of the broker
refused_readings | readings that the broker will never take; they were set aside | look at the log
dropped_readings | the oldest readings, dropped because too many waited for the statistician | start the
 statistician; raise `outbox_mb` of `[storage]`
outbox_on_disk | readings that wait on disk now | nothing, if it falls again; else look at the statistician
clock_steps | steps of the clock that were noticed; what waited was dated again |
commands | commands that came for outputs of this process |
repeated_commands | commands of an id that was obeyed before: they were answered, not obeyed again |
refused_commands_<code> | commands that were refused, by the code of the answer | the answer says why
dropped_results | answers to commands that the broker did not take | look at the state of the output
""",
    (OWNERS, "problem"): """
outbox | a file of readings that wait cannot be used | look at the disk; the process goes on without it
backlog | the statistician has confirmed nothing for a while | look at the statistician
manifest | the file of what was published cannot be read or written | look at the disk
announced | the file of what was announced to Home Assistant cannot be read or written | look at the disk
answers | answers cannot be kept: a command that is sent again after a restart may be obeyed twice | look at
 the folder `runtime` of `[storage]`
""",
    (COLLECTORS, "counter"): """
frames | Bluetooth advertisements of our devices |
refused_frames | advertisements that could not be decoded, of all devices | see the next
refused_frames.<device> | the same of one device | check its key; look at the problem `device.<device>`
repeated_frames | advertisements that a device sent once more; they say nothing new |
unread.<device> | labels, records or objects that stand in no table of ours | look at the fact of this name
dropped_untrusted_frames | good advertisements after a wrong one; dropped until three different ones have
 come |
ignored_unknown_frames | advertisements of kinds that Boondock does not know |
ignored_unconfigured_frames | advertisements of a known kind from devices that are not in the settings | run
 a scan to
 add them
radio_<state> | how often the radio changed to this state | many `failed`: look at the problem `radio`
polls | questions to devices on a line |
failed_polls | questions without a good answer, of all devices | see the next
failed_polls.<device> | the same of one device | check cable, address and speed; look at `device.<device>`
skipped_polls.<device> | questions left out because the answer before was still to come | ask less often, or
 give slow devices a line of their own
unknown_codes.<device>.<entity> | codes that stand in no table of ours; the value is unknown | report the
 code
messages | messages of other publishers |
keep_alives | messages that keep publishers of [[import]] tables talking (`keep_alive`) | nothing
forwarded_commands | commands that went on to other publishers |
delayed_messages.<device> | messages of a device that is said to be offline; they wait until it is
 back |
refused_availability.<device> | words for availability that are neither of the two in the settings | correct
 the table of the device
refused_payloads.<device> | messages that cannot be read as the settings say | correct the table of the
 device
refused_values.<device>.<entity> | values that cannot be read as the settings say | correct the table of the
 entity
refused_times.<device> | impossible times: the arrival counts; what was remembered is dropped | set its clock
""",
    (COLLECTORS, "fact"): """
radio | how the radio is scanning |
unread.<device> | what the device says that stands in no table of ours; each is told once | report it
""",
    (COLLECTORS, "problem"): """
radio | Bluetooth does not work | do what it says; the process starts anew by itself
worker | the process cannot talk to a line any more, and starts anew | report it if it comes back
device.<device> | nothing comes from the device, or nothing that can be read | do what it says
entity.<device>.<entity> | an entity has no value, and why | do what it says
energy | the sums of `energy = true` cannot be read or written | look at the disk
registry | the file of devices that were added while all ran cannot be read | do what it says
registry.<device> | a device that was added while all ran cannot be used | do what it says
""",
    (CONTROLLER, "counter"): """
refused_malformed_commands | commands whose topic names no device and entity | look at the problem `commands`
requested_broker_restarts | how often the broker hung, and its restart was asked for | look at the broker's
 log
""",
    (CONTROLLER, "fact"): """
pins | which library reaches the pins, and what outputs do when the process ends |
""",
    (CONTROLLER, "problem"): """
commands | a command came to a topic that names no device and entity; told for ten minutes | correct the
 sender
devices | there are more devices or outputs than the controller remembers | empty the about topic of each
 device that is gone
memory | positions of relays cannot be read or kept | look at the disk; each relay counts as off until it is
 switched
service.<service> | a service does not run or hangs: its devices are offline | look at its log, and restart
 it
relay.<relay> | its pin cannot be used, or does not follow | do what it says; look at the wiring
relay.<relay>.feedback | the load does not do what the relay does, or its feedback is unknown | look at
 fuse, wiring and relay
relay.<relay>.feedback_pin | the input of its feedback cannot be used | do what it says
rule.<rule> | it wants its relay on or off, and may not | do what it says; it is tried again each second
alarms | how alarms and rules stand cannot be read or kept | look at the disk
relay.<relay>.only_if | it was turned off because a condition does not hold | nothing; turn it on again
 later
battery_guard | the battery is too low: its relay is off | charge the battery
battery_guard.source | the value that the guard needs is unknown: nothing guards the battery | look at that
 device
""",
    (STATISTICIAN, "counter"): """
readings | readings that were taken |
stored_states | states on disk |
unchanged_states | states that only repeat the one before; they are not stored |
ignored_disabled_states | states of entities that are not `enabled` |
readings_<clock> | readings of a clock that was not synchronised (`estimated`) or not set (`unset`) |
delayed_undated_readings | readings without `ts` that waited for the clock |
dropped_undated_readings | readings without `ts`, dropped because too many newer ones waited for the clock |
 let the
 sender write `ts`
refused_timestamps | readings whose `ts` was not believed | look at the problem `clock.<device>`
delayed_counter_readings | readings of counters that waited for the next one |
refused_counter_readings | readings of counters that were left out as wrong | look at
 `counter.<device>.<entity>`
lost_readings | readings that their collector had to drop: its outbox was full | keep the statistician
 running
late_states | states that came late; their rows were made again |
repeated_readings | readings that came again; they count once |
stream_gaps | readings that came while one before them was missing | nothing: the missing one is sent again
refused_streams | readings with a stream that is not the sender's; they are stored, their numbers are not
 believed | look at `stream.<device>`
restarted_streams | streams whose numbers began again at 1 | look at `stream.<device>`
refused_jumps | impossible numbers in a stream | look at `stream.<device>`
refused_last_resets | `last_reset` that could not be read and was left out | look at `last_reset.<device>`
refused_large_values | numbers that no sum can hold; they count as unknown | look at `value.<device>.<entity>`
refused_large_powers | numbers that no energy can hold; they count as unknown | look at `energy.<device>`
ignored_powers | power readings that made no energy: too late, or of the future |
filled_absences | values that were known after all while the statistician was away |
redated_entities | entities whose readings were dated again after a clock was set |
refused_entities | entities for which there was no room | look at the problem `room`
forgotten_entities | entities that never had a value, removed to make room for others |
refused_announcements | devices of other programs that are not announced to Home Assistant: there are too
 many | look at the problem `discovery`
dead_letters | messages that were set aside because they cannot be read | look at the problem `messages`
compiled_periods | 5-minute periods that were closed |
removed_future_periods | rows of the future that were removed: the clock was ahead |
corrected_rows | rows that were made again |
purged_rows | rows that were removed for their age, or for want of room |
failed_rows | rows that are missing by an error of this software | look at the problem `rows`, and report
 it
backups | copies of the database that were made |
""",
    (STATISTICIAN, "fact"): """
catching_up | how far the statistics are behind | wait
backup | the newest copy of the database |
backup_of_everything | the newest backup of the whole house |
disk | what was removed early because the disk was full | make room, or keep fewer days
""",
    (STATISTICIAN, "problem"): """
house_clock | the time cannot be kept for the next start | look at the disk
clock.<device> | the device's clock is ahead or behind | set it, or let it leave `ts` out
counter.<device>.<entity> | a reading was left out, told for a day | if it was real, copy the line that it
 shows
stream.<device> | the numbers of its readings are not believed | do what it says
last_reset.<device> | when a total was reset could not be read | let the sender write what is allowed
value.<device>.<entity> | a number is too large to be true | correct the sender
energy.<device> | a power is too large to be true | correct the sender
messages | the newest message that was set aside, and the field that is wrong | correct the sender
page | how the page is arranged cannot be read, or cannot be kept on disk | as admin, arrange the page again;
 look at the disk
room | there are too many entities, and whose the newest is that was not taken | find the client that makes
 them up
discovery | more devices of other programs ask to be announced to Home Assistant than are announced | let
 fewer ask
announced | the file of what was announced cannot be read or written | look at the disk
hold | an update is on trial: watermarks wait, and collectors keep their readings | wait: it ends by
 itself, after 10 minutes at the latest; then `boondock status`
database | the database cannot be written: nothing is acknowledged until it can | look at the disk
damage | the database was damaged, and a copy was put in its place | look at the disk or the card
file | the database was deleted or replaced while it was in use, and what was done | do what it says
unusable | values in the database that no version of this software writes; they became dead letters, or were
 left empty | look at who else writes it
rows | an entity has no row, by an error of this software; all others have | report it
backup | there is no new copy of the database | look at the disk
backup_of_everything | the nightly backup went wrong, and why, or is old | do what it says
""",
    (FORWARDER, "counter"): """
sent_records | records that other systems have taken, of all outputs |
failed_sends | times an output could not send; nothing is lost, it is tried again | look at the problem
 `output.<output>`
feed_gaps | times that readings were too old before they could be sent; their hourly rows were | look at the
 problem `output.<output>.gap`
lost_cursors | outputs whose place in the data was lost; what comes again has the same keys | look at the
 problem `output.<output>.cursor`
set_aside_records | records that the other side does not take, for they are too large; they stand in a file |
 look at the problem `output.<output>.too_large`
sent_notifications.<name> | messages that a service took, by the `[[notify]]` table |
failed_notifications.<name> | messages that did not go out; each is tried again | look at the problem
 `notify.<name>`
delayed_notifications.<name> | alarms that waited for the end of the quiet hours |
joined_alarms.<name> | alarms that waited so long that only their number is told | nothing; many of them: look
 at what comes and goes
""",
    (FORWARDER, "fact"): """
output.<output> | how many records it has sent, and up to which time |
""",
    (FORWARDER, "problem"): """
statistician | the statistician is not there: nothing is sent until it is | `boondock status` says why
output.<output> | it cannot send, why, and since when | do what it says; it is tried again, at most 15 minutes
 apart
output.<output>.<what> | something that is over, told for a day. `gap`: readings were too old before they
 could be sent; the hourly rows of that time were. `cursor`: its place in the data was lost; what comes again
 has the same keys. `too_large`: the other side does not take a record; it stands in the named file | of a
 record that is too large: let the other side take more
notify.<name> | alarms wait to be told: the newest message did not go out, and why | do what it says; then
 `boondock notify test`
notifications | the file of what was told cannot be read or written: after a restart an alarm may be told
 twice | look at the disk
""",
}
