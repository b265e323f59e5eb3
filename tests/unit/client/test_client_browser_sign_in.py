"""The sign-in by a browser, towards a portal that is away at the wrong moment."""

import json
import threading
from collections.abc import Mapping
from typing import cast
from urllib.parse import parse_qs
from urllib.request import ProxyHandler, build_opener

import pytest

from dss_client import browser_sign_in
from dss_client.browser_sign_in import SignInPrompt, sign_in
from dss_client.errors import Unreachable
from dss_client.rest import RestClient
from dss_client.resumable import Reply

BEGUN = {
    "device_code": "secret",
    "user_code": "BCDF-GHJK",
    "verification_uri_complete": "https://dss.example/device?code=BCDF-GHJK",
    "expires_in": 120,
    "interval": 0,
}


class PortalAway:
    """Answers the beginning; the first requests for the token get no answer, or one of a proxy or of a portal before
    its upgrade.
    """

    def __init__(self) -> None:
        self.callback = ""
        self.codes: list[str] = []

    def exchange(self, _method: str, path: str, _headers: Mapping[str, str], body: bytes) -> Reply:
        form = parse_qs(body.decode())
        if path == "api/device":
            self.callback = form["callback"][0]
            return Reply(status=200, headers={}, body=json.dumps(BEGUN).encode())
        self.codes.append(form["code"][0])
        if len(self.codes) == 1:
            raise Unreachable("No answer.")
        if len(self.codes) == 2:
            return Reply(status=503, headers={}, body=b"restarting")
        if len(self.codes) == 3:
            return Reply(status=404, headers={}, body=b"not found")
        return Reply(status=200, headers={}, body=b'{"access_token": "dss_t"}')

    def allow(self, _: SignInPrompt) -> None:
        threading.Thread(target=self._visit).start()

    def _visit(self) -> None:
        direct = build_opener(ProxyHandler({}))
        with direct.open(f"{self.callback}?code=brought") as answer:
            answer.read()


def test_what_the_browser_has_brought_is_sent_again_until_the_portal_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(browser_sign_in, "LISTEN_S", 0.05)
    portal = PortalAway()

    token = sign_in(cast("RestClient", portal), ["tickets"], portal.allow, here=True)

    assert token == "dss_t"
    assert portal.codes == ["brought"] * 4
