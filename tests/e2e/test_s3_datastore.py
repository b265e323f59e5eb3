"""Programs on hosts without a shared folder: each has a scratch folder of its own, and they share a bucket."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dss_client.itksnap import ItkSnap
from dss_client.records import Detail
from dss_client.sending import Sent, send
from dss_datastore.s3.bucket import MARK, Bucket
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support.brokers import fresh_vhost
from support.databases import migrated_database
from support.s3_servers import Link, S3Server, settings_of
from support.stacks import PROGRAMS, Stack
from support.waiting import wait_until
from support.watchers import Quiet

pytestmark = [pytest.mark.stack]


@dataclass(frozen=True)
class S3Site:
    """Running programs, each with a scratch folder of its own; their bucket, and their link to it."""

    stack: Stack
    bucket: Bucket
    link: Link

    def start(self, program: str) -> None:
        scratch = self.stack.folder / "scratch" / program
        settings = settings_of(self.bucket, self.link.endpoint, scratch)
        self.stack.start_one(program, **settings, DSS_LEASE_S="6")

    def places(self) -> set[str]:
        return {found.key for found in self.bucket.list("")} - {MARK}


@pytest.fixture(scope="module")
def site(
    rabbit: RabbitNode,
    postgres: PostgresCluster,
    s3: S3Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[S3Site]:
    """In an empty bucket, in which the portal of a new site makes the datastore."""
    bucket = s3.new_bucket()
    bucket.remove(MARK)
    with fresh_vhost(rabbit) as amqp_url, Link(s3.address) as link:
        stack = Stack(
            folder=tmp_path_factory.mktemp("site"),
            amqp_url=amqp_url,
            database_url=migrated_database(postgres.database_url, "s3"),
        )
        made = S3Site(stack, bucket, link)
        try:
            for program in PROGRAMS:
                made.start(program)
            wait_until(stack.is_complete, 120, stack.logs)
            yield made
        finally:
            stack.stop()


def sums(sent: Sent) -> dict[str, str]:
    """SHA-256 by file name, of the images among the results: the workspace names the ticket."""
    assert sent.results is not None, sent.log
    folder = sent.results.workspace.parent
    files = [path for path in folder.iterdir() if path.suffix != ".itksnap"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_ticket_through_a_bucket_has_the_results_of_one_on_a_shared_folder(
    site: S3Site, ann: ItkSnap, scan: Path, tmp_path: Path
) -> None:
    stack = site.stack
    on_folder = send(ann, scan, "lung-segmentation", tmp_path / "folder", Quiet())

    with ItkSnap(stack.url) as client:
        client.login(stack.token("ann@example.com", "--tier", "poweruser"))
        through_s3 = send(client, scan, "lung-segmentation", tmp_path / "s3", Quiet())
        places = site.places()
        client.delete(through_s3.ticket)

    assert through_s3.status == "success", through_s3.log
    assert sums(through_s3) == sums(on_folder)
    assert [line.message for line in through_s3.log if line.category != "info"] == [
        line.message for line in on_folder.log if line.category != "info"
    ]
    assert any("/attempts/" in place for place in places)
    wait_until(lambda: not site.places(), 30, stack.logs)
    assert not [path for path in stack.datastore.rglob("*") if path.is_file()]
    left = [p for p in (stack.folder / "scratch").rglob("*") if p.is_file()]
    assert {path.name for path in left} == {".lock"}


class Accident(Quiet):
    """Kills ``program`` and starts it again, once a log line begins with ``at``."""

    def __init__(self, site: S3Site, program: str, at: str) -> None:
        self._site, self._program, self._at = site, program, at
        self.happened = False

    def polled(self, detail: Detail) -> None:
        if not self.happened and any(line.message.startswith(self._at) for line in detail.log):
            self.happened = True
            self._site.stack.kill(self._program)
            self._site.start(self._program)
            wait_until(self._site.stack.portal_ready, 60)


def test_tickets_are_done_once_over_a_link_that_fails_while_programs_are_killed(
    site: S3Site, scan: Path, tmp_path: Path
) -> None:
    """Each connection is cut after 300 kB, some requests get 503, and each program is killed once."""
    site.link.cut_after = 300_000
    accidents = [
        Accident(site, "dispatch", "Asking for inference"),
        Accident(site, "inference", "Inference:"),
        Accident(site, "portal", "Building the result"),
    ]
    found = []
    with ItkSnap(site.stack.url) as client:
        client.login(site.stack.token("ann@example.com", "--tier", "poweruser"))
        for number, accident in enumerate(accidents):
            site.link.refuses = 3
            folder = tmp_path / str(number)
            found.append(send(client, scan, "lung-segmentation", folder, accident))

    assert [sent.status for sent in found] == ["success"] * 3, [sent.log for sent in found]
    assert found[0].results is not None
    assert len({tuple(sorted(sums(sent).items())) for sent in found}) == 1
    assert any(accident.happened for accident in accidents)
    shown = {f"tickets/{sent.ticket:08d}" for sent in found}
    below = {key[:16] for key in site.places() if key.startswith("tickets/0")}
    assert below == shown
