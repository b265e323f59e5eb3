"""The command line against a server that records what it is asked."""

from click.testing import CliRunner, Result

from dss_client.__main__ import main
from support.recorder import COOKIE, ok

DETAIL = b'{"tags": [{"name": "CT", "type": "MainImage", "required": true, "hint": ""}]}'
SERVICE = b'{"name": "lungs", "githash": "%s", "version": "1.0.0", "shortdesc": ""}' % (b"a" * 40)
ANSWERS = {
    "GET /api/login": ok(b'{"result": {"email": "a@b"}}'),
    "POST /api/login": ok(b'{"result": {"email": "a@b"}}', f"Set-Cookie: {COOKIE}; Path=/"),
    "GET /api/services": ok(b'{"result": [' + SERVICE + b"]}"),
    "GET /api/services/": ok(DETAIL),
    "POST /api/tickets": ok(b"1"),
    "GET /api/tickets/1/delete": ok(b"deleted"),
}


def dss(*words: str, token: str = "") -> Result:
    return CliRunner().invoke(main, words, env={"DSS_TOKEN": token})
