"""Registers as the makers' documents have them, written by hand, and what they mean in our words.

Addresses are those of the wire. 32-bit numbers stand as two words in the maker's order.
"""

from dataclasses import dataclass

HOLDING, INPUT = 3, 4
Words = dict[int, tuple[int, ...]]


def ascii_words(text: str, count: int) -> tuple[int, ...]:
    """Two letters a register, NUL behind."""
    raw = text.encode().ljust(2 * count, b"\0")
    return tuple(raw[n] << 8 | raw[n + 1] for n in range(0, 2 * count, 2))


@dataclass(frozen=True)
class Case:
    """A profile's device at one moment."""

    profile: str
    words: dict[int, Words]
    expected: dict[str, float | str | None]
    model: str | None = None


CASES = (
    Case(
        "huawei_sun2000",
        {
            HOLDING: {
                30000: ascii_words("SUN2000-6KTL-M1", 15),
                30015: ascii_words("HV2140012345", 10),
                32016: (5703, 412, 0x7FFF, 0x7FFF),
                32064: (0x0000, 0x0933),  # 2355 W
                32069: (2301, 2305, 2299),
                32072: (0xFFFF, 0xFC18),  # -1.000 A
                32080: (0xFFFF, 0xFE0C),  # -500 W: the battery is charged from the grid
                32085: (5001,),
                32087: (0xFFCE,),  # -5.0 °C
                32089: (0x0201,),
                32106: (0x0001, 0x86A0),  # 1000.00 kWh
                32114: (0x0000, 0x04D2),  # 12.34 kWh
                37101: (0x0000, 0x08FC),
                37113: (0x0000, 0x03E8),  # 1000 W to the grid
                37119: (0x0000, 0x2710),
                37121: (0x0000, 0x0064),
                37022: (251,),
                37760: (875,),
                37763: (4802,),
                37765: (0x0000, 0x05DC),  # 1500 W into the battery
                37780: (0x0000, 0x0BB8, 0x0000, 0x07D0, 0x0000, 0x0064, 0xFFFF, 0xFFFF),
            }
        },
        {
            "pv_voltage_1": 570.3,
            "pv_current_1": 4.12,
            "pv_voltage_2": None,
            "pv_power": 2355,
            "current_l1": -1.0,
            "power": -500,
            "frequency": 50.01,
            "temperature": -5.0,
            "status": "power_limited",
            "energy_total": 1_000_000,
            "energy_today": 12_340,
            "grid_power": -1000,
            "grid_export_energy": 100_000,
            "grid_import_energy": 1000,
            "battery_soc": 87.5,
            "battery_voltage": 480.2,
            "battery_power": 1500,
            "battery_temperature": 25.1,
            "battery_charge_energy": 30_000,
            "battery_discharge_energy_today": None,
            "serial_number": "HV2140012345",
        },
        "Huawei SUN2000-6KTL-M1",
    ),
    Case(
        "sungrow_sh",
        {
            INPUT: {
                4989: ascii_words("A2350415770", 10),
                5007: (0xFFF6,),
                5010: (5406, 7, 2575, 8),
                5016: (0x0203, 0x0000),  # low word first: 515 W
                13000: (0b100,),  # discharging
                13001: (123,),
                13002: (0x0001, 0x0001),  # 65537 x 0.1 kWh
                13007: (650, 0),
                13009: (0xFF38, 0xFFFF),  # -200: 200 W from the grid
                13019: (2503, 12, 300, 655, 990, 215),
                13033: (815, 0),
                13036: (1000, 0),
                13045: (2000, 0),
                5241: (4998,),
            }
        },
        {
            "temperature": -1.0,
            "pv_voltage_1": 540.6,
            "pv_current_2": 0.8,
            "pv_power": 515,
            "pv_energy_today": 12_300,
            "pv_energy_total": 6_553_700,
            "grid_power": 200,
            "battery_voltage": 250.3,
            "battery_current": -1.2,
            "battery_power": -300,
            "battery_soc": 65.5,
            "battery_soh": 99.0,
            "battery_temperature": 21.5,
            "power": 815,
            "grid_import_energy": 100_000,
            "grid_export_energy": 200_000,
            "frequency": 49.98,
            "serial_number": "A2350415770",
        },
    ),
    Case(
        "deye_sg04lp3",
        {
            HOLDING: {
                500: (2,),
                516: (0x1388, 0x0001),  # 70536 x 0.1 kWh
                522: (500, 0),
                524: (600, 0),
                529: (77,),
                534: (1234, 0),
                587: (5324, 64, 0, 0xFC18, 0xF830),  # 53.24 V, 64 %, -1000 W out, -20.00 A out
                598: (2311, 2312, 2313),
                609: (5002,),
                625: (0xFF9C,),
                636: (900,),
                653: (1200,),
                672: (800, 0, 50, 0, 3201, 25, 0, 0),
            }
        },
        {
            "status": "normal",
            "battery_charge_energy": 7_053_600,
            "grid_import_energy": 50_000,
            "grid_export_energy": 60_000,
            "pv_energy_today": 7700,
            "pv_energy_total": 123_400,
            "battery_voltage": 53.2,
            "battery_soc": 64,
            "battery_power": 1000,
            "battery_current": 20.0,
            "grid_power": -100,
            "load_power": 1200,
            "pv_power": 850,
            "pv_voltage_1": 320.1,
            "pv_current_1": 2.5,
        },
    ),
    Case(
        "growatt",
        {
            HOLDING: {23: ascii_words("JPG1234567", 5)},
            INPUT: {
                0: (1, 0, 12345, 3500, 35),
                35: (0, 12000, 5000, 2301, 52),
                53: (0, 85, 0, 23456),
                91: (0, 25000, 456),
                1009: (0, 0, 0, 5000, 532, 88),
                1021: (0, 0),
                1029: (0, 3000),
                1046: (0, 111),
            },
        },
        {
            "status": "normal",
            "pv_power": 1234,  # 1234.5, half to even
            "pv_voltage_1": 350.0,
            "pv_current_1": 3.5,
            "power": 1200,
            "frequency": 50.0,
            "energy_today": 8500,
            "energy_total": 2_345_600,
            "temperature": 45.6,
            "battery_power": 500,
            "battery_voltage": 53.2,
            "battery_soc": 88,
            "grid_power": -300,
            "grid_import_energy": 11_100,
            "serial_number": "JPG1234567",
        },
    ),
    Case(
        "sma",
        {
            INPUT: {
                30057: (0x72, 0x1234),
                30201: (0, 307),
                30513: (0, 0, 0x0001, 0x0000, 0, 0, 0, 4321),
                30769: (0, 3210, 0, 41234, 0, 1324),
                30775: (0x8000, 0x0000),  # at night: not available
                30783: (0, 23015, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF),
                30803: (0, 5001),
                30865: (0, 0, 0, 750),
                30845: (0, 55),
                31393: (0, 0, 0, 640, 0, 0, 0, 1000, 0, 0, 0, 2000),
            }
        },
        {
            "status": "ok",
            "energy_total": 65536,
            "energy_today": 4321,
            "pv_current_1": 3.21,
            "pv_voltage_1": 412.3,
            "pv_power_1": 1324,
            "power": None,
            "voltage_l1": 230.2,  # 230.15, half to even
            "voltage_l2": None,
            "grid_power": -750,
            "battery_soc": 55,
            "battery_power": -640,
            "battery_charge_energy": 1000,
            "battery_discharge_energy": 2000,
            "serial_number": "7475764",
        },
    ),
    Case(
        "solaredge",
        {
            HOLDING: {
                40020: ascii_words("SE10K", 16),
                40052: ascii_words("7E0ABCDE", 16),
                40071: (1234, 411, 412, 0xFFFF, 0xFFFE),  # scale 10^-2
                40079: (2301, 2302, 2303, 0xFFFF),
                40083: (0x2328, 0xFFFF),  # 9000 x 0.1
                40085: (50012, 0xFFFD),
                40093: (0x0001, 0x86A0, 0x0000),
                40098: (7503, 0xFFFF, 9100, 0xFFFF, 0, 4512, 0, 0, 0xFFFE, 4),
                40206: (0x01F4, 0, 0, 0, 0x0000),  # 500 W to the grid
                40226: (0, 1000),
                40234: (0, 2000),
                40242: (0,),
                62836: (0x4000, 0x449C),  # 1250.0, low word first
                62852: (0x0000, 0x42AF),  # 87.5
            }
        },
        {
            "current": 12.34,
            "current_l3": None,
            "voltage_l1": 230.1,
            "power": 900,
            "frequency": 50.01,
            "energy_total": 100_000,
            "dc_voltage": 750.3,
            "dc_power": 910,
            "temperature": 45.1,
            "status": "producing",
            "grid_power": -500,
            "grid_export_energy": 1000,
            "grid_import_energy": 2000,
            "battery_power": 1250,
            "battery_soc": 87.5,
            "serial_number": "7E0ABCDE",
        },
        "SolarEdge SE10K",
    ),
)
