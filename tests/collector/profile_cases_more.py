"""The second half of profile_cases.py."""

from tests.collector.profile_cases import HOLDING, INPUT, Case, ascii_words

MORE_CASES = (
    Case(
        "fronius",
        {
            HOLDING: {
                40020: ascii_words("Symo 6.0-3-M", 16),
                40071: (0x4120, 0x0000),  # 10.0
                40085: (0x4366, 0x4000),  # 230.25
                40091: (0x44FA, 0x2000),  # 2001.0
                40093: (0x4248, 0x051F),  # 50.005
                40101: (0x4B18, 0x9680),  # 10 000 000
                40107: (0x7FC0, 0x0000),  # NaN
                40117: (4,),
            }
        },
        {
            "current": 10.0,
            "voltage_l1": 230.2,
            "power": 2001,
            "frequency": 50.0,
            "energy_total": 10_000_000,
            "dc_power": None,
            "status": "producing",
        },
        "Fronius Symo 6.0-3-M",
    ),
    Case(
        "fronius_sf",
        {
            HOLDING: {
                40071: (100, 0, 0, 0, 0xFFFF),
                40083: (500, 1),
                40085: (4999, 0xFFFE),
                40093: (0, 7, 0x0003),
                40107: (9,),
            }
        },
        {"current": 10.0, "power": 5000, "frequency": 49.99, "energy_total": 7000, "status": None},
    ),
    Case(
        "solis",
        {
            INPUT: {
                3004: (0, 3500, 0, 3600, 0, 12345),
                3014: (156,),
                3021: (3502, 51, 0, 0),
                3033: (2305,),
                3041: (0xFFE2, 5003, 3),
                3262: (0xFFFF, 0xFF38),
                3282: (0, 4567),
            }
        },
        {
            "power": 3500,
            "pv_power": 3600,
            "energy_total": 12_345_000,
            "energy_today": 15_600,
            "pv_voltage_1": 350.2,
            "pv_current_1": 5.1,
            "voltage_l1": 230.5,
            "temperature": -3.0,
            "frequency": 50.03,
            "status": "generating",
            "grid_power": 200,
            "grid_import_energy": 45_670,
        },
    ),
    Case(
        "solis_hybrid",
        {
            INPUT: {
                33029: (0, 1234, 0, 0, 0, 0, 87),
                33049: (3100, 20, 3000, 21),
                33057: (0, 1250),
                33073: (2299,),
                33079: (0xFFFF, 0xFF9C),
                33093: (312, 5000),
                33133: (512, 100, 1),
                33139: (55, 98),
                33147: (700,),
                33149: (0, 512),
                33161: (0, 11, 22, 0, 0, 33, 44, 0, 0, 55, 66, 0, 0, 77, 88),
                33263: (0, 900),
            }
        },
        {
            "pv_energy_total": 1_234_000,
            "pv_energy_today": 8700,
            "pv_voltage_2": 300.0,
            "pv_power": 1250,
            "power": -100,
            "temperature": 31.2,
            "battery_voltage": 51.2,
            "battery_current": -10.0,
            "battery_soc": 55,
            "battery_power": -512,
            "battery_charge_energy": 11_000,
            "battery_charge_energy_today": 2200,
            "battery_discharge_energy": 33_000,
            "grid_import_energy_today": 6600,
            "grid_export_energy": 77_000,
            "grid_export_energy_today": 8800,
            "grid_power": -900,
        },
    ),
    Case(
        "solax",
        {
            HOLDING: {0: ascii_words("H4372AI1234567", 7)},
            INPUT: {
                3: (3001, 2999, 15, 16, 4999, 38),
                10: (450, 480),
                20: (0x0A6E, 0xFFF6, 0xFF06, 0, 0xFFFD),  # 267.0 V, -1.0 A, -250 W, -3 °C
                28: (76,),
                70: (0x0064, 0x0000),  # low word first: 100 W to the grid
                148: (0x0001, 0x0001),
            },
        },
        {
            "pv_voltage_1": 300.1,
            "pv_current_2": 1.6,
            "frequency": 49.99,
            "temperature": 38,
            "pv_power": 930,
            "battery_voltage": 267.0,
            "battery_current": -1.0,
            "battery_power": -250,
            "battery_temperature": -3,
            "battery_soc": 76,
            "grid_power": -100,
            "pv_energy_total": 6_553_700,
            "serial_number": "H4372AI1234567",
        },
    ),
    Case(
        "goodwe",
        {
            HOLDING: {
                35003: ascii_words("9010KETU21BW1234", 8),
                35011: ascii_words("GW10K-ET", 5),
                35103: (3500, 20, 0, 700, 3400, 10, 0, 340, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF),
                35115: (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF),
                35121: (2301, 15, 5000),
                35176: (0xFFFF,),
                35180: (4103, 0xFFF6, 0xFFFF, 0xFE66),  # -1.0 A and -410 W: into the battery
                35191: (0, 1000, 0, 50),
                35206: (0, 300),
                35209: (0, 200),
                36015: (0x4995, 0x1A00, 0x48F4, 0x2400),  # 1 221 440 Wh, 500 000 Wh
                36025: (0xFFFF, 0xFF9C),
                37003: (253,),
                37007: (64, 100),
            }
        },
        {
            "pv_voltage_1": 350.0,
            "pv_power": 1040,
            "voltage_l1": 230.1,
            "frequency": 50.0,
            "temperature": -0.1,
            "battery_voltage": 410.3,
            "battery_current": 1.0,
            "battery_power": 410,
            "pv_energy_total": 100_000,
            "pv_energy_today": 5000,
            "battery_charge_energy": 30_000,
            "battery_discharge_energy": 20_000,
            "grid_export_energy": 1_221_440,
            "grid_import_energy": 500_000,
            "grid_power": 100,
            "battery_temperature": 25.3,
            "battery_soc": 64,
            "battery_soh": 100,
            "serial_number": "9010KETU21BW1234",
        },
        "GoodWe GW10K-ET",
    ),
    Case(
        "sofar",
        {
            HOLDING: {
                0x0404: (2,),
                0x0445: ascii_words("SP1ES120N12345", 8),
                0x0484: (5001, 0xFF9C, 0, 0, 150),
                0x048D: (2300, 521),
                0x0584: (4501, 333, 150, 4400, 222, 98),
                0x0604: (4980, 0xFE0C, 0xFF06, 0xFFFE, 45, 99),
                0x0684: (0, 1234, 0, 5678),
                0x068E: (0, 10),
                0x0692: (0, 20),
                0x0696: (0, 30),
                0x069A: (0, 40),
            }
        },
        {
            "status": "on_grid",
            "frequency": 50.01,
            "power": -1000,
            "grid_power": -1500,
            "current_l1": 5.21,
            "pv_power_1": 1500,
            "pv_power": 2480,
            "battery_voltage": 498.0,
            "battery_current": -5.0,
            "battery_power": -2500,
            "battery_temperature": -2,
            "battery_soc": 45,
            "pv_energy_today": 12_340,
            "pv_energy_total": 567_800,
            "grid_import_energy": 1000,
            "grid_export_energy": 2000,
            "battery_charge_energy": 3000,
            "battery_discharge_energy": 4000,
            "serial_number": "SP1ES120N12345",
        },
    ),
    Case(
        "ferroamp",
        {
            INPUT: {
                2016: (0x0000, 0x4248),  # low word first: 50.0
                2032: (0x0000, 0x4366),
                2036: (0x0000, 0x4366),
                2040: (0x0000, 0x4366),
                3064: (0x2000, 0x447A),  # 1000.5 kWh
                3068: (0x0000, 0x3F80),
                3100: (0x0000, 0xBFC0),  # -1.5 kW
                5064: (0x0000, 0x4000),
                5100: (0x0000, 0x4020),  # 2.5 kW
                6016: (0x0000, 0x4296),  # 75.0
                6100: (0x0000, 0xBF80),  # -1 kW: charging
            }
        },
        {
            "frequency": 50.0,
            "voltage_l1": 230.0,
            "grid_power": -1500,
            "grid_export_energy": 1_000_500,
            "grid_import_energy": 1000,
            "pv_power": 2500,
            "pv_energy_total": 2000,
            "battery_power": 1000,
            "battery_soc": 75.0,
        },
    ),
    Case(
        "sdm630",
        {
            HOLDING: {64512: (0x0134, 0x5678, 0x0070)},
            INPUT: {
                0: (0x4366, 0x3333),  # 230.2
                6: (0x3F9D, 0x70A4),  # 1.23
                12: (0xC2C8, 0x0000),  # -100
                52: (0xC396, 0x0000),  # -300
                70: (0x4247, 0xF5C3),  # 49.99
                72: (0x42F6, 0xE979),  # 123.456 kWh
                74: (0x3A83, 0x126F),  # 0.001 kWh
            },
        },
        {
            "voltage_l1": 230.2,
            "current_l1": 1.23,
            "grid_power_l1": -100,
            "grid_power": -300,
            "frequency": 49.99,
            "grid_import_energy": 123_456,
            "grid_export_energy": 1,
            "serial_number": "20207224",
        },
    ),
    Case(
        "lqt40s",
        {INPUT: {0: (0x4248, 0x0000), 24: (0xC47A, 0x0000)}},
        {"frequency": 50.0, "active_power": -1000},
    ),
    Case(
        "epever_tracer",
        {
            1: {2: (1,)},
            HOLDING: {0x903D: (1,)},
            INPUT: {
                # 17.50 V, 6.86 A, 120.05 W; 13.20 V, 9.09 A, 120.00 W
                0x3100: (1750, 686, 12_005, 0, 1320, 909, 12_000, 0),
                0x310C: (1320, 200, 2640, 0, 0xFC18, 2889, 2889),
                0x311A: (70,),
                0x3200: (0x0010, 0x4009),
                0x331B: (0xFDA8, 0xFFFF),  # -6.00 A
            },
        },
        {
            "pv_voltage": 17.5,
            "pv_power": 120.05,
            "voltage": 13.2,
            "load_power": 26.4,
            "battery_temperature": -10.0,
            "soc": 70,
            "battery_status": "normal",
            "battery_temperature_status": "high",
            "running": "ON",
            "fault": "OFF",
            "charge_state": "boost",
            "pv_status": "no_power",
            "load": "ON",
            "load_mode": "light",
            "current": -6.0,
            "power": -79.2,
            "pv_energy_total": None,
        },
        "Epever Epever Tracer charge controller over RS485",
    ),
)
