"""`boondock phone`."""

import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from cli import page, terminal
from cli.broker import Vault, files, secret_of, setup
from cli.broker.certificates import Papers
from cli.configure import Answered, Target, read, refuse_wrong, with_table, without_table, write
from cli.house import CREDENTIALS, Config, Json, load_settings
from cli.install import System, main
from cli.install.kinds import id_for
from cli.terminal import CommandError, Report
from config.addresses import page_address
from config.model import Settings

Role = Literal["viewer", "operator"]
PREFIX = "phone_"
_OPEN = "next: sudo boondock configure page"
_OWN = (
    "Trust this house, once a phone; its certificate is from an authority of your own:",
    "  open {ca} on the phone. Compare the fingerprint at the end, if you are not alone on this Wi-Fi.",
    "  iPhone:  Allow; then Settings, General, VPN & Device Management, Boondock, Install;",
    "           then Settings, General, About, Certificate Trust Settings: switch Boondock on.",
    "  Android: Settings, Security, More security settings, Encryption & credentials, Install a certificate,",
    "           CA certificate, Install anyway: choose ca.crt. The words differ from phone to phone:",
    "           search the settings for CA certificate.",
)


def phone(
    name: Annotated[str | None, Argument(help="Whose phone it is; asked for if it is not said.")] = None,
    *,
    role: Annotated[
        Role | None, Option(help="viewer may look, operator may also switch; default for a new one.")
    ] = None,
    revoke: Annotated[
        str | None, Option(metavar="NAME", help="End the login of a phone: it is out at once.")
    ] = None,
    list_: Annotated[bool, Option("--list", help="Only list the phones that have a login.")] = False,
    out: Annotated[Path, Option(metavar="FOLDER", help="Where `boondock broker` writes.")] = setup.OUT,
    secrets: Annotated[Path, Option(metavar="FOLDER", help="Where the passwords are.")] = CREDENTIALS,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Let a phone in: make a user of its own, and print a QR code that opens the page and logs in."""
    settings = load_settings(config)
    phones = {
        user.removeprefix(PREFIX): one.role for user, one in settings.user.items() if user.startswith(PREFIX)
    }
    if list_:
        lines = [f"{one}  {what}" for one, what in sorted(phones.items())] or ["No phone has a login."]
        terminal.show({"phones": phones}, lines, as_json=as_json)
        return
    _refuse_closed(settings)
    house = _House(Target.of(config, System()), out.absolute(), Vault(secrets.absolute()))
    if house.target.release is not None:
        main.need_root("phone")
    if revoke is not None:
        if (known := _id(revoke)) not in phones:
            raise CommandError(
                f"there is no phone {revoke}; there are: {', '.join(sorted(phones)) or 'none'}"
            )
        house.change(f"user.{PREFIX}{known}", None)
        terminal.show(
            {"revoked": known}, [f"{known} is out, and cannot come back with its old login."], as_json=as_json
        )
        return
    known = _id(name or _ask())
    chosen = role or phones.get(known) or "operator"
    if phones.get(known) != chosen:
        house.change(f"user.{PREFIX}{known}", chosen)
    house.show(load_settings(config), PREFIX + known, chosen, as_json=as_json)


def _id(name: str) -> str:
    return id_for(name, set())


def _ask() -> str:
    if not sys.stdin.isatty():
        raise CommandError("whose phone is it? next: sudo boondock phone NAME")
    try:
        return input("Whose phone is it: ").strip() or "phone"
    except (EOFError, KeyboardInterrupt):
        raise CommandError("nothing was changed") from None


def _refuse_closed(settings: Settings) -> None:
    """Raise CommandError if no phone could open the page."""
    if not settings.page.is_open:
        what = "for this machine alone" if settings.page.enabled else "not switched on"
        raise CommandError(f"the page is {what}; {_OPEN}")


@dataclass(frozen=True, slots=True)
class _House:
    """The settings that are changed, and what the broker has of them."""

    target: Target
    out: Path
    vault: Vault

    def change(self, table: str, role: str | None) -> None:
        """Write the user, or take it out (None), and tell the broker. Raises CommandError, OSError."""
        crlf, text = read(self.target)
        new = without_table(text, table) if role is None else with_table(text, table, {"role": f'"{role}"'})
        change = Answered(text, new, {}, [])
        refuse_wrong(self.target, change)
        with redirect_stdout(StringIO()):
            write(self.target, change, Report(), crlf=crlf)
            setup.broker(out=self.out, secrets=self.vault.folder, reload=True, config=self.target.file)

    def show(self, settings: Settings, user: str, role: str, *, as_json: bool) -> None:
        """Print the QR code and what to do. Raises CommandError, OSError."""
        password = self.vault.read(secret_of(user))
        if password is None:
            raise CommandError(f"{user} has no password; next: sudo boondock broker --reload")
        papers = setup.certificates(settings, self.out, self.vault.folder)
        own = settings.page.encrypted and isinstance(papers, Papers)
        sha256 = papers.fingerprint() if own and isinstance(papers, Papers) else None
        login = page.with_login(page_address(settings.page), user, password)
        if as_json:
            said = {"user": user, "role": role, "address": login, "sha256": sha256}
            terminal.show(said, (), as_json=True)
            return
        print(*_steps(settings, own=own), "", sep="\n")
        setup.show_qr(login)
        print(f"\n{login}")
        for place in files.addresses(settings.page.listen):
            if place != files.ANYWHERE:
                other = page.with_login(page_address(settings.page, place), user, password)
                print(f"If the phone does not find {settings.page.name} (Android before 12): {other}")
        if sha256 is not None:
            print(f"SHA-256 of ca.crt: {sha256}")
        mine = user.removeprefix(PREFIX)
        print(f"The login of {user}, {role}; it ends by: sudo boondock phone --revoke {mine}")


def _steps(settings: Settings, *, own: bool) -> Iterator[str]:
    yield "The phone must be in the same network as this machine."
    if own:
        usual = settings.page.opened_port == files.HTTPS
        door = f"http://{settings.page.name}/" if usual else page_address(settings.page)
        yield from (line.format(ca=f"{door}ca.crt") for line in _OWN)
    elif not settings.page.encrypted:
        yield "It is not encrypted: everybody in this network can read this login when the phone uses it."
    yield "Then scan this with the phone's camera. Whoever has the code has the login."
