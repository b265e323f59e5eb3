"""The private servers: ready when they say so, and none the worse for being killed."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dss_stack.ports import is_open
from dss_stack.postgres import PostgresCluster
from dss_stack.prometheus import CONFIGURATION
from dss_stack.rabbitmq import RabbitNode
from support import loopback
from support.dashboards import panels
from support.rabbitmq_tools import run_tool

pytestmark = pytest.mark.stack


@pytest.fixture
def own_cluster(postgres: PostgresCluster, tmp_path: Path) -> Iterator[PostgresCluster]:
    """A cluster that a test may kill."""
    cluster = PostgresCluster(tmp_path, sysroot=postgres.sysroot)
    yield cluster
    cluster.stop()


def test_the_console_knows_our_user(rabbit: RabbitNode) -> None:
    answer = loopback.get(f"{rabbit.console_url}/api/whoami", auth=(rabbit.user, rabbit.password))

    assert answer.json()["name"] == rabbit.user


def test_there_is_no_guest(rabbit: RabbitNode) -> None:
    answer = loopback.get(f"{rabbit.console_url}/api/whoami", auth=("guest", "guest"))

    assert answer.status_code == httpx.codes.UNAUTHORIZED


def test_rabbitmq_has_metrics(rabbit: RabbitNode) -> None:
    assert "rabbitmq_identity_info" in loopback.get(f"http://{rabbit.metrics}/metrics").text


def test_rabbitmq_exposes_what_panels_and_rules_ask_for(rabbit: RabbitNode) -> None:
    pages = (
        "/metrics",
        "/metrics/detailed?family=queue_coarse_metrics&family=queue_consumer_count",
    )
    text = "".join(loopback.get(f"http://{rabbit.metrics}{page}").text for page in pages)
    exposed = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    rules = "".join(
        file.read_text(encoding="utf-8") for file in (CONFIGURATION / "rules").iterdir()
    )
    queries = [query for panel in panels() for query in panel.queries]
    asked = set(re.findall(r"\brabbitmq_\w+", " ".join([rules, *queries])))

    begun = {"rabbitmq_alarms_", "rabbitmq_raft_"}  # the beginnings of patterns
    assert asked - exposed <= begun


def test_a_command_line_tool_works_if_another_program_has_its_port(rabbit: RabbitNode) -> None:
    with socket.create_server(("127.0.0.1", rabbit._ports["ctl"])):
        assert "RabbitMQ" in run_tool(rabbit, "rabbitmqctl", "status")


def test_a_second_start_finds_the_same_node(rabbit: RabbitNode) -> None:
    process = rabbit.process

    rabbit.start()

    assert rabbit.process == process


def test_a_second_start_finds_the_same_cluster(own_cluster: PostgresCluster) -> None:
    own_cluster.start()
    process = own_cluster.process

    own_cluster.start()

    assert own_cluster.process == process


def test_a_killed_cluster_starts_again(own_cluster: PostgresCluster) -> None:
    own_cluster.start()
    own_cluster.kill()

    own_cluster.start()

    assert own_cluster.ready()


def test_a_cluster_that_was_half_made_is_made_anew(
    own_cluster: PostgresCluster, tmp_path: Path
) -> None:
    (tmp_path / "data.new").mkdir()
    (tmp_path / "data.new" / "PG_VERSION").write_text("15\n", encoding="utf-8")

    own_cluster.start()

    assert own_cluster.ready()


def test_stopping_leaves_nothing_running(own_cluster: PostgresCluster) -> None:
    own_cluster.start()

    own_cluster.stop()

    assert not own_cluster.running


def test_a_killed_node_can_be_stopped_to_the_last_process(
    rabbit: RabbitNode, tmp_path: Path
) -> None:
    node = RabbitNode(tmp_path, sysroot=rabbit.sysroot)
    node.start()
    node.kill()

    node.stop()

    assert not is_open(node._ports["epmd"])
