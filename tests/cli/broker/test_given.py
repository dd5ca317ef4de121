"""[lan] with a certificate of somebody else's: copied for the broker, or refused in words."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.broker.certificates import Given
from tests.cli.test_check import boondock
from tests.lan import ADDRESS, OTHER, Lan, openssl
from tests.secured import SecuredBroker, boondock_broker, open_folder

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


class Issuer:
    """An authority that phones know, and what it hands out: fullchain.pem and privkey.pem."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.chain, self.key, self.root = (
            folder / "fullchain.pem",
            folder / "privkey.pem",
            folder / "root.crt",
        )
        asked = ("req", "-x509", *CURVE, "-nodes", "-subj", "/CN=Issuer", "-days", "900")
        openssl(folder, *asked, "-keyout", "root.key", "-out", "root.crt")

    def issue(
        self,
        names: str = "DNS:van.example,DNS:*.van.example",
        *,
        days: int = 90,
        key: tuple[str, ...] = CURVE,
        purpose: str = "serverAuth",
        lock: tuple[str, ...] = ("-nodes",),
    ) -> None:
        """Make both files anew."""
        openssl(
            self.folder, "req", "-new", *key, *lock, "-subj", "/CN=van.example",
            "-keyout", "privkey.pem", "-out", "csr",
        )  # fmt: skip
        ext = f"subjectAltName={names}\nextendedKeyUsage={purpose}\nbasicConstraints=CA:FALSE\n"
        (self.folder / "ext").write_text(ext)
        signing = ("-CA", "root.crt", "-CAkey", "root.key", "-set_serial", "9", "-extfile", "ext")
        leaf = openssl(self.folder, "x509", "-req", "-in", "csr", "-days", str(days), *signing)
        self.chain.write_text(leaf + self.root.read_text())

    @property
    def settings(self) -> str:
        """For the table [lan]."""
        return f"certificate = '{self.chain}'\nprivate_key = '{self.key}'\n"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with open_folder() as folder:
        made = Issuer(folder)
        made.issue()
        yield made


@pytest.fixture
def lan(issuer: Issuer) -> Iterator[Lan]:
    with open_folder() as folder:
        made = Lan(folder, names="['van.example']", more=issuer.settings)
        made.ca = issuer.root
        made.start()
        yield made
        made.broker.stop()


def test_phones_that_know_the_issuer_need_nothing_else(lan: Lan) -> None:
    lan.handshake("van.example").close()
    lan.handshake("page.van.example").close()
    said = lan.broker.setup("--show", "viewer").stdout
    assert f"mqtts://van.example:{lan.port}\n" in said
    assert "ca_sha256" not in said
    assert "authority" not in said
    assert not (lan.broker.out / "ca.crt").exists(), "the house needs no authority of its own"
    assert (lan.broker.out / "server.pem").stat().st_mode & 0o777 == 0o600
    assert "Nothing changed" in lan.broker.setup().stdout


def test_a_renewed_one_is_taken_by_the_same_command(lan: Lan, issuer: Issuer) -> None:
    before = openssl(issuer.folder, "pkey", "-pubout", "-in", "privkey.pem")
    issuer.issue()
    assert "a copy of" in lan.broker.setup("--dry-run").stdout
    said = lan.broker.setup("--reload").stdout
    assert f"Port {lan.websockets} has the new certificate after systemctl restart" in said
    for _ in range(100):
        with lan.handshake("van.example") as sock:
            der = sock.getpeercert(binary_form=True)
        assert der is not None
        pem = ssl.DER_cert_to_PEM_cert(der)
        if (now := openssl(issuer.folder, "x509", "-noout", "-pubkey", given=pem)) != before:
            break
    assert now == openssl(issuer.folder, "pkey", "-pubout", "-in", "privkey.pem")


WRONG = {
    "other key": "is not the key of",
    "ended": "has ended on",
    "locked": "holds no key without a passphrase",
    "no key": "holds no key without a passphrase",
    "no certificate": "holds no certificate in PEM",
    "missing": "cannot be read: No such file",
    "other name": "lan.names: van.example is not in lan.certificate, which is for boat.example, 10.1.1.1",
    "weak": "OpenSSL refuses it: EE_KEY_TOO_SMALL",
    "client": "it is not for a server",
}


def spoil(issuer: Issuer, what: str) -> None:
    """Make the files of no use in one way."""
    if what == "other key":
        openssl(issuer.folder, "genpkey", "-algorithm", "ed25519", "-out", "privkey.pem")
    elif what == "ended":
        issuer.issue(days=-1)
    elif what == "locked":
        issuer.issue(lock=("-passout", "pass:secret"))
    elif what == "no key":
        issuer.key.write_text("nothing")
    elif what == "no certificate":
        issuer.chain.write_text("nothing")
    elif what == "missing":
        issuer.key.unlink()
    elif what == "other name":
        issuer.issue("DNS:boat.example,IP:10.1.1.1")
    elif what == "weak":
        issuer.issue(key=("-newkey", "rsa:1024"))
    else:
        issuer.issue(purpose="clientAuth")


@pytest.mark.parametrize("what", WRONG)
def test_what_is_of_no_use_is_refused_in_words_and_the_old_one_stays(
    tmp_path: Path, issuer: Issuer, what: str
) -> None:
    names = "names = ['van.example']\n"
    config, out = tmp_path / "boondock.toml", tmp_path / "out"
    config.write_text(f"[lan]\nlisten = ['{ADDRESS}']\n{names}{issuer.settings}")
    places = (config, out, tmp_path / "secrets")
    assert boondock_broker(*places).returncode == 0
    pem = (out / "server.pem").read_bytes()
    spoil(issuer, what)
    with config.open("a") as file:
        file.write("[user.anna]\nrole = 'viewer'\n")
    done = boondock_broker(*places)
    assert (done.returncode, WRONG[what] in done.stderr) == (1, True), done.stderr
    assert "the broker keeps the certificate it has" in done.stderr
    assert (out / "server.pem").read_bytes() == pem
    assert "anna" in (out / "passwords").read_text(), "all else is done"
    (out / "server.pem").unlink()
    done = boondock_broker(*places)
    assert (done.returncode, WRONG[what] in done.stderr) == (1, True), done.stderr
    assert not (out / "server.pem").exists()


def test_a_certificate_of_the_future_tells_of_the_clock(issuer: Issuer, tmp_path: Path) -> None:
    asked = (
        "ca",
        "-batch",
        "-config",
        "ca.cnf",
        "-startdate",
        "20990101000000Z",
        "-enddate",
        "20990201000000Z",
    )
    (issuer.folder / "ca.cnf").write_text(
        "[ca]\ndefault_ca=a\n[a]\nnew_certs_dir=.\nserial=serial\ndatabase=index\npolicy=p\nx509_extensions=x\n"
        "[p]\ncommonName=supplied\n[x]\nsubjectAltName=DNS:van.example\n"
    )
    (issuer.folder / "index").touch()
    signing = ("-cert", "root.crt", "-keyfile", "root.key", "-create_serial", "-md", "sha256", "-notext")
    openssl(issuer.folder, *asked, *signing, "-in", "csr", "-out", "fullchain.pem")
    wrong = Given(tmp_path, issuer.chain, issuer.key).wrong()
    assert wrong == "lan.certificate: it begins on 2099-01-01: is the clock of this machine right?"


def test_without_names_it_is_called_as_it_says(issuer: Issuer, tmp_path: Path) -> None:
    given = Given(tmp_path, issuer.chain, issuer.key)
    assert (given.wrong(), list(given.names)) == (None, ["van.example"])
    assert given.make() == [f"a copy of {issuer.chain} and its key"]
    issuer.chain.unlink()
    assert list(given.names) == ["van.example"], "as its copy says"
    issuer.issue("DNS:*.van.example")
    assert given.wrong() == "lan.names is needed: the certificate is for *.van.example; say how to call it"


@pytest.mark.parametrize(
    ("days", "said"),
    [(22, ""), (20, "the broker's certificate ends on "), (-1, "the broker's certificate has ended on ")],
)
def test_check_says_when_the_end_is_near(tmp_path: Path, issuer: Issuer, days: int, said: str) -> None:
    issuer.issue(days=days)
    config = tmp_path / "boondock.toml"
    config.write_text(f"[lan]\nlisten = ['{ADDRESS}']\n{issuer.settings}")
    (tmp_path / "server.pem").write_bytes(issuer.key.read_bytes() + issuer.chain.read_bytes())
    done = boondock("check", "--config", str(config), "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"warning: {said}") if said else not done.stderr, done.stderr
    assert ("renew it where it comes from" in done.stderr) == bool(said)


def test_the_certificate_alone_is_taken_with_a_warning(tmp_path: Path, issuer: Issuer) -> None:
    leaf = issuer.chain.read_text().partition("-----END CERTIFICATE-----\n")
    issuer.chain.write_text(leaf[0] + leaf[1])
    broker = SecuredBroker(tmp_path, f"[lan]\nlisten = ['{OTHER}']\n{issuer.settings}")
    assert "lacks the certificates above it, which phones need: take fullchain.pem" in broker.setup().stderr


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("certificate = '/a'", "lan.private_key: it is missing"),
        ("private_key = '/a'", "lan.certificate: it is missing"),
        ("certificate = 'a'\nprivate_key = '/b'", "lan.certificate: 'a' does not begin with /"),
    ],
)
def test_both_files_are_named_whole(tmp_path: Path, lines: str, said: str) -> None:
    config = tmp_path / "boondock.toml"
    config.write_text(f"[lan]\nlisten = ['{ADDRESS}']\n{lines}\n")
    done = boondock("check", "--config", str(config))
    assert (done.returncode, said in done.stderr) == (78, True), done.stderr
