# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A ticket whose dispatcher asks an inference server over HTTP; nobody serves the queue."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_client.itksnap import ItkSnap
from dss_client.sending import send
from dss_client.workspace import read_outcome
from dss_inference.device.runner import Runner
from dss_phantom.chest import PhantomSpec, make_phantom
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import loopback
from support.brokers import fresh_vhost
from support.builders import write_image
from support.collector import Collector, collector
from support.databases import migrated_database
from support.stacks import Stack, free_port
from support.waiting import wait_until
from support.watchers import Quiet

WORK = "process dss.inference.lung-segmentation"

pytestmark = [pytest.mark.stack]


@pytest.fixture
def spans() -> Iterator[Collector]:
    with collector() as running:
        yield running


@pytest.fixture
def traced(spans: Collector) -> dict[str, str]:
    """Variables for every program."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": spans.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}


@pytest.fixture
def server_url(tmp_path: Path, traced: dict[str, str]) -> Iterator[str]:
    """``dss-inference facade``, which knows no broker."""
    url = f"http://127.0.0.1:{free_port()}"
    environment = {
        **{name: value for name, value in os.environ.items() if name != "DSS_AMQP_URL"},
        **traced,
        "DSS_FACADE_BIND": url.removeprefix("http://"),
        "DSS_FACADE_DIR": str(tmp_path / "output"),
        "DSS_DEVICE": "cpu",
    }
    command = [sys.executable, "-m", "dss_inference", "facade", "--bundle", "lung-segmentation"]
    process = subprocess.Popen(command, env=environment)
    try:
        wait_until(lambda: _answers(url), 60)
        yield url
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return loopback.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def stack(
    rabbit: RabbitNode,
    postgres: PostgresCluster,
    server_url: str,
    traced: dict[str, str],
    tmp_path: Path,
) -> Iterator[Stack]:
    (tmp_path / "stack").mkdir()
    with fresh_vhost(rabbit) as amqp_url:
        running = Stack(
            folder=tmp_path / "stack",
            amqp_url=amqp_url,
            database_url=migrated_database(postgres.database_url, "remote"),
            settings={**traced, "LUNG_SEGMENTATION_SERVICE_URL": server_url},
        )
        running.start("portal", "dispatch")
        try:
            wait_until(lambda: "lung-segmentation" in running.announced(), 90, running.logs)
            yield running
        finally:
            running.stop()


def test_a_chest_comes_back_with_both_lungs_its_report_and_one_trace(
    stack: Stack, spans: Collector, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("ticket")
    spec = PhantomSpec(size=(96, 72, 78), spacing_mm=(4, 4, 4), orientation="PIR")
    phantom = make_phantom(spec, Runner("cpu"))
    scan = write_image(folder / "ct.nii.gz", phantom.ct)
    with ItkSnap(stack.url) as client:
        client.login(stack.token("ann@example.com", "--tier", "poweruser"))

        sent = send(client, scan, "lung-segmentation", folder / "results", Quiet())

    assert sent.results is not None, sent.log
    assert [label.name for label in sent.results.labels] == ["left lung", "right lung"]
    (file,) = read_outcome(sent.results.workspace).segmentations
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(file))) > 0
    truth = sitk.GetArrayFromImage(phantom.truth) > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.95
    lines = [line.message for line in sent.log]
    assert any(line.startswith("Inference: ") for line in lines)
    attached = [file.description for line in sent.log for file in line.attachments]
    assert attached[0] == "Three planes with the outlines of the labels"
    assert len(attached) == 3
    wait_until(lambda: WORK in [span.name for span in list(spans.spans)], 20)
    assert above(spans, WORK)[:5] == [
        WORK,
        "publish dss.tickets:inference.run.lung-segmentation",
        "POST /<bundle>/inference",
        "inference",
        "process dss.dispatch.lung-segmentation",
    ]


def above(spans: Collector, name: str) -> list[str]:
    """The names from the first span of that name to the root of its trace."""
    span = next(span for span in spans.spans if span.name == name)
    trace, names = spans.of(span.trace), [name]
    while span.parent in trace:
        span = trace[span.parent]
        names.append(span.name)
    return names
