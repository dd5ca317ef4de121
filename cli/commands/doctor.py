"""`boondock doctor`."""

import os
from pathlib import Path

from cli import doctor, output
from cli.house import INSTALLED, House, Json, talks
from cli.machine.finding import wrong
from cli.machine.place import STATE, Place
from config.addresses import is_here


@talks
def command(house: House, *, as_json: Json = False) -> int:
    """Look at everything: machine, broker, users, services, clock, disk, card; 1 if something is wrong."""
    broker = house.broker()
    settings, running = house.settings(), house.running()
    data = None
    if running is not None:
        # A run keeps all of it in one folder, whatever its settings say.
        data = (Path(running.logs).parent, Path(running.logs).parent)
    elif is_here(broker.host) and house.is_installed() and Place(Path("/")).has_units:
        # The units say where, whatever boondock.toml does.
        data = (Path(STATE), Path(STATE))
    elif is_here(broker.host):
        data = (Path(settings.statistician.database).parent, Path(settings.storage.state))
    found = []
    for finding in doctor.examine(settings, broker, installed=house.is_installed(), data=data):
        found.append(finding)
        if not as_json:
            print(output.plain(str(finding)), flush=True)
    if as_json:
        output.show({"well": not wrong(found), "findings": found}, (), as_json=True)
    elif house.is_installed() and os.geteuid() != 0:
        print(f"Not all of {INSTALLED.parent} can be read; next: sudo boondock doctor")
    return 1 if wrong(found) else 0
