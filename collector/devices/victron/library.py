"""What victron-ble gives: decryption, the names of models, and the words of Victron's codes.

Its parsers are not used: they refuse a whole record for one code, or two bits at once, that they do not list.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from types import MappingProxyType

from victron_ble.devices.base import MODEL_ID_MAPPING, ACInState, ChargerError, OperationMode
from victron_ble.devices.dc_energy_meter import MeterType
from victron_ble.devices.multirs import MultiRSOperationMode
from victron_ble.devices.smart_lithium import BalancerStatus
from victron_ble.devices.solar_charger import SolarCharger

MODELS: Mapping[int, str] = MappingProxyType(MODEL_ID_MAPPING)


def _words(codes: Iterable[Enum]) -> dict[int, str]:
    """Spell an enum in lower case, without "not available", its misspelt word put right."""
    named = {int(code.value): code.name.lower().replace("ouput", "output") for code in codes}
    return {number: word for number, word in named.items() if word not in ("not_available", "unknown")}


_CHARGE_STATES = _words(OperationMode)
WORDS: Mapping[str, Mapping[int, str]] = MappingProxyType(
    {
        "charge_state": _CHARGE_STATES,
        # Inverter/chargers say more than chargers; a word that both know is the chargers'.
        "inverter_state": _words(MultiRSOperationMode) | {247: _CHARGE_STATES[247]},
        "charger_error": _words(ChargerError),
        "ac_input": _words(ACInState),
        # 0 is missing in victron-ble: github.com/victronenergy/gui-v2, velib, VE_REG_BMV_MONITOR_MODE.
        "meter_type": {0: "battery_monitor"} | _words(MeterType),
        "balancer": _words(BalancerStatus),
    }
)


def decrypt(raw: bytes, key: bytes) -> bytes:
    """Decrypt manufacturer data of company 0x02E1 whose key fits; what lies beyond its layout is noise."""
    # All of the library's devices decrypt alike.
    plain: bytes = SolarCharger(key.hex()).decrypt(raw)
    return plain
