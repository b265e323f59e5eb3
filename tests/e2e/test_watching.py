"""A real Prometheus watches the real programs: every panel shows data, alerts fire for their reasons and clear."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pika  # type: ignore[import-untyped] # no py.typed
import pytest
from pika.adapters.blocking_connection import BlockingChannel  # type: ignore[import-untyped]

from builders import image, write_image
from conftest import SYSROOT, missing
from dashboards import Panel, filled_in, panels
from dss_broker.topology import DEAD_QUEUE, EXCHANGE
from dss_client.itksnap import ItkSnap
from dss_client.sending import send
from dss_inference.phantom.chest import PhantomSpec, make_phantom
from dss_inference.runner import Runner
from dss_stack.errors import ServerMissing
from dss_stack.prometheus import PrometheusServer
from dss_stack.rabbitmq import RabbitNode
from stacks import PROGRAMS, Stack, free_port, wait_until
from watchers import Quiet
from watching import Questions, quickened, unused_thresholds

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

LUNGS = "lung-segmentation"
QUEUE = f"dss.dispatch.{LUNGS}"
LEASE_S = 6

NO_DATA = {
    "portal: Certificates": "the addresses of a test are not encrypted",
    "workers: Batch size": "lungs are found by rules, without a network",
}
"""Panels that have nothing to show here, and why."""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A Prometheus and what it looks at: host:port of each process of a job."""

    server: PrometheusServer
    targets: dict[str, list[str]]


@pytest.fixture(scope="module")
def watched(
    own_stack: Stack, rabbit: RabbitNode, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    """Portal and dispatcher run, and no worker yet; all three are looked at."""
    own_stack.settings["DSS_LEASE_S"] = str(LEASE_S)
    own_stack.health_ports = {program: free_port() for program in PROGRAMS}
    folder = tmp_path_factory.mktemp("prometheus")
    server = PrometheusServer(
        folder / "server", sysroot=SYSROOT, configuration=quickened(folder / "configuration")
    )
    targets = {name: [f"127.0.0.1:{port}"] for name, port in own_stack.health_ports.items()}
    targets["rabbitmq"] = [rabbit.metrics]
    try:
        server.start(targets)
        own_stack.start("portal", "dispatch")
        wait_until(lambda: LUNGS in own_stack.announced(), 90, own_stack.logs)
        yield Watched(server=server, targets=targets)
    except ServerMissing as error:
        missing(str(error))
    finally:
        server.stop()


@pytest.fixture(scope="module")
def watch(watched: Watched) -> Questions:
    return Questions(url=watched.server.url)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    phantom = make_phantom(PhantomSpec(size=(64, 64, 52), spacing_mm=(6, 6, 6)), Runner("cpu"))
    return write_image(tmp_path_factory.mktemp("scan") / "ct.nii.gz", phantom.ct)


@pytest.fixture
def user(own_stack: Stack) -> Iterator[ItkSnap]:
    with ItkSnap(own_stack.url) as client:
        client.login(own_stack.token("ann@example.com", "--tier", "poweruser"))
        yield client


@pytest.fixture
def work(own_stack: Stack, watch: Questions) -> None:
    """Everything runs, whatever a test before has ended."""
    for program in PROGRAMS:
        if program not in own_stack.running:
            own_stack.start_one(program)
    wait_until(lambda: watch.number("count(up == 1)") == watch.number("count(up)"), 60)
    wait_until(lambda: watch.number('sum(dss_ready{job!=""})') == len(PROGRAMS), 60)


def fires(watch: Questions, alert: str, about: str, within_s: float = 45) -> None:
    wait_until(lambda: (alert, about) in watch.firing(), within_s, lambda: f"{watch.firing()}")


def clears(watch: Questions, alert: str, about: str, within_s: float = 60) -> None:
    wait_until(lambda: (alert, about) not in watch.firing(), within_s, lambda: f"{watch.firing()}")


def test_a_stack_without_worker_is_told_and_the_alerts_clear_when_it_comes(
    own_stack: Stack, watch: Questions, user: ItkSnap, scan: Path
) -> None:
    fires(watch, "NoWorker", LUNGS)
    fires(watch, "TargetDown", "inference")
    sending = threading.Thread(target=send, args=(user, scan, LUNGS, None, Quiet()))
    sending.start()
    fires(watch, "NoInferenceAnswers", LUNGS)
    fires(watch, "ManyRetries", QUEUE)

    own_stack.start_one("inference")

    clears(watch, "NoWorker", LUNGS)
    clears(watch, "TargetDown", "inference")
    clears(watch, "NoInferenceAnswers", LUNGS)
    sending.join(120)
    assert not sending.is_alive()
    clears(watch, "ManyRetries", QUEUE)


@pytest.mark.usefixtures("work")
def test_every_rule_can_be_evaluated(watch: Questions) -> None:
    wait_until(lambda: watch.broken_rules() == [], 20, lambda: f"{watch.broken_rules()}")
    assert unused_thresholds() == []


@pytest.mark.usefixtures("work")
def test_every_panel_shows_data_while_tickets_come_through_and_fail(
    own_stack: Stack, watch: Questions, user: ItkSnap, scan: Path, tmp_path: Path
) -> None:
    flat = write_image(tmp_path / "flat.nii.gz", image((6, 6, 6, 3)))
    done = threading.Event()

    def load() -> None:
        while not done.is_set():
            send(user, scan, LUNGS, None, Quiet())
            send(user, flat, LUNGS, None, Quiet())
            httpx.post(f"{own_stack.url}/api/login", data={"token": "wrong"})

    loading = threading.Thread(target=load)
    loading.start()
    try:
        blank = [panel for panel in panels() if panel.title not in NO_DATA]
        wait_until(lambda: not _still_blank(watch, blank), 90, lambda: f"{_queries(blank)}")
    finally:
        done.set()
        loading.join(60)


def _still_blank(watch: Questions, blank: list[Panel]) -> bool:
    """Takes those out of ``blank`` all of whose queries have answered with a number."""
    blank[:] = [p for p in blank if not all(watch.has_data(q) for q in _asked(watch, p))]
    return bool(blank)


def _asked(watch: Questions, panel: Panel) -> list[str]:
    """As Grafana asks for the panel, with the variables that it offers."""
    (bundle,) = watch.values("bundle", f'dss_dispatch_bundle_info{{service="{LUNGS}"}}')
    assert LUNGS in watch.values("service", "dss_tickets")
    values = {"service": LUNGS, "bundle": bundle, "__rate_interval": "2m"}
    return [filled_in(query, values) for query in panel.queries]


def _queries(blank: list[Panel]) -> dict[str, list[str]]:
    return {panel.title: panel.queries for panel in blank}


@pytest.mark.usefixtures("work")
def test_panels_that_may_be_blank_are_still_there_and_their_queries_are_understood(
    watch: Questions,
) -> None:
    known = {panel.title: panel for panel in panels()}

    for title in NO_DATA:
        for query in _asked(watch, known[title]):
            watch.samples(query)


@pytest.mark.usefixtures("work")
def test_tickets_that_fail_are_told(
    watch: Questions, user: ItkSnap, scan: Path, tmp_path: Path
) -> None:
    flat = write_image(tmp_path / "flat.nii.gz", image((6, 6, 6, 3)))

    assert send(user, flat, LUNGS, None, Quiet()).status == "failed"

    fires(watch, "TicketsFail", LUNGS)
    clears(watch, "TicketsFail", LUNGS)


@pytest.mark.usefixtures("work")
def test_a_message_that_nobody_understands_is_told_until_it_is_taken_out(
    own_stack: Stack, watch: Questions
) -> None:
    with _channel(own_stack) as channel:
        properties = pika.BasicProperties(type="TicketReady", message_id="x")
        channel.basic_publish(EXCHANGE, f"ticket.ready.{LUNGS}", b"no JSON", properties)
    fires(watch, "DeadLetters", DEAD_QUEUE)

    with _channel(own_stack) as channel:
        channel.queue_purge(DEAD_QUEUE)

    clears(watch, "DeadLetters", DEAD_QUEUE)


@pytest.mark.usefixtures("work")
def test_a_dispatcher_that_dies_is_told_and_so_is_what_its_tickets_suffer(
    own_stack: Stack, watch: Questions, user: ItkSnap, scan: Path
) -> None:
    own_stack.kill("dispatch")
    sending = threading.Thread(target=send, args=(user, scan, LUNGS, None, Quiet()))
    sending.start()
    fires(watch, "TargetDown", "dispatch")
    fires(watch, "NoConsumer", QUEUE)
    fires(watch, "StuckQueue", LUNGS)
    fires(watch, "ServiceSilent", LUNGS, within_s=90)

    own_stack.start_one("dispatch")

    for alert, about in (
        ("TargetDown", "dispatch"),
        ("NoConsumer", QUEUE),
        ("StuckQueue", LUNGS),
        ("ServiceSilent", LUNGS),
    ):
        clears(watch, alert, about)
    fires(watch, "RestartsOften", "dispatch")
    sending.join(120)
    assert not sending.is_alive()
    clears(watch, "RestartsOften", "dispatch")


@pytest.mark.usefixtures("work")
def test_a_claim_that_lapses_and_a_message_whose_reader_died_are_told(
    own_stack: Stack, watch: Questions, user: ItkSnap, tmp_path: Path
) -> None:
    spec = PhantomSpec(size=(200, 200, 160), spacing_mm=(2, 2, 2))
    large = write_image(tmp_path / "large.nii.gz", make_phantom(spec, Runner("cpu")).ct)
    sending = threading.Thread(target=send, args=(user, large, LUNGS, None, Quiet()))
    sending.start()
    wait_until(
        lambda: watch.number(f'sum(dss_dispatch_tickets_in_hand{{service="{LUNGS}"}})') == 1, 60
    )

    own_stack.kill("dispatch")
    fires(watch, "LeasesLapse", LUNGS)
    own_stack.start_one("dispatch")

    fires(watch, "ReadersDie", QUEUE)
    clears(watch, "LeasesLapse", LUNGS)
    clears(watch, "ReadersDie", QUEUE)
    sending.join(120)


@pytest.mark.usefixtures("work")
def test_programs_that_miss_the_datastore_are_told(own_stack: Stack, watch: Questions) -> None:
    away = own_stack.datastore.with_name("unmounted")
    own_stack.datastore.rename(away)
    fires(watch, "PortalNotReady", "portal")
    fires(watch, "ProgramNotReady", "dispatch")
    fires(watch, "ProgramNotReady", "inference")

    away.rename(own_stack.datastore)

    clears(watch, "PortalNotReady", "portal")
    clears(watch, "ProgramNotReady", "dispatch")
    clears(watch, "ProgramNotReady", "inference")


@pytest.mark.usefixtures("work")
def test_a_broker_that_lets_nobody_in_is_told_and_the_outbox_waits(
    own_stack: Stack, rabbit: RabbitNode, watch: Questions, user: ItkSnap, scan: Path
) -> None:
    vhost = own_stack.amqp_url.rpartition("/")[2]
    login = (rabbit.user, rabbit.password)
    with httpx.Client(base_url=rabbit.console_url, auth=login, timeout=30) as console:
        console.put(f"/api/vhost-limits/{vhost}/max-connections", json={"value": 0})
        for connection in console.get(f"/api/vhosts/{vhost}/connections").json():
            console.delete(f"/api/connections/{connection['name']}")
        sending = threading.Thread(target=send, args=(user, scan, LUNGS, None, Quiet()))
        sending.start()
        fires(watch, "OutboxOld", "")
        fires(watch, "PortalNotReady", "portal")

        console.delete(f"/api/vhost-limits/{vhost}/max-connections")

    clears(watch, "OutboxOld", "")
    clears(watch, "PortalNotReady", "portal")
    sending.join(120)
    assert not sending.is_alive()


@pytest.mark.usefixtures("work")
def test_wrong_tokens_are_told(own_stack: Stack, watch: Questions) -> None:
    for _ in range(40):
        httpx.post(f"{own_stack.url}/api/login", data={"token": "guessed"})

    fires(watch, "SignInsRefused", "")
    clears(watch, "SignInsRefused", "")


@pytest.mark.usefixtures("work")
def test_two_portals_are_summed_where_they_count_and_not_where_they_look(
    own_stack: Stack, watched: Watched, watch: Questions
) -> None:
    succeeded = f'service:tickets:max{{service="{LUNGS}", status="success"}}'
    asked = 'sum(dss_http_requests_total{route="/about"})'
    tickets = watch.number(succeeded)
    with second_portal(own_stack, watched) as other_url:
        wait_until(lambda: watch.number('sum(dss_ready{job="portal"})') == 2, 60)
        looked = f'count(dss_tickets{{service="{LUNGS}", status="success"}} > 0)'
        wait_until(lambda: watch.number(looked) == 2, 20)

        for url in (own_stack.url, other_url, other_url):
            assert httpx.get(f"{url}/about").status_code == httpx.codes.OK

        wait_until(lambda: watch.number(asked) == 3, 20, lambda: f"{watch.samples(asked)}")
        assert watch.number(succeeded) == tickets


@contextmanager
def second_portal(stack: Stack, watched: Watched) -> Iterator[str]:
    """The address of another portal beside that of ``stack``, looked at as well."""
    port, metrics = free_port(), free_port()
    environment = {
        **stack.environment,
        "DSS_BIND": f"127.0.0.1:{port}",
        "DSS_METRICS_BIND": f"127.0.0.1:{metrics}",
    }
    command = [sys.executable, "-m", *PROGRAMS["portal"]]
    with (stack.folder / "second.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    both = [*watched.targets["portal"], f"127.0.0.1:{metrics}"]
    watched.server.start({**watched.targets, "portal": both})
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        watched.server.start(watched.targets)
        process.terminate()
        process.wait(60)


@contextmanager
def _channel(stack: Stack) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(stack.amqp_url))
    try:
        yield connection.channel()
    finally:
        connection.close()
