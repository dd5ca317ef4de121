"""A client that may not ask learns it at once, from the broker's own words."""

import pytest

from bus.topics import Topics
from cli.asking import Asker, AskError
from config.model import Broker
from tests.client import Client
from tests.secured import SecuredBroker, open_folder


def test_a_viewer_who_asks_for_a_change_is_told_so_at_once() -> None:
    with open_folder() as folder:
        broker = SecuredBroker(folder, "")
        broker.start()
        service = Client(broker.port, login=broker.login("boondock_statistician"))
        service.publish(Topics().service("statistician"), "online", retain=True)
        user, password = broker.login("viewer")
        settings = Broker(host="127.0.0.1", port=broker.port, username=user, password=password)
        try:
            with Asker(settings) as asker, pytest.raises(AskError, match=r"Not authorized.*allowed to ask"):
                list(asker.pages("undo", {"fix": 1}, dict[str, object]))
        finally:
            service.close()
            broker.stop()
