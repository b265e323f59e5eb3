"""The command line against a server whose tickets have names that steer terminals."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dss_client.__main__ import main
from support.recorder import COOKIE, Recorder, ok, recording

DSS = [sys.executable, "-m", "dss_client"]
ROW = {
    "id": 7,
    "service": "lungs\x1b[31m",
    "version": "1.0.0",
    "status": "success",
    "title": "Knee\x1b]0;owned\x07 \u202eleft\nrow",
    "created_at": "2026-11-28T10:00:00+00:00",
    "ended_at": "2026-11-28T11:00:00+00:00",
    "verdict": "good",
}
OLD_ROW = {**ROW, "id": 8, "created_at": "2020-01-01T00:00:00+00:00", "status": "failed"}
ANSWERS = {
    "GET /api/login": ok(b'{"result": {"email": "a@b"}}'),
    "POST /api/login": ok(b'{"result": {"email": "a@b"}}', f"Set-Cookie: {COOKIE}; Path=/"),
    "GET /api/services": ok(b'{"result": []}'),
    "GET /api/tickets?": ok(b'{"result": [{"id": 7, "service": "lungs", "status": "ready"}]}'),
    "GET /api/tickets/summary": ok(json.dumps({"result": [ROW, OLD_ROW]}).encode()),
    "GET /api/tickets/7/detail": ok(b'{"result": {"status": "success", "progress": 1.0}}'),
    "GET /api/tickets/7/files/results": ok(b"0,a\x1b[2Jb.nii.gz\r\n"),
    "GET /api/tickets/7/archive": ok(b"PK no archive"),
}


def dss(environment: dict[str, str], *words: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, words, env=environment, input=text)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording(dict(ANSWERS)) as recorder:
        yield recorder


@pytest.fixture
def environment(recorder: Recorder, tmp_path: Path) -> dict[str, str]:
    own = {"DSS_SERVER": recorder.address, "DSS_TOKEN": "dss_x", "HOME": str(tmp_path)}
    return {**os.environ, **own, "XDG_CONFIG_HOME": str(tmp_path)}
