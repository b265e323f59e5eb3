"""A reverse proxy in front, as a site must have: who guesses tokens is in nobody's way."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from conftest import missing
from support import loopback
from support.sites import Site
from support.stacks import free_port
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]

STRANGER, BOB, EVE = "127.0.0.2", "127.0.0.3", "127.0.0.4"
WRONG_TOKENS = 1000
MAX_SIGN_IN_S = 1.0
TYPED = 48  # ITK-SNAP tries at each keystroke

CONFIGURATION = """
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {portal};
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
}}
"""


@pytest.fixture(scope="module")
def proxy(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an nginx in front of the portal, which believes it."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if program is None:
        missing("nginx is not installed.")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    file = folder / "nginx.conf"
    file.write_text(
        CONFIGURATION.format(folder=folder, port=port, portal=site.url), encoding="utf-8"
    )
    options = ["-p", str(folder), "-c", str(file), "-g", "daemon off; master_process off;"]
    with subprocess.Popen([program, *options]) as nginx:
        wait_until(lambda: _answers(f"http://127.0.0.1:{port}"))
        yield f"http://127.0.0.1:{port}"
        nginx.terminate()


def _answers(url: str) -> bool:
    try:
        return loopback.get(f"{url}/healthz").text == "ok"
    except httpx.TransportError:
        return False


@contextmanager
def _at(address: str, url: str) -> Iterator[httpx.Client]:
    """A client whose address is that."""
    transport = httpx.HTTPTransport(local_address=address)
    with httpx.Client(base_url=url, transport=transport, timeout=30) as client:
        yield client


def _guess(client: httpx.Client, number: int) -> int:
    """As somebody who also forges where he is."""
    forged = {"X-Forwarded-For": f"203.0.113.{number % 256}"}
    answer = client.post("/api/login", data={"token": f"guess {number}"}, headers=forged)
    return answer.status_code


def _sign_in(client: httpx.Client, token: str) -> tuple[int, float]:
    """Status and seconds."""
    began_s = time.monotonic()
    answer = client.post("/api/login", data={"token": token})
    return answer.status_code, time.monotonic() - began_s


def test_a_thousand_guesses_are_in_nobodys_way(site: Site, proxy: str) -> None:
    tokens = [site.stack.token("bob@example.com") for _ in range(4)]
    with (
        _at(STRANGER, proxy) as stranger,
        _at(BOB, proxy) as bob,
        _at(STRANGER, proxy) as colleague,
        ThreadPoolExecutor(8) as threads,
    ):
        guesses = [threads.submit(_guess, stranger, n) for n in range(WRONG_TOKENS)]
        signed_in: list[tuple[int, float]] = []
        for client, token in zip((bob, bob, colleague, bob), tokens, strict=True):
            wait_until(guesses[100 * (len(signed_in) + 1)].done, 60)
            signed_in.append(_sign_in(client, token))
        statuses = [guess.result() for guess in guesses]
        mistyped = bob.post("/api/login", data={"token": "mistyped"}).status_code

    assert [status for status, _ in signed_in] == [200] * 4
    assert max(seconds for _, seconds in signed_in) < MAX_SIGN_IN_S
    assert statuses.count(401) < 400  # 150 a minute, and the forged addresses have not helped
    assert statuses.count(429) == WRONG_TOKENS - statuses.count(401)
    assert mistyped == 401


def test_a_typed_token_locks_nobody_out(site: Site, proxy: str) -> None:
    token = site.stack.token("eve@example.com")
    with _at(EVE, proxy) as eve:
        typed = [
            eve.post("/api/login", data={"token": token[:n]}).status_code for n in range(TYPED)
        ]

        assert typed == [401] * TYPED
        assert _sign_in(eve, token)[0] == 200
