"""A proxy that our HTTP clients cannot use: the program that needs it ends with a sentence, all others do without it."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dss_observability import telemetry
from dss_process.proxies import excepting_loopback, proxy_for
from dss_stack import health
from support.stacks import free_port

SOCKS = "socks5://user:wordpass@proxy:1080"
SENTENCE = (
    "{} does not name a proxy that can be used: its kind is socks5; it needs http://HOST:PORT. "
    "Set NO_PROXY to the server's name to reach it without a proxy."
)
OPENID = {
    "DSS_OIDC_ISSUER": "https://login.example.org",
    "DSS_OIDC_CLIENT_ID": "dss",
    "DSS_OIDC_CLIENT_SECRET": "secret",
}
SITE = {
    "DSS_AMQP_URL": "amqp://user:password@127.0.0.1:1/dss",
    "DSS_DATABASE_URL": "postgres://user:password@127.0.0.1:1/dss",
    "DSS_SECRET_KEY": "k" * 32,
}
IN_BUCKET = {
    "DSS_DATASTORE": "",
    "DSS_DATASTORE_URL": "s3://dss/site",
    "DSS_S3_ENDPOINT": "https://s3.example.org",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
}
PORTAL = ("dss_portal", "serve")
DISPATCHER = ("dss_dispatch", "serve", "lung-segmentation")
WORKER = ("dss_inference", "serve")


def test_a_proxy_of_another_kind_matters_only_to_servers_behind_it() -> None:
    environment = {"ALL_PROXY": SOCKS, "NO_PROXY": "server, fd00::/8"}

    assert proxy_for("https://server", environment) is None


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        (PORTAL, OPENID),
        (DISPATCHER, {"LUNG_SEGMENTATION_SERVICE_URL": "https://worker.example.org"}),
        *((command, IN_BUCKET) for command in (PORTAL, DISPATCHER, WORKER)),
        (("dss_client", "services"), {"DSS_SERVER": "https://dss.example.org"}),
    ],
)
def test_a_program_ends_with_the_name_of_the_variable(
    command: tuple[str, ...], settings: dict[str, str], tmp_path: Path
) -> None:
    own = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    places = {
        "DSS_BIND": f"127.0.0.1:{free_port()}",
        "DSS_DATASTORE": str(tmp_path),
        "DSS_SCRATCH": str(tmp_path / "scratch"),
    }
    (tmp_path / "scratch").mkdir()

    done = subprocess.run(
        [sys.executable, "-m", *command],
        env={**own, **SITE, **places, **settings, "HOME": str(tmp_path), "HTTPS_PROXY": SOCKS},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=100,
    )

    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert SENTENCE.format("HTTPS_PROXY") in said
    assert "Traceback" not in said
    assert "wordpass" not in said


def test_traces_are_not_sent_and_a_line_of_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:4318",
        "HTTPS_PROXY": SOCKS,
    }

    telemetry.start_tracing("test", "1", environment)()

    (line,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert line.getMessage() == "no traces: the collector's proxy cannot be used"
    assert SENTENCE.format("HTTPS_PROXY") == vars(line)["reason"]


@pytest.mark.parametrize("given", [{}, {"NO_PROXY": "hospital.example"}, {"no_proxy": "a, b"}])
def test_programs_of_the_local_stack_reach_it_without_the_proxy_of_the_site(
    given: dict[str, str],
) -> None:
    environment = excepting_loopback({"http_proxy": "http://proxy:3128", **given})

    for host in ("127.0.0.1", "localhost", "[::1]", *"".join(given.values()).split(", ")):
        assert not host or proxy_for(f"http://{host}:8080", environment) is None
    other = proxy_for("http://elsewhere", environment)
    assert other is not None
    assert other.address == "http://proxy:3128"


def test_the_local_stack_asks_its_programs_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", SOCKS)
    monkeypatch.setenv("NO_PROXY", "fd00::/8")
    nobody = f"127.0.0.1:{free_port()}"

    assert not health.answers(f"http://{nobody}/")
    assert health.reason_not_ready(nobody) == "It does not answer yet."
