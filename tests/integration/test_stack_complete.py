"""The whole local stack: started, completed and stopped."""

import json
import os
import stat
import subprocess
from collections.abc import Iterator

import pytest

from dss_stack import processes, sample
from dss_stack.rabbitmq import RabbitNode
from dss_stack.settings import Settings
from dss_stack.stack import Stack
from support import loopback
from support.sites import DESCRIPTOR
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]


def ignore(_name: str) -> None:
    """Nobody looks on."""


def pids(stack: Stack) -> dict[str, int]:
    """Of the parts that live, by name."""
    return {part.name: part.process.pid for part in stack.parts() if part.process is not None}


def health_of_targets(stack: Stack) -> set[tuple[str, str]]:
    """The job and the health of everything that Prometheus scrapes."""
    answer = loopback.get(f"{stack.prometheus_url}/api/v1/targets").json()
    return {(t["labels"]["job"], t["health"]) for t in answer["data"]["activeTargets"]}


@pytest.fixture(scope="module")
def stack(rabbit: RabbitNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of its own, running when the first test begins."""
    state = tmp_path_factory.mktemp("stack")
    if rabbit.sysroot is not None and rabbit.sysroot.exists():
        (state / "sysroot").symlink_to(rabbit.sysroot)
    settings = Settings(
        state=state, amqp_url=None, database_url=None, datastore=None, bind=None, public_url=None
    )
    foreign = {name: value for name, value in os.environ.items() if not name.startswith("DSS_")}
    stack = Stack(settings, foreign | {"DSS_DEVICE": "cpu"})
    try:
        stack.start(ignore)
        yield stack
    finally:
        stack.stop(ignore)


def test_every_part_is_healthy_after_the_start(stack: Stack) -> None:
    stack.start(ignore)

    assert {part.name: part.healthy for part in stack.parts()} == dict.fromkeys(
        (
            "rabbitmq",
            "postgres",
            "prometheus",
            "portal",
            "inference",
            "dispatch-nodule-detection",
            "dispatch-lung-segmentation",
        ),
        True,
    )


def test_prometheus_reaches_every_program_and_the_broker(stack: Stack) -> None:
    stack.start(ignore)

    jobs = ("portal", "dispatch", "inference", "rabbitmq", "rabbitmq-queues", "prometheus")
    wait_until(lambda: health_of_targets(stack) == {(job, "up") for job in jobs}, 60)


def test_a_second_start_leaves_alone_what_runs(stack: Stack) -> None:
    stack.start(ignore)
    before = pids(stack)

    stack.start(ignore)

    assert pids(stack) == before


def test_a_provider_of_ones_own_gets_a_token_that_publishes(stack: Stack) -> None:
    stack.start(ignore)

    tokens = {sample.provider_token(stack, "LAB", ignore) for _ in range(2)}

    assert len(tokens) == 2
    for token in tokens:
        answer = loopback.post(
            f"{stack.addresses().public_url}/api/admin/providers/LAB/services",
            headers={"Authorization": f"Bearer {token}"},
            data={"descriptor": json.dumps(DESCRIPTOR | {"name": "own"})},
        )
        assert answer.status_code == 200, answer.text


def test_what_a_provider_needs_is_in_a_file_that_only_its_owner_reads(stack: Stack) -> None:
    stack.start(ignore)
    (stack.state / "provider.env").write_text("of an earlier provider", encoding="utf-8")
    said: list[str] = []

    file = sample.provider_variables(stack, "LAB", said.append)

    assert file == stack.state / "provider.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shell = f'. {file} && echo "$DSS_SERVER $DSS_TOKEN"'
    loaded = subprocess.run(["sh", "-c", shell], capture_output=True, encoding="utf-8", check=True)
    server, token = loaded.stdout.split()
    assert server == stack.addresses().public_url
    answer = loopback.get(f"{server}/api/login", headers={"Authorization": f"Bearer {token}"})
    assert answer.text == f"logged in as {sample.USER} \n"
    assert len(said) == 4
    assert token not in " ".join(said)
    sample.provider_variables(stack, "OTHER", said.append)
    assert token in file.read_text(encoding="utf-8")


def test_a_start_brings_back_what_was_killed_and_nothing_else(stack: Stack) -> None:
    stack.start(ignore)
    before = pids(stack)
    portal = stack.programs().portal.process
    assert portal is not None
    portal.kill()
    processes.wait_for_end([portal], timeout_s=10)

    stack.start(ignore)

    after = pids(stack)
    assert [name for name in before if after[name] != before[name]] == ["portal"]


def test_a_stopped_stack_leaves_no_process(stack: Stack) -> None:
    stack.start(ignore)

    stack.stop(ignore)

    assert pids(stack) == {}


def test_the_data_of_a_stopped_stack_is_there_after_the_next_start(stack: Stack) -> None:
    stack.start(ignore)
    stack.run("dss_portal", "users", "add", "kept@example.org", purpose="Adding a user")
    stack.stop(ignore)

    stack.start(ignore)

    assert "kept@example.org" in stack.run("dss_portal", "users", "list", purpose="Listing users")
