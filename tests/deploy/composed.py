"""A site of infra/compose.yaml that runs, as the tests of ``composed_site.py`` ask and hurt it."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from deploy.engines import Engine
from deploy.git_server import GitServer
from support.waiting import wait_until

BESIDE = "dss-beside"
"""The container of ``beside``."""
SECRETS = ("portal_amqp_url", "dispatch_amqp_url", "secret_key")


@dataclass(frozen=True)
class Site:
    engine: Engine
    checkout: Path
    settings: dict[str, str]
    git: GitServer
    said: str
    """What the last of the printed commands said."""

    @property
    def portal(self) -> str:
        return f"http://{self.settings['DSS_PUBLISH']}"

    def run(self, command: str) -> str:
        return self.engine.run(command, self.checkout)

    def compose(self, words: str) -> str:
        return self.run(f"podman-compose --file infra/compose.yaml --profile try {words}")

    def exec(self, service: str, *words: str) -> "subprocess.CompletedProcess[str]":
        return self.engine.podman("exec", f"dss_{service}_1", *words, check=False)


@contextmanager
def beside(
    site: Site, user: str, settings: Sequence[str], *words: str
) -> Iterator[Callable[[], "subprocess.CompletedProcess[str]"]]:
    """Run a further container with some of the site's secrets in /s.  Yields what asks whether its program is ready."""
    options = [word for setting in settings for word in ("--env", setting)]
    for name in SECRETS:  # the folder itself is closed to all users but root
        options += ["--volume", f"{site.checkout / 'infra/secrets' / name}:/s/{name}:ro"]
    run = ["run", "--detach", "--name", BESIDE, "--network", "dss_default", "--user", f"{user}:0"]
    site.engine.podman(*run, *options, *words)
    ask = ("exec", BESIDE, "python", "-m", "dss_observability.health")
    try:
        yield partial(site.engine.podman, *ask, check=False)
    finally:
        site.engine.podman("rm", "--force", "--time", "20", "--volumes", BESIDE, check=False)


def token(site: Site, *options: str) -> str:
    words = ("dss-portal", "users", "add", "ann@example.org", *options)
    return last_word(site, *words)


def last_word(site: Site, *words: str) -> str:
    """What a command in the portal's container prints last.  ``podman exec`` 4.3 sometimes loses all that it printed."""
    for _ in range(3):
        done = site.exec("portal", *words)
        assert done.returncode == 0, done.stderr
        if said := done.stdout.split():
            return said[-1]
    raise AssertionError(f"{words} printed nothing.")


def healthy(site: Site, service: str) -> bool:
    return site.exec(service, "python", "-m", "dss_observability.health").returncode == 0


def crash(site: Site, service: str) -> None:
    """Kill its first process, not by the engine, which would take that for a wish; return when it is restarted."""
    container = f"dss_{service}_1"
    before = site.engine.process(container)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: site.engine.process(container) not in {0, before}, 60)


def results(site: Site) -> dict[int, tuple[str, bytes]]:
    """By number, the tickets of the user of ``token``: the status, and the first file of the result."""
    with httpx.Client(base_url=site.portal) as ann:
        ann.post("/api/login", data={"token": token(site)}).raise_for_status()
        rows = ann.get("/api/tickets?format=json").raise_for_status().json()["result"]
        first = {row["id"]: ann.get(f"/api/tickets/{row['id']}/files/results/0") for row in rows}
        return {row["id"]: (row["status"], first[row["id"]].content) for row in rows}
