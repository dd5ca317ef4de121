"""Runs in the peer's own environment: `hass_burst.py <folder> <states>`; prints wall and CPU seconds."""

import asyncio
import sys
import time

from homeassistant import config_entries, core, loader
from homeassistant.components import recorder
from homeassistant.helpers import (
    area_registry,
    device_registry,
    entity,
    entity_registry,
    issue_registry,
    translation,
)
from homeassistant.helpers.recorder import async_initialize_recorder
from homeassistant.setup import async_setup_component

_ENTITIES = 50
_ATTRIBUTES = {"unit_of_measurement": "V", "state_class": "measurement", "device_class": "voltage"}


async def main(folder: str, states: int) -> None:
    """Set states in a burst and wait until the recorder has committed them."""
    hass = core.HomeAssistant(folder)
    hass.config.config_dir = folder
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    loader.async_setup(hass)
    entity.async_setup(hass)
    translation.async_setup(hass)
    for registry in (area_registry, device_registry, entity_registry, issue_registry):
        await registry.async_load(hass)
    async_initialize_recorder(hass)
    settings = {"recorder": {"db_url": f"sqlite:///{folder}/recorder.db"}}
    if not await async_setup_component(hass, "recorder", settings):
        sys.exit("the recorder did not start")
    await hass.async_start()
    await hass.async_block_till_done()
    instance = recorder.get_instance(hass)
    await instance.async_db_ready
    await instance.async_block_till_done()
    began, spent = time.perf_counter(), time.process_time()
    for number in range(states):
        hass.states.async_set(f"sensor.s{number % _ENTITIES}", f"{12 + number / 1000:.3f}", _ATTRIBUTES)
        if number % 100 == 99:
            await asyncio.sleep(0)
    await instance.async_block_till_done()
    print(time.perf_counter() - began, time.process_time() - spent)
    await hass.async_stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
