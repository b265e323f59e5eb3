"""compose.yaml with compose.s3.yaml on two machines without a shared folder: part of ``make test-deploy``.

The machines are two networks with volumes of their own.  RabbitMQ and the S3 server are in both, the portal and PostgreSQL
in one, dispatcher and worker in the other.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.engines import Engine
from deploy.s3_container import CREDENTIALS, S3, S3Container
from support.stacks import free_port
from support.waiting import wait_until

pytestmark = pytest.mark.timeout(1800)  # builds the images where it runs alone

log = logging.getLogger(__name__)

FILES = "infra/compose.yaml --file infra/compose.s3.yaml"
NEAR, FAR = "dss_default", "far_default"


@dataclass(frozen=True)
class TwoMachines:
    engine: Engine
    checkout: Path

    def compose(self, words: str, project: str = "dss") -> str:
        command = f"podman-compose --project-name {project} --file {FILES} {words}"
        return self.engine.run(command, self.checkout)

    def files_in(self, volume: str) -> set[str]:
        place = self.engine.podman("volume", "inspect", volume, "--format", "{{.Mountpoint}}")
        folder = Path(place.stdout.strip())
        return {path.name for path in folder.rglob("*") if path.is_file()}

    def networks_of(self, container: str) -> set[str]:
        (facts,) = json.loads(self.engine.podman("inspect", container).stdout)
        return set(facts["NetworkSettings"]["Networks"])

    def begin(self) -> None:
        lines = {
            "DSS_UID": "1000660000",
            "DSS_PUBLISH": f"127.0.0.1:{free_port()}",
            "RABBITMQ_PUBLISH": f"127.0.0.1:{free_port()}",
            "DSS_DATASTORE_URL": "s3://dss/site",
            "DSS_S3_ENDPOINT": "http://s3:9000",
        }
        settings = "".join(f"{name}={value}\n" for name, value in lines.items())
        (self.checkout / "infra/.env").write_text(settings, encoding="utf-8")
        self.engine.run("make site-secrets", self.checkout)
        self.checkout.joinpath("infra/secrets/s3_credentials").write_text(
            CREDENTIALS, encoding="utf-8"
        )
        for network in (NEAR, FAR):
            self.engine.podman("network", "create", network)
        in_both = ["--network", f"{NEAR}:alias=s3", "--network", f"{FAR}:alias=s3"]
        S3Container(self.engine).start(*in_both)
        self.compose("up --detach rabbitmq postgres migrate portal")
        self.engine.podman("network", "connect", "--alias", "rabbitmq", FAR, "dss_rabbitmq_1")
        self.compose("up --detach dispatch-lungs inference", project="far")

    def end(self) -> None:
        last = f"podman-compose --file {FILES} logs 2>&1 | tail -n 60"
        log.info("the site's last words\n%s", self.engine.run(last, self.checkout))
        self.compose("down --volumes", project="far")
        self.compose("--profile try down --volumes")
        S3Container(self.engine).stop()
        self.engine.podman("network", "rm", "--force", NEAR, FAR, check=False)


@pytest.fixture(scope="module")
def machines(images: Engine, checkout: Path) -> Iterator[TwoMachines]:
    found = TwoMachines(images, checkout)
    try:
        found.begin()
        yield found
    finally:
        found.end()


def test_a_ticket_goes_through_a_bucket_between_machines_without_a_shared_folder(
    machines: TwoMachines,
) -> None:
    said = machines.engine.run(f'make first-ticket COMPOSE_FILE="{FILES}"', machines.checkout)

    assert "left lung" in said
    assert "right lung" in said
    results = [
        key
        for key in S3Container(machines.engine).stored()
        if key.startswith("site/tickets/00000001/attempts/")
    ]
    assert results
    assert machines.networks_of("dss_portal_1") == {NEAR}
    for program in ("dispatch-lungs", "inference"):
        assert machines.networks_of(f"far_{program}_1") == {FAR}
    for volume in ("dss_datastore", "far_datastore"):
        assert machines.files_in(volume) == set()
    for scratch in ("dss_scratch-portal", "far_scratch-lungs", "far_scratch-worker"):
        assert machines.files_in(scratch) == {".lock"}


def test_a_portal_says_that_the_s3_server_is_away(machines: TwoMachines) -> None:
    machines.engine.podman("stop", "--time", "5", S3)
    try:
        ready = ("exec", "dss_portal_1", "python", "-m", "dss_observability.health")

        def told() -> str:
            return machines.engine.podman(*ready, check=False).stderr

        wait_until(lambda: "The S3 server at http://s3:9000 does not answer." in told(), 60, told)
    finally:
        machines.engine.podman("start", S3)
