"""Programs on hosts without a shared folder: each has a scratch folder of its own, and they share a bucket."""

import asyncio
import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dss_client.itksnap import ItkSnap
from dss_client.sending import Sent, send
from dss_datastore.s3.bucket import MARK, Bucket
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import sites
from support.brokers import fresh_vhost
from support.s3_servers import S3Server, settings_of
from support.stacks import PROGRAMS, Stack
from support.waiting import wait_until
from support.watchers import Quiet

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class S3Site:
    """Running programs and their bucket."""

    stack: Stack
    bucket: Bucket


@pytest.fixture
def site(
    rabbit: RabbitNode, postgres: PostgresCluster, s3: S3Server, tmp_path: Path
) -> Iterator[S3Site]:
    """In an empty bucket, in which the portal of a new site makes the datastore."""
    bucket = s3.new_bucket()
    bucket.remove(MARK)
    name = f"s3_{uuid.uuid4().hex[:8]}"
    asyncio.run(sites.create_database(postgres.database_url, name))
    base = postgres.database_url.rpartition("/")[0]
    with fresh_vhost(rabbit) as amqp_url:
        stack = Stack(folder=tmp_path, amqp_url=amqp_url, database_url=f"{base}/{name}")
        try:
            stack.command("migrate")
            for program in PROGRAMS:
                scratch = tmp_path / "scratch" / program
                stack.start_one(program, **settings_of(bucket, s3.endpoint, scratch))
            wait_until(stack.is_complete, 120, stack.logs)
            yield S3Site(stack, bucket)
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
    stack, bucket = site.stack, site.bucket
    on_folder = send(ann, scan, "lung-segmentation", tmp_path / "folder", Quiet())

    with ItkSnap(stack.url) as client:
        client.login(stack.token("ann@example.com", "--tier", "poweruser"))
        through_s3 = send(client, scan, "lung-segmentation", tmp_path / "s3", Quiet())
        keys = {found.key for found in bucket.list("tickets/")} - {MARK}
        client.delete(through_s3.ticket)

    assert through_s3.status == "success", through_s3.log
    assert sums(through_s3) == sums(on_folder)
    assert [line.message for line in through_s3.log if line.category != "info"] == [
        line.message for line in on_folder.log if line.category != "info"
    ]
    assert any("/results/" in key for key in keys)
    wait_until(lambda: {found.key for found in bucket.list("")} == {MARK}, 30, stack.logs)
    assert not [path for path in stack.datastore.rglob("*") if path.is_file()]
    left = [p for p in (stack.folder / "scratch").rglob("*") if p.is_file()]
    assert {path.name for path in left} == {".lock"}
