"""Our users in a Mosquitto that was here before: added to its password and ACL files, and taken out again."""

from pathlib import Path

from cli.broker_passwords import Vault, hashes, password_file
from cli.broker_rights import acl, users
from cli.install import mosquitto
from cli.install.system import InstallError, System, put
from config.model import Settings

_VAULT = "/etc/credstore"


class BrokerUsers:
    """The users of `settings` in the files that the existing broker names."""

    def __init__(self, system: System, settings: Settings) -> None:
        found = mosquitto.read(system.root)
        if found is None or not found.asks_passwords:
            raise InstallError("the broker of this machine asks for no passwords: no users are added")
        if found.obstacle is not None:
            raise InstallError(
                f"the broker of this machine cannot be given users by this program: {found.obstacle}\n"
                "next: add a user for Boondock by hand, write `username` below [broker] of boondock.toml\n"
                "and the password into /etc/boondock/secrets/broker__password; then run this again"
            )
        self._system = system
        self._passwords = system.at(found.options["password_file"])
        rights = found.options.get("acl_file")
        self._acl = None if rights is None else system.at(rights)
        self._vault = Vault(system.at(_VAULT))
        there = hashes(_text(self._passwords))
        mine = [one for one in users(settings) if self._vault.read(one.secret) is not None]
        known = {one.name for one in mine}
        # A role's name may be somebody's who was here first.
        self._users = [one for one in users(settings) if one.name in known or one.name not in there]
        self.left_out = [one.name for one in users(settings) if one not in self._users]

    def _texts(self) -> dict[Path, str]:
        old = _text(self._passwords)
        ours = password_file({one.name: self._vault.password(one.secret) for one in self._users}, old)
        texts = {self._passwords: mosquitto.with_users(old, ours, [one.name for one in self._users])}
        if self._acl is not None:
            texts[self._acl] = mosquitto.with_rights(_text(self._acl), acl(self._users))
        return texts

    def there(self) -> bool:
        """Whether all of them are in it."""
        texts = self._texts()
        return not self._vault.fresh and all(_text(path) == text for path, text in texts.items())

    def add(self) -> None:
        """Add them, the passwords first; the broker reads its files again. Raises OSError, InstallError."""
        texts = self._texts()
        self._vault.save()
        self._write(texts)

    def remove(self) -> None:
        """Take them out, with their passwords. Raises OSError, InstallError."""
        mine = [one for one in self._users if self._vault.read(one.secret) is not None]
        names = [one.name for one in mine]
        texts = {self._passwords: mosquitto.without_users(_text(self._passwords), names)}
        if self._acl is not None:
            texts[self._acl] = mosquitto.without_rights(_text(self._acl))
        self._write(texts)
        for one in mine:
            (self._vault.folder / one.secret).unlink()

    def _write(self, texts: dict[Path, str]) -> None:
        for path, text in texts.items():
            found = path.stat()
            put(
                path,
                text.encode(errors="surrogateescape"),
                mode=found.st_mode & 0o777,
                owner=(found.st_uid, found.st_gid),
            )
        self._system.run("systemctl", "reload", mosquitto.UNIT)


def _text(path: Path) -> str:
    """A file of the broker's owner, byte for byte: it is written again with our lines, and without them."""
    try:
        return path.read_bytes().decode(errors="surrogateescape")
    except FileNotFoundError:
        return ""
