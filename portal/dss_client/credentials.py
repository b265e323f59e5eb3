"""Stores a token for programs between two runs: in the system's keyring if there is one, else in a file that only its
owner can read.
"""

import json
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from dss_client.extras import installed
from dss_datastore.writing import replacing

LONG_LIVED_PREFIX = "dss_"
"""Prefix of a token for programs: a long-lived token that is sent with each request."""

SERVICE = "dss"
"""Name of the service in the keyring.  The user name in the keyring is the path of the cookie file, so that each server
has its own entry.
"""


class _Keyring(Protocol):
    def get_password(self, service: str, user: str) -> str | None: ...

    def set_password(self, service: str, user: str, password: str) -> None: ...

    def delete_password(self, service: str, user: str) -> None: ...


class Credentials:
    """The stored token.  A file beside the cookie file ``jar`` contains the token, or a note that the token is in the
    keyring.
    """

    def __init__(self, jar: Path) -> None:
        self._file = jar.with_name(f"{jar.name}.api")
        self._user = str(jar.absolute())

    def token(self) -> str:
        """The stored token; "" if there is none, or if the keyring that has it cannot be read."""
        entry = self._read()
        if entry.get("place") == "keyring":
            return self._from_keyring()
        return entry.get("token", "")

    @property
    def is_own(self) -> bool:
        """True if the stored token was made for this machine, so that no other program uses it."""
        return self._read().get("made for") == "this machine"

    def keep(self, token: str, *, is_own: bool = False) -> str:
        """Store ``token``, and return where: "the keyring" or the file's path.  ``is_own``: the token was made for this
        machine.
        """
        made = {"made for": "this machine"} if is_own else {}
        if self._into_keyring(token):
            self._write({"place": "keyring"} | made)
            return "the keyring"
        self._write({"token": token} | made)
        return str(self._file)

    def forget(self) -> bool:
        """Delete the stored token.  True if there was one."""
        if self._read().get("place") == "keyring" and (keyring := _keyring()):
            with suppress(Exception):  # each keyring backend has its own kinds of errors
                keyring.delete_password(SERVICE, self._user)
        had = self._file.exists()
        self._file.unlink(missing_ok=True)
        return had

    def _from_keyring(self) -> str:
        with suppress(Exception):
            if keyring := _keyring():
                return keyring.get_password(SERVICE, self._user) or ""
        return ""

    def _into_keyring(self, token: str) -> bool:
        """Store the token in the keyring.  False if that fails.

        The token is read back, because a locked or missing keyring reports no error.
        """
        with suppress(Exception):
            if keyring := _keyring():
                keyring.set_password(SERVICE, self._user, token)
                return keyring.get_password(SERVICE, self._user) == token
        return False

    def _read(self) -> dict[str, str]:
        try:
            entry = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return (
            {k: v for k, v in entry.items() if isinstance(v, str)}
            if isinstance(entry, dict)
            else {}
        )

    def _write(self, entry: dict[str, str]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with replacing(self._file, mode=0o600) as draft:
            draft.write_text(json.dumps(entry), encoding="utf-8")


def _keyring() -> _Keyring | None:
    return cast("_Keyring", import_module("keyring")) if installed("keyring") else None
