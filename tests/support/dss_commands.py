"""The command line against a server that records what it is asked."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dss_client.__main__ import main
from support.builders import image, write_image
from support.recorder import COOKIE, Recorder, ok, recording

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


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording(dict(ANSWERS)) as recorder:
        yield recorder


@pytest.fixture
def place(recorder: Recorder, tmp_path: Path) -> list[str]:
    """The options that name the server and the session."""
    return ["--server", recorder.address, "--jar", str(tmp_path / "jar")]


@pytest.fixture
def scan(tmp_path: Path) -> str:
    return str(write_image(tmp_path / "scan.nrrd", image()))
