"""Home Assistant itself, inside its own environment: obeys JSON lines on stdin, answers each on stdout.

Arguments: its folder, the broker's port, its own HTTP port. It is the core with the recorder and MQTT, as its
own tests start it; no frontend.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from types import MappingProxyType
from typing import Any

from homeassistant import bootstrap, loader
from homeassistant.components.energy import data as energy_data
from homeassistant.components.energy import validate
from homeassistant.components.mqtt.config_flow import FlowHandler
from homeassistant.components.recorder import Recorder, statistics
from homeassistant.components.recorder.tasks import StatisticsTask
from homeassistant.config_entries import SOURCE_USER, ConfigEntries, ConfigEntry
from homeassistant.const import __version__
from homeassistant.core import HomeAssistant
from homeassistant.core_config import async_process_ha_core_config
from homeassistant.helpers import device_registry, entity, entity_registry, recorder
from homeassistant.setup import async_setup_component

Body = dict[str, Any]
_LOOK_S = 0.02
_TIME = entity.timer


class Complaints(logging.Handler):
    """Keeps what Home Assistant warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one, with what raised it."""
        # helpers.frame tells developers of Home Assistant about their own code.
        if not record.name.startswith("homeassistant.") or record.name == "homeassistant.helpers.frame":
            return
        text = f"{record.levelname} {record.name}: {record.getMessage()}"
        self.lines.append(text + (f": {record.exc_info[1]!r}" if record.exc_info else ""))


class Inside:
    """What the test may ask."""

    def __init__(self, hass: HomeAssistant, complaints: Complaints) -> None:
        self._hass = hass
        self._complaints = complaints

    async def entities(self) -> list[Body]:
        """Every registered entity with its device and state."""
        devices = device_registry.async_get(self._hass)
        found = []
        for entry in entity_registry.async_get(self._hass).entities.values():
            state = self._hass.states.get(entry.entity_id)
            device = devices.async_get(entry.device_id or "")
            found.append(
                {
                    "entity_id": entry.entity_id,
                    "unique_id": entry.unique_id,
                    "category": entry.entity_category,
                    "name": entry.original_name,
                    "device": device and sorted(identity for _, identity in device.identifiers),
                    "state": state and state.state,
                    "attributes": dict(state.attributes) if state else {},
                }
            )
        return found

    async def devices(self) -> list[Body]:
        """Every registered device."""
        devices = device_registry.async_get(self._hass).devices
        return [
            {
                "identifiers": sorted(identity for _, identity in device.identifiers),
                "name": device.name,
                "manufacturer": device.manufacturer,
                "model": device.model,
                "model_id": device.model_id,
                "serial_number": device.serial_number,
                "sw_version": device.sw_version,
                "via": sorted(one for _, one in devices[device.via_device_id].identifiers)
                if device.via_device_id
                else [],
            }
            for device in devices.values()
        ]

    async def wait(self, states: dict[str, str | None], patience: float) -> dict[str, str | None]:
        """The states of entities by unique id (None: there is no such entity), at best those wanted."""
        deadline = self._hass.loop.time() + patience
        while (found := self._states(states)) != states and self._hass.loop.time() < deadline:  # noqa: ASYNC110 — a look suffices
            await asyncio.sleep(_LOOK_S)
        return found

    def _states(self, wanted: dict[str, str | None]) -> dict[str, str | None]:
        ids = {e.unique_id: e.entity_id for e in entity_registry.async_get(self._hass).entities.values()}
        states = {one: self._hass.states.get(ids.get(one, "no.entity")) for one in wanted}
        return {one: None if state is None else state.state for one, state in states.items()}

    async def gone(self, identities: list[str], patience: float) -> list[str]:
        """Which of these devices are still there, at best none."""
        deadline = self._hass.loop.time() + patience
        while (left := self._present(identities)) and self._hass.loop.time() < deadline:  # noqa: ASYNC110 — a look suffices
            await asyncio.sleep(_LOOK_S)
        return left

    def _present(self, identities: list[str]) -> list[str]:
        devices = device_registry.async_get(self._hass).devices.values()
        return sorted({one for device in devices for _, one in device.identifiers}.intersection(identities))

    async def call(self, domain: str, service: str, data: Body) -> None:
        """Call a service, as a button does, and wait until it is done."""
        await self._hass.services.async_call(domain, service, data, blocking=True)

    async def log(self) -> list[str]:
        """What it warned of since this was last asked."""
        lines, self._complaints.lines = self._complaints.lines, []
        return lines

    async def pin(self, at: float | None) -> None:
        """Stamp the states that come now with this time, seconds since 1970; None: with the clock's."""
        entity.timer = _TIME if at is None else lambda: at

    async def statistics(self, starts: list[str], ids: list[str]) -> dict[str, list[Body]]:
        """Compile the 5-minute periods that begin at these times, and the rows of these statistics."""
        instance = recorder.get_instance(self._hass)
        times = [datetime.fromisoformat(start) for start in starts]
        for start in times:
            instance.queue_task(StatisticsTask(start, fire_events=False))
        await self._hass.async_add_executor_job(instance.block_till_done)
        types = {"mean", "min", "max", "state", "sum", "last_reset"}
        found = await instance.async_add_executor_job(
            statistics.statistics_during_period,
            self._hass,
            min(times),
            None,
            set(ids),
            "5minute",
            None,
            types,
        )
        return {name: [dict(row) for row in rows] for name, rows in found.items()}

    async def energy(self, preferences: Body) -> Body:
        """What its energy dashboard says of these settings."""
        self._hass.data.setdefault("energy", {"cost_sensors": {}})
        manager = await energy_data.async_get_manager(self._hass)
        await manager.async_update(preferences)
        found: Body = (await validate.async_validate(self._hass)).as_dict()
        return found


async def started(folder: str, port: int, http: int) -> HomeAssistant:
    """Home Assistant with what the tests need of it; connected to the broker in its first run by us."""
    config = {
        "http": {"server_host": "127.0.0.1", "server_port": http},
        "recorder": {"db_url": f"sqlite:///{folder}/recorder.db", "commit_interval": 0},
    }
    hass = HomeAssistant(folder)
    loader.async_setup(hass)
    hass.config.skip_pip = True
    hass.config_entries = ConfigEntries(hass, config)
    await bootstrap.async_load_base_functionality(hass)
    await async_process_ha_core_config(hass, {})
    recorder.async_initialize_recorder(hass)
    # Periods are compiled when the test says so, not when one happens to end.
    Recorder.async_periodic_statistics = lambda _: None
    for name in ("homeassistant", "persistent_notification", "http", "recorder"):
        if not await async_setup_component(hass, name, config):
            raise RuntimeError(f"{name} does not start")
    await recorder.get_instance(hass).async_db_ready
    if hass.config_entries.async_entries("mqtt"):
        await async_setup_component(hass, "mqtt", config)
    else:
        await hass.config_entries.async_add(_mqtt(port))
    await hass.async_start()
    return hass


def _mqtt(port: int) -> ConfigEntry:
    return ConfigEntry(
        domain="mqtt",
        title="the van's broker",
        data={"broker": "127.0.0.1", "port": port},
        options={},
        version=FlowHandler.VERSION,
        minor_version=FlowHandler.MINOR_VERSION,
        source=SOURCE_USER,
        unique_id=None,
        discovery_keys=MappingProxyType({}),
        subentries_data=None,
    )


async def main(folder: str, port: int, http: int) -> None:
    """Serve until stdin ends."""
    complaints = Complaints()
    logging.basicConfig(level=logging.INFO)
    logging.getLogger().addHandler(complaints)
    hass = await started(folder, port, http)
    print(json.dumps({"version": __version__}), flush=True)  # noqa: T201 — its answers are lines
    inside = Inside(hass, complaints)
    while line := await hass.loop.run_in_executor(None, sys.stdin.readline):
        name, arguments = json.loads(line)
        asked: Callable[..., Awaitable[object]] = getattr(inside, name)
        # What it raises ends this process, and the test shows its stderr.
        print(json.dumps(await asked(**arguments), default=str), flush=True)  # noqa: T201 — as above
    await hass.async_stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
