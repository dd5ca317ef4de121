"""The demo's serial ports: a Phoenix inverter on VE.Direct and an Epever Tracer on RS485, each a pty."""

import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.emulators.epever import BOOST, FLOAT, LOAD_COIL, NO_CHARGING, Tracer, Weather
from tests.emulators.modbus_rtu import Slave
from tests.emulators.van import AWNING, ChargeState, Moment
from tests.emulators.vedirect import Cable, Phoenix, Talker

VEDIRECT, EPEVER = "vedirect", "epever"
"""Names of the ports in the demo's folder."""
_UNIT = 1
_TALKS_EVERY = 1.0
_AC_VOLTS = 230.0
_INVERTING, _OFF = 9, 0
# VE.Direct Protocol, "OR": the relay of the household power sits in the inverter's remote input.
_REMOTE_INPUT = 0x8
_PANEL_VOLTS = 17.5
# Epsolar LS-B protocol V1.1: the discrete input "day or night", and today's highest panel voltage.
_NIGHT, _HIGHEST = 0x200C, 0x3300
_STATE = {ChargeState.OFF: NO_CHARGING, ChargeState.FLOAT: FLOAT}


def phoenix(moment: Moment) -> Phoenix:
    """What the inverter says at this moment."""
    watts = moment.household.sockets
    volts = moment.battery.voltage
    if watts is None:
        return Phoenix(
            volts=volts,
            ac_volts=0.0,
            ac_amperes=0.0,
            ac_volt_amperes=0,
            state=_OFF,
            off_reasons=_REMOTE_INPUT,
        )
    return Phoenix(
        volts=volts,
        ac_volts=_AC_VOLTS,
        ac_amperes=watts / _AC_VOLTS,
        ac_volt_amperes=round(watts),
        state=_INVERTING,
    )


def weather(moment: Moment) -> Weather:
    """What the Epever Tracer measures at this moment."""
    return Weather(
        pv_voltage=_PANEL_VOLTS if moment.folding.power else 0.0,
        pv_power=moment.folding.power,
        voltage=moment.battery.voltage,
        soc=round(moment.battery.soc),
        load=AWNING,
        state=_STATE.get(moment.solar.state, BOOST),
    )


class Ports:
    """Both devices, at paths in a folder that stay the same however often they are started."""

    def __init__(self, folder: Path, moment: Moment) -> None:
        self._folder = folder
        self._cable = Cable()
        self._talker = Talker(self._cable.write, phoenix(moment), period=_TALKS_EVERY)
        self._tracer = Tracer.simulated(weather(moment))
        self._tracer.write_coil(LOAD_COIL, 0)
        self._stack = ExitStack()

    @property
    def tracer(self) -> Tracer:
        """The charge controller."""
        return self._tracer

    @property
    def load(self) -> bool:
        """Whether the tracer's load output is on."""
        return self._tracer.load_power > 0

    def __enter__(self) -> Self:
        self._stack.callback(self._cable.pull)
        self._stack.enter_context(self._talker)
        slave = self._stack.enter_context(Slave({_UNIT: self._tracer}))
        # The slave's own name lies in a folder whose name nobody knows before.
        self._link(VEDIRECT, self._cable.path)
        self._link(EPEVER, os.path.realpath(slave.port))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _link(self, name: str, target: str) -> None:
        link = self._folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        self._stack.callback(link.unlink, missing_ok=True)

    def show(self, moment: Moment, seconds: float) -> None:
        """Measure this from now on; so many seconds have passed since the last."""
        self._talker.says = phoenix(moment)
        self._tell(weather(moment))
        self._tracer.step(seconds)

    def _tell(self, now: Weather) -> None:
        tracer = self._tracer
        tracer.show(now)
        tracer.discrete[_NIGHT] = int(now.pv_power == 0)
        tracer.input[_HIGHEST] = max(tracer.input[_HIGHEST], tracer.input[0x3100])
