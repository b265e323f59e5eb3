"""infra/systemd on a machine with systemd, installed by the commands that infra/README.md prints: ``make test-deploy-full``.

The machine is a container with systemd as its first process, RabbitMQ and PostgreSQL from Debian's packages.
"""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import CHECKOUT, missing
from deploy.engines import CERTIFICATES, Engine, torch_folder
from deploy.printed import commands_below
from deploy.s3_container import CREDENTIALS, S3Container
from support.stacks import free_port
from support.waiting import wait_until

pytestmark = pytest.mark.timeout(1500)

NAME = "dss-server"
LUNGS = "lung-segmentation"
HEADING = "On one server without containers"
UNITS = ("dss-portal", f"dss-dispatch@{LUNGS}", "dss-dispatch@nodule-detection", "dss-inference")
SERVERS = """
systemctl start rabbitmq-server
rabbitmqctl --quiet add_user dss site
rabbitmqctl --quiet set_permissions dss '.*' '.*' '.*'
pg_createcluster 15 main --start
runuser -u postgres -- psql --quiet --command "CREATE ROLE dss LOGIN PASSWORD 'site'" --command "CREATE DATABASE dss OWNER dss"
"""
SETTINGS = {
    "DSS_AMQP_URL": "amqp://dss:site@127.0.0.1:5672/%2F",
    "DSS_DATABASE_URL": "postgres://dss:site@127.0.0.1:5432/dss",
    "DSS_SECRET_KEY": "k" * 48,
    "DSS_BIND": "0.0.0.0:8080",
}
"""What the operator edits in /etc/dss/dss.env; the port is published on loopback."""

BUCKET_LINES = "DSS_SCRATCH|AWS_SHARED_CREDENTIALS_FILE"
"""Those that are right as they stand in the example, without their comment sign."""
FILES = "find /var/lib/dss/datastore -type f | sort"


@dataclass(frozen=True)
class Server:
    engine: Engine
    url: str

    def run(self, command: str) -> str:
        """The output of a line of shell in a checkout on the machine."""
        words = ["exec", "--workdir", "/checkout", NAME, "bash", "-euc", command]
        return self.engine.podman(*words).stdout

    def is_up(self) -> bool:
        words = ["exec", NAME, "systemctl", "is-active", "multi-user.target"]
        return self.engine.podman(*words, check=False).returncode == 0

    def is_ready(self, port: int) -> bool:
        ask = ["exec", NAME, "/opt/dss/bin/python", "-m", "dss_observability.health"]
        return self.engine.podman(*ask, f"127.0.0.1:{port}", check=False).returncode == 0

    def words(self) -> str:
        """The last ones of all units."""
        return self.run("journalctl --no-pager --lines 80")

    def set_line(self, name: str, value: str) -> None:
        """In the settings; a line that is a comment becomes none."""
        edit = f"s|^#?{name}=.*|{name}={value}|"
        self.run(f"sed -i -E {shlex.quote(edit)} /etc/dss/dss.env")

    def of(self, unit: str, fact: str) -> str:
        return self.run(f"systemctl show --value --property {fact} {unit}").strip()


@pytest.fixture(scope="module")
def server(engine: Engine, checkout: Path) -> Iterator[Server]:
    if not (wheels := torch_folder()):
        missing("There is no folder with torch's build for CPUs: DSS_TORCH_CPU")
    for target in ("server", "s3"):
        engine.make_stand_in(CHECKOUT, target, f"{target}:1")
    port = free_port()
    mounts = [f"{checkout}:/checkout", f"{wheels}:{wheels}:ro", f"{CERTIFICATES}:{CERTIFICATES}:ro"]
    volumes = [word for mount in mounts for word in ("--volume", mount)]
    started = ["--systemd=always", "--privileged", "--publish", f"127.0.0.1:{port}:8080"]
    settings = ["--env", f"PIP_FIND_LINKS={wheels}", "--env", "PIP_NO_CACHE_DIR=1"]
    engine.podman("run", "--detach", "--name", NAME, *started, *settings, *volumes, "server:1")
    try:
        yield set_up(Server(engine, f"http://127.0.0.1:{port}"))
    finally:
        engine.podman("rm", "--force", "--volumes", "--time", "5", NAME, check=False)


def set_up(server: Server) -> Server:
    """Follow the printed commands, all but the last, which makes the first user."""
    wait_until(server.is_up, 60)
    server.run(SERVERS)
    install, start = commands_below(HEADING), commands_below(HEADING, block=1)
    server.run("\n".join(install))
    for name, value in SETTINGS.items():
        server.set_line(name, value)
    server.run("\n".join(start[:-1]))
    wait_until_ready(server)
    return server


def wait_until_ready(server: Server) -> None:
    for port in (9101, 9103):
        wait_until(lambda p=port: server.is_ready(p), 180, server.words)  # type: ignore[misc]  # bound now


def send_the_sample(server: Server, folder: Path) -> None:
    """By the user of the last printed command, who gets a new token."""
    *_, first_user = commands_below(HEADING, block=1)
    said = server.engine.podman("exec", "--tty", NAME, "bash", "-euc", first_user).stdout
    ours = Path(sys.executable).parent

    sent = server.engine.run(
        f"{ours}/dss-phantom sample; {ours}/dss send sample/ct.nii.gz --service {LUNGS} --output results",
        folder,
        DSS_SERVER=server.url,
        DSS_TOKEN=said.split()[-1],
    )

    assert "left lung" in sent
    assert "right lung" in sent


def test_a_ticket_is_done_by_the_units_as_documented(server: Server, tmp_path: Path) -> None:
    send_the_sample(server, tmp_path)

    for unit in UNITS:
        assert server.of(unit, "User") == "dss"
        assert server.of(unit, "ActiveState") == "active"


def test_a_backup_is_made_with_the_settings_of_the_units(server: Server) -> None:
    """By the command as printed."""
    (backup,) = commands_below(HEADING, block=2)

    server.run(backup)

    assert "TABLE DATA public ticket " in server.run("pg_restore --list /var/backups/dss.dump")


def test_a_unit_that_is_killed_is_started_again(server: Server) -> None:
    for unit in UNITS:
        before = server.of(unit, "MainPID")
        server.run(f"systemctl kill --kill-whom main --signal KILL {unit}")
        wait_until(
            lambda u=unit, b=before: server.of(u, "MainPID") not in {"0", b},  # type: ignore[misc]  # bound now
            60,
        )


def test_all_end_with_the_target_within_their_time(server: Server) -> None:
    done: subprocess.CompletedProcess[str] = server.engine.podman(
        "exec", NAME, "timeout", "60", "systemctl", "stop", "dss.target", check=False
    )

    assert done.returncode == 0, done.stderr
    # systemctl waits for the target alone; the units are stopped with it.
    wait_until(lambda: {server.of(unit, "ActiveState") for unit in UNITS} == {"inactive"}, 60)
    assert {server.of(unit, "Result") for unit in UNITS} == {"success"}


@pytest.fixture
def s3(server: Server) -> Iterator[S3Container]:
    found = S3Container(server.engine)
    try:
        found.start()
        yield found
    finally:
        found.stop()


def test_a_ticket_is_done_by_the_units_with_its_files_in_a_bucket(
    server: Server, s3: S3Container, tmp_path: Path
) -> None:
    """A new site, with the lines of the example, and keys that only the group of the programs can read."""
    server.run("systemctl stop dss.target")
    create = 'psql --quiet --command "CREATE DATABASE bucket OWNER dss"'
    server.run(f"runuser -u postgres -- {create}")
    wanted = {
        "DSS_DATABASE_URL": f"{SETTINGS['DSS_DATABASE_URL'].removesuffix('/dss')}/bucket",
        "DSS_DATASTORE": "",
        "DSS_DATASTORE_URL": "s3://dss/site",
        "DSS_S3_ENDPOINT": s3.address(),
    }
    for name, value in wanted.items():
        server.set_line(name, value)
    server.run(f"sed -i -E 's/^#({BUCKET_LINES})=/\\1=/' /etc/dss/dss.env")
    server.run("install --mode 640 --group dss /dev/null /etc/dss/s3_credentials")
    server.run(f"printf %s {shlex.quote(CREDENTIALS)} > /etc/dss/s3_credentials")
    before = server.run(FILES)

    server.run("systemctl start dss.target")
    wait_until_ready(server)
    send_the_sample(server, tmp_path)

    assert [key for key in s3.stored() if key.startswith("site/tickets/00000001/attempts/")]
    assert server.run(FILES) == before
    for unit in UNITS:
        assert server.of(unit, "ActiveState") == "active"
        assert server.of(unit, "NRestarts") == "0", unit
    assert server.run("find /var/lib/dss/scratch -type f ! -name .lock") == ""
