"""The whole local stack: started, completed and stopped."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import CHECKOUT
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
    state = tmp_path_factory.mktemp("checkout") / ".dss"
    state.mkdir()
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


@pytest.fixture
def checkout(stack: Stack) -> Path:
    """The folder around the stack's state, which looks like a checkout to ``make provider`` and ``. .venv/bin/activate``."""
    folder = stack.state.parent
    own = {name: CHECKOUT / name for name in ("Makefile", "pyproject.toml")}
    for name, target in (own | {".venv": Path(sys.prefix)}).items():
        if not (folder / name).exists():
            (folder / name).symlink_to(target)
    return folder


def console_blocks(page: str) -> list[list[str]]:
    """The commands of each block of a page of the documentation that has prompts."""
    text = (CHECKOUT / "docs/pages" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [[line.removeprefix("$ ") for line in block.splitlines()] for block in blocks]


def shell(commands: list[str], folder: Path, home: Path) -> str:
    """Run the commands in one shell, without settings of DSS, and return what it wrote.  Each must succeed."""
    with shell_of(commands, folder, home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as done:
        said, _ = done.communicate()
    assert done.returncode == 0, f"{commands}\n{said}"
    return said


@contextmanager
def background(commands: list[str], folder: Path, home: Path) -> "Iterator[subprocess.Popen[str]]":
    """Run the commands in one shell, the last of which is ended with the block."""
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with shell_of(commands, folder, home, stdout=nothing, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def shell_of(
    commands: list[str], folder: Path, home: Path, *, stdout: int, stderr: int
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", "\n".join(commands)],
        cwd=folder,
        env=newcomers(folder / ".dss", home),
        stdout=stdout,
        stderr=stderr,
        encoding="utf-8",
    )


def newcomers(state: Path, home: Path) -> dict[str, str]:
    """The environment of a newcomer.  The state folder is named because the programs are those of another checkout."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("DSS_")}
    return bare | {"HOME": str(home), "DSS_STATE": str(state)}


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


def test_commands_of_the_portal_run_with_the_settings_of_the_stack(stack: Stack) -> None:
    stack.start(ignore)
    program = [sys.executable, "-m", "dss_stack", "portal"]

    added, listed = (
        subprocess.run(
            [*program, *words],
            env=newcomers(stack.state, stack.state.parent),
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        for words in (("users", "add", "ann@example.org", "--sysadmin"), ("users", "list"))
    )

    assert (added.returncode, listed.returncode) == (0, 0), added.stderr + listed.stderr
    assert "ann@example.org\tguest\tsysadmin" in listed.stdout


def test_the_commands_of_the_start_page_work_as_printed(
    stack: Stack, checkout: Path, tmp_path: Path
) -> None:
    """A newcomer's: a service of their own is published, and gets ten scans."""
    stack.start(ignore)
    sample.make_phantom(stack)
    up, first, own, scans = console_blocks("index.md")
    *made, publish = own

    assert up == ["make up"], "make test-setup runs it"
    shell(first, checkout, tmp_path)
    shell([*first[:2], *made], checkout, tmp_path)
    with background([*first[:2], f"exec {publish}"], checkout, tmp_path) as publisher:
        assert publisher.stderr is not None
        assert any("gives tickets of my-algorithm" in line for line in publisher.stderr)
        said = shell(scans, checkout, tmp_path)

    assert "10 of 10 succeeded" in said
    assert len((checkout / "study/volumes.csv").read_text("utf-8").splitlines()) == 11


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
