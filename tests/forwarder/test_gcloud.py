"""Google Pub/Sub, on a twin of its publisher: what a message says, order for each device, every failure."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from config.model import Output
from forwarder.outputs import Place, RefusedError, SendError, Sink, TooLargeError, open_sink
from forwarder.records import Reading, Record, Removed, Sample
from tests.clock import NOON_MS
from tests.forwarder.google_client import on_path
from tests.forwarder.signed_rig import hour, soc
from tests.ports import free_port

if TYPE_CHECKING:
    from tests.emulators.pubsub import PubSub

pytestmark = pytest.mark.gcloud
VARIABLES = ("PUBSUB_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT")
PEM = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture(scope="module", autouse=True)
def client() -> None:
    on_path()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    # Else it asks for the machine's own login, and for a server that only Google's machines have.
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[bytes, bytes]]:
    """One for all tests: gRPC reads the certificates that it trusts once a process."""
    made = certificate()
    roots = tmp_path_factory.mktemp("tls") / "roots.pem"
    roots.write_bytes(made[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", str(roots))
        yield made


@pytest.fixture
def cloud() -> Iterator["PubSub"]:
    from tests.emulators.pubsub import PubSub  # noqa: PLC0415 — once it can be imported

    running = PubSub().start()
    yield running
    running.stop()


def sink(
    port: int,
    *,
    topic: str = "van",
    url: str | None = None,
    timeout: float = 10.0,
    template: str | None = None,
    credentials: str | None = None,
) -> Sink:
    settings = Output(
        kind="gcloud",
        project="my-project",
        topic=topic,
        url=url or f"http://127.0.0.1:{port}",
        timeout=timeout,
        template=template,
        credentials=credentials,
    )
    return open_sink(Place("cloud", settings, Path("/nonexistent")))


def volts(number: int) -> Reading:
    return Reading("mppt.voltage", NOON_MS + 1000 * number, 13.0 + number, "V")


def test_a_message_is_a_record_and_can_be_filtered(cloud: "PubSub") -> None:
    void = Removed("tank.level", "hour", NOON_MS, NOON_MS + 5)
    records: list[Record] = [soc(0, 97.5), hour(0), void, Sample(NOON_MS, {"a.b": 1.0})]
    sink(cloud.port).send(records)
    assert [json.loads(one.data) for one in cloud.taken[:3]] == [one.body() for one in records[:3]]
    assert [one.attributes for one in cloud.taken] == [
        {"device": "smartshunt", "entity": "smartshunt.soc", "key": records[0].key},
        {"device": "smartshunt", "entity": "smartshunt.soc", "key": records[1].key},
        {"device": "tank", "entity": "tank.level", "key": void.key},
        {"key": records[3].key},
    ]
    assert [one.order for one in cloud.taken] == ["smartshunt", "smartshunt", "tank", "cloud"]


def test_a_template_makes_the_text(cloud: "PubSub") -> None:
    sink(cloud.port, template="{device} {value}").send([soc(5)])
    assert cloud.taken[0].data == b"smartshunt 5"


def test_each_device_is_in_order_and_has_requests_of_its_own(cloud: "PubSub") -> None:
    to = sink(cloud.port)
    for first in range(0, 40, 10):
        to.send([one for number in range(first, first + 10) for one in (soc(number), volts(number))])
    assert cloud.requests == ["smartshunt", "mppt"] * 4
    for name in ("smartshunt", "mppt"):
        times = [json.loads(one.data)["ts"] for one in cloud.taken if one.order == name]
        assert len(times) == 40
        assert times == sorted(times)


def test_a_thousand_records_go_at_once(cloud: "PubSub") -> None:
    sink(cloud.port).send([soc(number) for number in range(1000)])
    assert len(cloud.taken) == 1000
    assert len(cloud.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        ("NOT_FOUND", RefusedError, "there is no such topic; next: check project and topic"),
        ("PERMISSION_DENIED", RefusedError, "no right to it; next: give their account the role"),
        ("UNAUTHENTICATED", RefusedError, "not accepted; next: check their file, and this machine's clock"),
        ("INVALID_ARGUMENT", RefusedError, "does not take this record; next: look at the schema"),
        ("FAILED_PRECONDITION", RefusedError, "takes nothing as it is set up; next: look at it"),
        ("UNIMPLEMENTED", RefusedError, "no server of Pub/Sub; next: check url"),
        ("UNAVAILABLE", SendError, "cannot be reached, or is busy: is there Internet?"),
        ("RESOURCE_EXHAUSTED", SendError, "has trouble; it is sent again later"),
        ("INTERNAL", SendError, "has trouble; it is sent again later"),
        ("ABORTED", SendError, "has trouble; it is sent again later"),
        ("UNKNOWN", SendError, "has trouble; it is sent again later"),
        ("CANCELLED", SendError, "has trouble; it is sent again later"),
        ("DEADLINE_EXCEEDED", SendError, "did not answer in 10 s; it is sent again later"),
        ("DATA_LOSS", SendError, "has trouble; it is sent again later"),
        ("OUT_OF_RANGE", SendError, "has trouble; it is sent again later"),
    ],
)
def test_a_failure_is_a_sentence_and_the_next_try_is_good(
    cloud: "PubSub", status: str, kind: type[SendError], said: str
) -> None:
    to = sink(cloud.port)
    cloud.plan = [status]
    with pytest.raises(SendError) as told:
        to.send([soc(0)])
    assert type(told.value) is kind
    assert said in str(told.value)
    assert "\n" not in str(told.value)
    assert cloud.taken == []
    to.send([soc(0)])
    assert len(cloud.taken) == 1


def test_a_failure_at_one_device_sends_what_was_not_taken(cloud: "PubSub") -> None:
    to = sink(cloud.port)
    batch = [soc(0), volts(0), soc(1), volts(1)]
    cloud.plan = ["OK", "UNAVAILABLE"]
    with pytest.raises(SendError):
        to.send(batch)
    to.send([*batch, volts(2)])
    assert cloud.requests == ["smartshunt", "mppt"]
    assert [one.attributes["key"] for one in cloud.taken if one.order == "mppt"] == [
        volts(number).key for number in range(3)
    ]
    # A batch that is the same is another one.
    to.send([soc(0), soc(1)])
    assert cloud.requests == ["smartshunt", "mppt", "smartshunt"]


def test_a_text_without_a_place_for_what_is_void_leaves_it_out(cloud: "PubSub") -> None:
    void = Removed("tank.level", "reading", NOON_MS, NOON_MS + 5)
    sink(cloud.port, template="{value}").send([soc(5), void])
    sink(cloud.port, template="{removed} {entity}").send([void])
    assert [one.data for one in cloud.taken] == [b"5", b"reading tank.level"]


def test_what_was_taken_without_an_answer_comes_again_with_the_same_key(cloud: "PubSub") -> None:
    to = sink(cloud.port)
    cloud.plan = ["lost"]
    with pytest.raises(SendError):
        to.send([soc(0), soc(1)])
    to.send([soc(0), soc(1)])
    keys = [one.attributes["key"] for one in cloud.taken]
    assert keys == [soc(0).key, soc(1).key] * 2


def test_together_too_large_is_another_error_than_one_alone(cloud: "PubSub") -> None:
    to = sink(cloud.port)
    large = [Reading("a.b", NOON_MS + number, "x" * 4_000_000) for number in range(3)]
    with pytest.raises(TooLargeError, match="not taken together"):
        to.send(large)
    to.send(large[:2])
    with pytest.raises(RefusedError, match="does not take this record"):
        to.send([Reading("a.b", NOON_MS, "x" * 11_000_000)])
    assert len(cloud.taken) == 2


def test_a_server_that_reads_less_gets_less() -> None:
    from tests.emulators.pubsub import PubSub  # noqa: PLC0415 — once it can be imported

    cloud = PubSub(most_bytes=10_000).start()
    to = sink(cloud.port)
    with pytest.raises(TooLargeError):
        to.send([soc(number) for number in range(1000)])
    to.send([soc(number) for number in range(10)])
    cloud.stop()
    assert len(cloud.taken) == 10


def test_no_answer_ends_after_the_timeout(cloud: "PubSub") -> None:
    cloud.plan = ["hang"]
    to = sink(cloud.port, timeout=0.3)
    begun = time.monotonic()
    with pytest.raises(SendError, match=r"127\.0\.0\.1:\d+ did not answer in 0\.3 s; it is sent again later"):
        to.send([soc(0)])
    assert time.monotonic() - begun < 5


def test_a_server_that_comes_back_is_used_again() -> None:
    from tests.emulators.pubsub import PubSub  # noqa: PLC0415 — once it can be imported

    port = free_port()
    to = sink(port, timeout=2)
    with pytest.raises(SendError, match=rf"127\.0\.0\.1:{port} cannot be reached"):
        to.send([soc(0)])
    cloud = PubSub(port=port).start()
    until = time.monotonic() + 60
    while not cloud.taken and time.monotonic() < until:
        try:
            to.send([soc(0)])
        except SendError as error:
            last = error
    cloud.stop()
    assert cloud.taken, last


def test_a_topic_that_is_not_there_is_named(cloud: "PubSub") -> None:
    with pytest.raises(RefusedError, match=r"^projects/my-project/topics/other: there is no such topic"):
        sink(cloud.port, topic="other").send([soc(0)])


def test_the_emulator_is_found_as_googles_tools_find_it(
    cloud: "PubSub", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{cloud.port}")
    settings = Output(kind="gcloud", project="my-project", topic="van")
    open_sink(Place("cloud", settings, Path("/nonexistent"))).send([soc(0)])
    assert len(cloud.taken) == 1


def account(key: RSAPrivateKey) -> dict[str, str]:
    """The file of a service account, as the console gives it."""
    return {
        "type": "service_account",
        "project_id": "my-project",
        "private_key_id": "k1",
        "private_key": key.private_bytes(*PEM).decode(),
        "client_email": "van@my-project.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "http://127.0.0.1:9/token",
    }


def certificate() -> tuple[bytes, bytes]:
    """A key and its own certificate for localhost, PEM."""
    key = generate_ec(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    return key.private_bytes(*PEM), made.public_bytes(Encoding.PEM)


@pytest.mark.parametrize("way", ["setting", "environment"])
def test_the_service_account_signs_in(
    tmp_path: Path, tls: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    from tests.emulators.pubsub import PubSub  # noqa: PLC0415 — once it can be imported

    key, file = generate_private_key(65537, 2048), tmp_path / "account.json"
    file.write_text(json.dumps(account(key)))
    if way == "environment":
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    cloud = PubSub().start(tls)
    to = sink(0, url=f"https://localhost:{cloud.port}", credentials=str(file) if way == "setting" else None)
    to.send([soc(0)])
    cloud.stop()
    scheme, _, token = cloud.metadata[0]["authorization"].partition(" ")
    assert scheme == "Bearer"
    options = {"verify_aud": False}
    claims = jwt.decode(token, key.public_key(), algorithms=["RS256"], options=options)  # type: ignore[arg-type]  # its own names
    assert claims["iss"] == claims["sub"] == "van@my-project.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory"),
        ("", "is no file of a service account; next: get one as JSON"),
        ("{}", "is no file of a service account; next: get one as JSON"),
        ("[]", "is no file of a service account; next: get one as JSON"),
        ('{"client_email": 5, "token_uri": 5, "private_key": 5}', "is no file of a service account; next"),
        ('{"type": "authorized_user"}', "is no file of a service account; next: get one as JSON"),
        (
            '{"type": "service_account", "client_email": "a", "token_uri": "b", "private_key": "c"}',
            "is no file of a service account; next: get one as JSON",
        ),
    ],
)
def test_credentials_that_cannot_be_used_are_told(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "account.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(RefusedError, match=said) as told:
        sink(0, url="https://localhost:1", credentials=str(file))
    assert str(file) in str(told.value)


def test_without_any_credentials_it_says_so() -> None:
    with pytest.raises(RefusedError, match="there are no credentials for Google Cloud; next: write the file"):
        sink(0, url="https://localhost:1")
