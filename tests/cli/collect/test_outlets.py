"""What waits for an output that takes nothing is bounded, and told."""

import logging
from pathlib import Path

import pytest

from cli.collect import outlets
from cli.collect.outlets import Outlet
from config.model import Output
from forwarder.records import Sample
from tests.ports import free_port


def test_beyond_a_bound_the_oldest_are_dropped_and_all_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outlets, "MOST", 3)
    url = f"http://127.0.0.1:{free_port()}/"
    settings = Output(kind="webhook", url=url, records=("samples",), format="json")
    with caplog.at_level(logging.INFO, "cli.collect"):
        outlet = Outlet("webhook", settings, tmp_path, lambda: None)
        for ts in range(5):
            outlet.put(Sample(ts, {"soc": 50.0}))
        assert outlet.finish(20) == 5
    assert outlet.lost == 2
    assert [record.ts for record in outlet._waiting] == [2, 3, 4]
    told = [record.getMessage() for record in caplog.records]
    assert "webhook: more than 3 records wait: the oldest are dropped" in told
    assert told[-1] == "webhook: 5 records were not taken"
