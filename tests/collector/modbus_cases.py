"""Deye by its three types, meters of Eastron and Chint, Growatt from 3000 on, Renogy: as in profile_cases.py.

`deye_sg04lp3 recorded` is a real SUN-12K-SG04LP3: davidrapan/ha-solarman, issue 471 (2025-03-14, 09:33:14 and
09:33:42), all other registers are written from the sources that the profiles name.
"""

import struct

from tests.collector.profile_cases import HOLDING, INPUT, Case, ascii_words


def f32(value: float) -> tuple[int, int]:
    """IEEE 754, the high word first."""
    high, low = struct.unpack(">HH", struct.pack(">f", value))
    return high, low


def floats(*values: float) -> tuple[int, ...]:
    """Several of them side by side."""
    return tuple(word for value in values for word in f32(value))


# Holding registers 586 to 708: the answer's data in its log.
_RECORDED = """
049c 1536 001d 0000 eb15 d979 00d2 0000 0000 0000 0000 0000 0943 0940 0937 0000 0000 0000 fff9 fecb ff61 fe25
0000 1383 0062 0088 004d 0092 0067 006f 0002 0000 ffff 0001 0000 0000 0002 0000 ffff 0001 0000 094a 0946 093b
00f0 0082 003c 0256 0142 00a9 0441 0441 1383 0000 024f 000d 000a 0266 0949 0944 093b 0000 0000 0000 0258 0142
00a8 0442 0442 1383 0000 0000 0000 0000 0000 0006 0002 0003 0000 0000 0000 0000 0000 0000 0000 0000 16fc 031d
0000 0000 1955 0059 0963 0020
"""

DEYE_RECORDED = Case(
    "deye_sg04lp3",
    {
        HOLDING: {
            0: (0x0005,),
            # 500 to 558.
            500: (
                *(
                    2,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    3,
                    0,
                    0,
                    0,
                    0,
                    0,
                    28,
                    2,
                    9087,
                    0,
                    8465,
                    0,
                    65,
                    0,
                    28168,
                    0,
                    1779,
                    0,
                ),
                *(
                    90,
                    40810,
                    0,
                    54,
                    0,
                    0,
                    0,
                    0,
                    15940,
                    0,
                    0,
                    0,
                    0,
                    0,
                    1250,
                    1497,
                    0,
                    0,
                    1,
                    0,
                    0,
                    0,
                    0,
                    1,
                    2560,
                ),
                *(1, 5, 0, 0, 0, 0, 0, 0),
            ),
            586: tuple(int(word, 16) for word in _RECORDED.split()),
        }
    },
    {
        "status": "normal",
        "battery_charge_energy_today": 2800,
        "battery_charge_energy": 908_700,
        "battery_discharge_energy": 846_500,
        "grid_import_energy_today": 6500,
        "grid_import_energy": 2_816_800,
        "grid_export_energy": 177_900,
        "pv_energy_today": 5400,
        "pv_energy_total": 1_594_000,
        "battery_voltage": 54.3,
        "battery_soc": 29,
        "battery_power": 5355,
        "battery_current": 98.63,
        "voltage_l1": 237.1,
        "voltage_l2": 236.8,
        "voltage_l3": 235.9,
        "frequency": 49.95,
        "grid_power": 1,
        "power": 1089,
        "load_power": 1090,
        "pv_power": 6681,
        "pv_voltage_1": 648.5,
        "pv_current_1": 8.9,
        "pv_voltage_2": 240.3,
        "pv_current_2": 3.2,
    },
)

NEWER_CASES = (
    Case(
        "deye_hybrid_1p",
        {
            HOLDING: {
                0: (0x0003, 1, 0x0104, *ascii_words("2103045678", 5)),
                59: (2,),
                70: (12, 34, 0x1388, 0x0001, 600, 0, 45, 0, 0x0005, 5001, 0x0001, 77, 0),
                91: (1452,),  # 45.2 °C
                96: (1234, 0),
                108: (88, 3201, 25, 0, 0),
                150: (2301,),
                154: (2299,),
                169: (0xFF9C,),  # sold: -100 W
                175: (900,),
                178: (1200,),
                182: (1215, 5324, 64, 0, 800, 50, 7, 2, 0xFC18, 0xF830),
            }
        },
        {
            "status": "normal",
            "battery_charge_energy_today": 1200,
            "battery_discharge_energy_today": 3400,
            "battery_charge_energy": 7_053_600,  # 70536 x 0.1 kWh
            "battery_discharge_energy": 60_000,
            "grid_import_energy_today": 4500,
            "grid_export_energy_today": 0,
            "grid_import_energy": 6_554_100,  # the low word at 78, the high one at 80
            "frequency": 50.01,
            "grid_export_energy": 7700,
            "temperature": 45.2,
            "pv_energy_total": 123_400,
            "pv_energy_today": 8800,
            "pv_voltage_1": 320.1,
            "pv_current_1": 2.5,
            "pv_voltage_2": 0.0,
            "grid_voltage": 230.1,
            "voltage": 229.9,
            "grid_power": -100,
            "power": 900,
            "load_power": 1200,
            "battery_temperature": 21.5,
            "battery_voltage": 53.2,
            "battery_soc": 64,
            "pv_power": 857,
            "battery_power": 1000,
            "battery_current": 20.0,
            "serial_number": "2103045678",
        },
    ),
    Case(
        "deye_hybrid_hv",
        {
            HOLDING: {
                0: (0x0006,),
                500: (2,),
                522: (500, 0),
                534: (1234, 0),
                587: (4012, 64, 0, 0xFF9C, 0xFF06),  # 401.2 V, -1000 W out, -2.50 A
                598: (2311, 2312, 2313),
                609: (5002,),
                622: (100, 0xFF38, 50, 0),
                633: (300, 350, 250, 0),
                650: (15_000, 12_000, 14_000, 0xA028),  # 41 kW: too much for one signed word
                672: (80, 5, 0, 0, 6201, 25, 0, 0),
            }
        },
        {
            "status": "normal",
            "grid_import_energy": 50_000,
            "pv_energy_total": 123_400,
            "battery_voltage": 401.2,
            "battery_soc": 64,
            "battery_power": 1000,
            "battery_current": 2.5,
            "voltage_l3": 231.3,
            "frequency": 50.02,
            "grid_power": -50,
            "power": 900,
            "load_power": 41_000,
            "pv_power": 850,
            "pv_voltage_1": 620.1,
        },
    ),
    Case(
        "deye_string",
        {
            HOLDING: {
                0: (0x0004, 1, 0x0104, *ascii_words("2106234258", 5)),
                59: (2, 12, 0, 0, 0x1388, 0x0001),
                73: (2301, 0, 0, 35, 0, 0, 5001),
                86: (7921, 0),
                109: (345, 112, 341, 110, 0, 0, 342, 3),
            }
        },
        {
            "status": "normal",
            "energy_today": 1200,
            "energy_total": 7_053_600,
            "voltage_l1": 230.1,
            "current_l1": 3.5,
            "frequency": 50.01,
            "power": 792,
            "pv_voltage_1": 34.5,
            "pv_current_1": 11.2,
            "pv_power_1": 386,  # 386.4
            "pv_voltage_2": 34.1,
            "pv_power_2": 375,  # 375.1
            "pv_voltage_3": None,
            "pv_voltage_4": 34.2,
            "serial_number": "2106234258",
        },
    ),
    Case(
        "sdm120",
        {
            HOLDING: {64512: (0x0134, 0x5678, 0x0020)},
            INPUT: {
                0: (0x4366, 0x3333),  # 230.2
                6: (0x3F9D, 0x70A4),  # 1.23
                12: (0xC2C8, 0x0000),  # -100
                18: (0x438D, 0x8000),  # 283
                24: (0xC18C, 0x0000),  # -17.5
                70: (0x4247, 0xF5C3, 0x42F6, 0xE979, 0x3A83, 0x126F),  # 49.99, 123.456 kWh, 0.001 kWh
            },
        },
        {
            "voltage": 230.2,
            "current": 1.23,
            "grid_power": -100,
            "apparent_power": 283,
            "reactive_power": -18,
            "frequency": 49.99,
            "grid_import_energy": 123_456,
            "grid_export_energy": 1,
            "serial_number": "20207224",
        },
    ),
    Case(
        "sdm72",
        {
            HOLDING: {64512: (0x0134, 0x5678, 0x0084)},
            INPUT: {52: (0xC396, 0x0000), 72: (0x42F6, 0xE979, 0x0000, 0x0000)},
        },
        {
            "grid_power": -300,
            "grid_import_energy": 123_456,
            "grid_export_energy": 0,
            "serial_number": "20207224",
        },
    ),
    Case(
        "dtsu666",
        {
            HOLDING: {
                6: (40, 10),  # 200 A to 5 A; no voltage transformers
                0x2006: floats(2301, 2299.5, 0, 1234, -500, 0, -12_345, 6170.5, -2500, 0),
                0x2044: f32(5001),
                0x101E: f32(123.45),
                0x1028: f32(0.5),
            }
        },
        {
            "current_ratio": 40,
            "voltage_ratio": 1.0,
            "voltage_l1": 230.1,
            "voltage_l2": 230.0,  # 229.95, half to even
            "voltage_l3": 0.0,
            "current_l1": 49.36,
            "current_l2": -20.0,
            "grid_power": -49_380,
            "grid_power_l1": 24_682,
            "grid_power_l2": -10_000,
            "grid_power_l3": 0,
            "frequency": 50.01,
            "grid_import_energy": 4_938_000,
            "grid_export_energy": 20_000,
        },
        "Chint Chint DTSU666 meter, three phases",
    ),
    Case(
        "growatt_3000",
        {
            HOLDING: {23: ascii_words("JPG1234567", 5)},
            INPUT: {
                3000: (0x0601, 0, 41_235, 3500, 35, 0, 0, 3400, 30),
                3023: (0, 12_000, 5000, 2301, 52),
                3030: (0,),
                3034: (0,),
                3041: (0, 0, 0, 3000, 0, 9000),
                3049: (0, 85, 0, 23_456, 1, 0),
                3067: (0, 12, 0, 111, 0, 34, 0, 222),
                3093: (0xFFCE,),
                3125: (0, 5, 0, 600, 0, 7, 0, 800),
                3169: (40_210, 0, 88),
                3178: (0, 25_000, 0, 0),
            },
        },
        {
            "status": "normal",  # its high byte is something else
            "pv_power": 4124,  # 4123.5, half to even
            "pv_voltage_1": 350.0,
            "pv_current_1": 3.5,
            "pv_voltage_2": 340.0,
            "power": 1200,
            "frequency": 50.0,
            "voltage_l1": 230.1,
            "voltage_l2": None,
            "current_l1": 5.2,
            "grid_power": -300,
            "load_power": 900,
            "energy_today": 8500,
            "energy_total": 2_345_600,
            "pv_energy_total": 6_553_600,
            "grid_import_energy_today": 1200,
            "grid_import_energy": 11_100,
            "grid_export_energy_today": 3400,
            "grid_export_energy": 22_200,
            "temperature": -5.0,
            "battery_discharge_energy_today": 500,
            "battery_discharge_energy": 60_000,
            "battery_charge_energy_today": 700,
            "battery_charge_energy": 80_000,
            "battery_voltage": 402.1,
            "battery_soc": 88,
            "battery_power": -2500,
            "serial_number": "JPG1234567",
        },
    ),
    Case(
        "renogy_rover",
        {
            HOLDING: {
                0x000C: ascii_words("    RNG-CTRL-RVR", 8),
                0x0018: (0x0015, 0x0501),
                # 25 °C in the charger, -7 °C at the battery: a sign bit and the amount.
                0x0100: (99, 131, 568, 0x1987, 130, 45, 5, 184, 412, 75, 1),
                0x0113: (523, 13),
                0x011C: (0x0002, 0x738C, 0, 4711),
                0x0120: (0xE404,),
                0xE004: (4,),
            }
        },
        {
            "battery_soc": 99,
            "battery_voltage": 13.1,
            "charge_current": 5.68,
            "temperature": 25.0,
            "battery_temperature": -7.0,
            "load_voltage": 13.0,
            "load_current": 0.45,
            "load_power": 5,
            "pv_voltage": 18.4,
            "pv_current": 4.12,
            "pv_power": 75,
            "pv_energy_today": 523,
            "load_energy_today": 13,
            "pv_energy_total": 160_652,
            "load_energy": 4711,
            "load": "ON",
            "charge_state": "boost",
            "battery_type": "lithium",
            "serial_number": "1377537",
        },
        "Renogy RNG-CTRL-RVR",
    ),
    Case(
        "renogy_dcc",
        {
            HOLDING: {
                0x000C: ascii_words("  RBC50D1S-G1", 8),
                0x0100: (87, 133, 2105, 0x8C16, 141, 1502, 211, 205, 333, 68),
                0x0113: (1200,),
                0x011C: (0x0001, 0x0001),
                0x0120: (0x0008,),
            }
        },
        {
            "battery_soc": 87,
            "battery_voltage": 13.3,
            "charge_current": 21.05,
            "temperature": -12.0,
            "battery_temperature": 22.0,
            "alternator_voltage": 14.1,
            "alternator_current": 15.02,
            "alternator_power": 211,
            "pv_voltage": 20.5,
            "pv_current": 3.33,
            "pv_power": 68,
            "energy_today": 1200,
            "energy_total": 65_537,
            "charge_state": "alternator_direct",
        },
        "Renogy RBC50D1S-G1",
    ),
)
