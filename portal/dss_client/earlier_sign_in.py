"""Ends an earlier sign-in of this program after a new one, so that no unused token or session stays valid."""

from contextlib import suppress
from pathlib import Path

from dss_client import protocol
from dss_client.cookie_jar import CookieJar
from dss_client.credentials import Credentials
from dss_client.errors import ClientError
from dss_client.rest import RestClient


class EarlierSignIn:
    """The session that was stored for a server when this object was made, and the stored token if it was made for this
    machine.
    """

    def __init__(self, server: str, jar: Path) -> None:
        stored = Credentials(jar)
        self._server = server
        self._token = stored.token() if stored.is_own else ""
        self._session = CookieJar(jar) if jar.exists() else None

    def revoke_token(self, kept: str = "") -> None:
        """Revoke the earlier token, unless it equals ``kept``, the new one.  Errors of the server are ignored."""
        if not self._token or self._token == kept:
            return
        with suppress(ClientError):
            rest = RestClient(self._server, CookieJar(), bearer=self._token)
            try:
                rest.run(protocol.revoke())
            finally:
                rest.close()

    def end_session(self) -> None:
        """End the earlier session on the server.  Errors of the server are ignored."""
        if self._session is None:
            return
        with suppress(ClientError):
            rest = RestClient(self._server, self._session)
            try:
                rest.run(protocol.logout())
            finally:
                rest.close()
