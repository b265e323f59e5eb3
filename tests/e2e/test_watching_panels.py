"""A real Prometheus watches the real programs under load: every rule and every panel gets an answer."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from dss_client.itksnap import ItkSnap
from dss_client.sending import send
from support import loopback
from support.builders import image, write_image
from support.dashboards import Panel, filled_in, panels
from support.own_services import ended, submit
from support.stacks import PROGRAMS, Stack, free_port
from support.waiting import wait_until
from support.watchers import Quiet
from support.watching import LUNGS, Questions, Watched, unused_thresholds

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("work")]

NO_DATA = {
    "portal: Certificates": "the addresses of a test are not encrypted",
    "workers: Batch size": "lungs are found by rules, without a network",
}
"""Panels that have nothing to show here, and why."""


def test_every_rule_can_be_evaluated(watch: Questions) -> None:
    wait_until(lambda: watch.broken_rules() == [], 20, lambda: f"{watch.broken_rules()}")
    assert unused_thresholds() == []


def test_every_panel_shows_data_while_tickets_come_through_and_fail(
    own_stack: Stack, watch: Questions, user: ItkSnap, scan: Path, tmp_path: Path
) -> None:
    series = write_image(tmp_path / "series.nii.gz", image((6, 6, 6, 3)))
    done = threading.Event()

    def load() -> None:
        while not done.is_set():
            send(user, scan, LUNGS, tmp_path, Quiet())
            ended(user, submit(user, LUNGS, tmp_path, series, "CT"))
            loopback.post(f"{own_stack.url}/api/login", data={"token": "wrong"})

    loading = threading.Thread(target=load)
    loading.start()
    try:
        blank = [panel for panel in panels() if panel.title not in NO_DATA]
        wait_until(lambda: not _still_blank(watch, blank), 180, lambda: f"{_queries(blank)}")
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
    wait_until(lambda: LUNGS in watch.values("service", "dss_tickets"), 30)
    values = {"service": LUNGS, "bundle": bundle, "__rate_interval": "2m"}
    return [filled_in(query, values) for query in panel.queries]


def _queries(blank: list[Panel]) -> dict[str, list[str]]:
    return {panel.title: panel.queries for panel in blank}


def test_panels_that_may_be_blank_are_still_there_and_their_queries_are_understood(
    watch: Questions,
) -> None:
    known = {panel.title: panel for panel in panels()}

    for title in NO_DATA:
        for query in _asked(watch, known[title]):
            watch.samples(query)


def test_two_portals_are_summed_where_they_count_and_not_where_they_look(
    own_stack: Stack, watched: Watched, watch: Questions
) -> None:
    tickets = f'sum(dss_tickets{{service="{LUNGS}", status="success"}})'
    looked = f'scalar(service:tickets:max{{service="{LUNGS}", status="success"}})'
    asked = 'sum(dss_http_requests_total{route="/about"})'
    with second_portal(own_stack, watched) as other_url:
        wait_until(lambda: watch.number('sum(dss_ready{job="portal"})') == 2, 60)

        for url in (own_stack.url, other_url, other_url):
            assert loopback.get(f"{url}/about").status_code == httpx.codes.OK

        wait_until(lambda: watch.number(asked) == 3, 20, lambda: f"{watch.samples(asked)}")
        wait_until(lambda: watch.number(f"{tickets} / {looked}") == 2, 20)


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
