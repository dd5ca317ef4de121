"""`boondock dump`: no secret of settings, secret files, the environment or the broker is in it."""

import gzip
from pathlib import Path

import pytest

from cli import dump
from tests import command
from tests.secured import SecuredBroker, open_folder

KEY, ID, WORD = "0123456789abcdef0123456789abcdef", "0000000011112222", "hunter2hunter2"
TOML = f"""
[broker]
port = %d
username = "operator"
password = "{WORD}" # not "{WORD}-old"
[device.shunt]
kind = "victron_battery_monitor"
address = "C0:11:22:33:44:55"
key = '{KEY}'
# key = "aaaabbbbccccddddeeeeffff00001111"
[device.meter]
kind = "route_b_meter"
port = "/dev/ttyUSB0"
"route_b_id" = "{ID}"
route_b_password = \"\"\"
{WORD}-third
\"\"\"
[device]
inline = {{ kind = "x", key = "short-key", name = "kept" }}
[forward.hook]
url = "https://me:in-the-url@example.org/x"
token=bare-token
"""
SECRETS = (
    *(KEY, KEY.upper(), ID, WORD, f"{WORD}-old", f"{WORD}-third", "aaaabbbbccccddddeeeeffff00001111"),
    *("short-key", "in-the-url", "bare-token", "from-a-file", "from-the-environment"),
)


def written(folder: Path, target: Path, **variables: str) -> bytes:
    """All bytes of a bundle, unpacked."""
    variables = {"BOONDOCK_CONFIG": str(folder / "boondock.toml")} | variables
    done = command.boondock(folder, "dump", "-o", str(target), **variables)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return gzip.decompress(target.read_bytes())


def test_no_secret_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "boondock.toml").write_text(TOML % 1)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "device__second__key").write_text("from-a-file\n")
    found = written(
        tmp_path,
        tmp_path / "x.tar.gz",
        BOONDOCK_SECRETS=str(tmp_path / "secrets"),
        BOONDOCK_BROKER__PASSWORD="from-the-environment",  # noqa: S106 — it must not show
    )
    assert {secret for secret in SECRETS if secret.encode() in found} == set()
    for harmless in (b"C0:11:22:33:44:55", b"/dev/ttyUSB0", b'name = "kept"', b"example.org", b"operator"):
        assert harmless in found


def test_no_password_of_the_broker_is_in_it() -> None:
    with open_folder() as folder:
        broker = SecuredBroker(folder, "")
        broker.start()
        user, password = broker.login("admin")
        (folder / "boondock.toml").write_text(
            f"[broker]\nport = {broker.port}\nusername = '{user}'\npassword = '{password}'\n"
        )
        # Somebody who puts one where it does not belong.
        others = [path.read_text().strip() for path in broker.secrets.iterdir()]
        (folder / "boondock.toml").open("a").write("".join(f"# {one}\n" for one in others))
        try:
            found = written(folder, folder / "x.tar.gz")
        finally:
            broker.stop()
    assert len(others) > 5
    assert [one for one in (*others, password) if one.encode() in found] == []
    assert b"camper" not in found or b"health" in found


@pytest.mark.parametrize(
    "text",
    [
        'password = "%s"',
        "password='%s'",
        "password: %s",
        '{"password":"%s"}',
        'broker__password="%s"',
        'api_token = "%s" # x',
        "mqtt://user:%s@van.local:1883",
        'url = "ntfy://%s"',
        "# url='tgram://123:%s/42'",
        '{ name = "phone", url = "ntfys://%s@ntfy.example.org/van" }',
        'url = "https://hooks.example.org/%s"',
        "url = https://%s@example.org/x",
        "-----BEGIN EC PRIVATE KEY-----\n%s\n-----END EC PRIVATE KEY-----",
        "the statistician said: key %s" % ("ab12" * 8),
    ],
)
def test_what_looks_like_a_secret_is_taken_out_wherever_it_stands(text: str) -> None:
    secret = "s3cr3t-word"  # noqa: S105 — it must not show
    shown = dump.Cleaner(set()).clean(text % secret if "%s" in text else text)
    assert secret not in shown
    assert "ab12ab12" not in shown


def test_what_is_known_is_taken_out_though_one_is_part_of_another() -> None:
    cleaned = dump.Cleaner({"abcd", "abcdefgh", "x"}).clean("abcdefgh abcd x")
    assert cleaned == "(taken out) (taken out) x"
