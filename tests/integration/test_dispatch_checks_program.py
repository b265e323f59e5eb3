"""``dss-dispatch check-results``: a site with providers over HTTP and without a dispatcher."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dss_broker.memory import MemoryBroker
from dss_broker.messages import CheckResults, ResultsAccepted, ResultsRefused
from dss_broker.rabbit import RabbitBroker
from dss_datastore.folder import shared
from dss_dispatch.checks import NOT_SUBSCRIBED, Checks
from dss_dispatch.uploads.handling import READ_LIMITS
from dss_stack.rabbitmq import RabbitNode
from support.brokers import fresh_vhost
from support.builders import result_files
from support.waiting import wait_until

pytestmark = pytest.mark.stack

CHECK = [sys.executable, "-m", "dss_dispatch", "check-results"]


def question(*names: str) -> CheckResults:
    return CheckResults(
        ticket_id=7,
        claim_id="c",
        results_dir="tickets/00000007/results",
        input_dir="tickets/00000007/input",
        names=names,
        patience_s=60,
    )


def test_it_judges_until_it_is_told_to_stop(rabbit: RabbitNode, tmp_path: Path) -> None:
    results = tmp_path / "tickets" / "00000007" / "results"
    results.mkdir(parents=True)
    for name, data in result_files().items():
        (results / name).write_bytes(data)
    with fresh_vhost(rabbit) as amqp_url, (tmp_path / "log").open("wb") as log:
        variables = {"DSS_AMQP_URL": amqp_url, "DSS_DATASTORE": str(tmp_path)}
        portal = RabbitBroker(amqp_url, "portal", "1")
        with subprocess.Popen(CHECK, env={**os.environ, **variables}, stderr=log) as program:
            wait_until(lambda: b"checking results" in (tmp_path / "log").read_bytes(), 60)

            good, bad = portal.request(question(*result_files())), portal.request(question())

            accepted = good.next(30)
            assert isinstance(accepted, ResultsAccepted)
            assert [file.mime_type for file in accepted.attachments] == ["image/png"]
            refused = bad.next(30)
            assert isinstance(refused, ResultsRefused)
            assert refused.reason.startswith("The results need exactly one workspace")
            program.send_signal(signal.SIGTERM)
            assert program.wait(30) == 0
        portal.close()


def test_it_is_not_ready_before_it_takes_requests(tmp_path: Path) -> None:
    broker = MemoryBroker()
    checks = Checks(broker, shared(tmp_path), instance="1", reads=READ_LIMITS)
    assert checks.problems() == [NOT_SUBSCRIBED]

    checks.start()

    assert checks.problems() == []
    assert checks.stop(10)
    broker.close()


def test_without_its_settings_it_says_which_are_missing() -> None:
    bare = {k: v for k, v in os.environ.items() if not k.startswith("DSS_")}

    done = subprocess.run(CHECK, env=bare, capture_output=True, encoding="utf-8", check=False)

    assert done.returncode == 2
    assert "DSS_AMQP_URL" in done.stderr
    assert "DSS_DATASTORE" in done.stderr
