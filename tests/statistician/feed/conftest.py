"""What holds for all tests of the change feed."""

from pathlib import Path

import pytest

from config.model import Statistician as Settings
from tests.statistician.rig import AskingRig


@pytest.fixture
def rig(tmp_path: Path) -> AskingRig:
    made = AskingRig(tmp_path / "s.db", settings=Settings(keep_days=2))
    made.about("van", volt="measurement", total="total_increasing")
    return made
