"""docs/devices.md says what the code does."""

from collector.devices import KINDS
from config.model import Device
from scripts import devices


def test_the_page_is_the_one_that_the_code_makes() -> None:
    assert devices.PAGE.read_text(encoding="utf-8") == devices.page(), "run: python -m scripts.devices"


def test_every_setting_of_a_kind_exists_and_is_explained() -> None:
    for kind in KINDS.values():
        for key in (*kind.needs, *kind.takes):
            assert key in Device.__dataclass_fields__, (
                f"{kind.name}: {key} is no field of Device (config/model.py)"
            )
            assert key in devices.SETTINGS, f"{kind.name}: explain {key} in SETTINGS of scripts/devices.py"


def test_every_kind_names_its_source_and_what_it_was_tested_on() -> None:
    for kind in KINDS.values():
        assert len(kind.source) > 10, f"{kind.name}: `source` says where its protocol was read"
        assert kind.tested, f"{kind.name}: `tested` says what its decoding was tested against"
