# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Docker as the engine, an engine without its daemon, none at all, and containers that a killed publisher has left."""

from pathlib import Path

import pytest

from dss_provider import containers
from dss_provider.errors import ServiceInvalid
from dss_provider.folder import load
from support.boxed import Boxed

pytestmark = pytest.mark.slow


@pytest.fixture
def boxed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Boxed:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return Boxed(tmp_path)


@pytest.fixture
def docker(boxed: Boxed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Boxed:
    """A machine with docker alone, and a publisher that is not root.  The command line is that of Docker's reference."""
    (tmp_path / "bin/podman").rename(tmp_path / "bin/docker")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{python_only(tmp_path)}")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("os.getegid", lambda: 100)
    return boxed


def python_only(folder: Path) -> Path:
    """A folder with the programs that the tests' script needs, and no engine."""
    (folder / "tools").mkdir()
    for name in ("sh", "cp"):
        (folder / "tools" / name).symlink_to(f"/bin/{name}")
    return folder / "tools"


def test_docker_gets_the_words_of_its_own_reference(docker: Boxed) -> None:
    found = docker.run("cp $1 $2", memory_gb=1, time_s=60, gpu=True)

    assert len(found.segmentations) == 1
    words = docker.words()
    assert words.startswith("run --rm --name dss-")
    for option in (
        "--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges",
        "--pull never --pids-limit 4096 --log-driver none",
        "--network none",
        "--user 1000:100",
        "--gpus all",
        f"--memory {2**30}b --memory-swap {2**30}b",
    ):
        assert option in words
    assert "--timeout" not in words, "podman's alone"


def test_an_engine_without_its_daemon_says_so(boxed: Boxed, tmp_path: Path) -> None:
    engine = tmp_path / "bin/podman"
    engine.write_text("#!/bin/sh\necho Cannot connect to the daemon. >&2; exit 1\n", "utf-8")

    with pytest.raises(ServiceInvalid) as caught:
        load(boxed.folder)

    assert str(caught.value) == (
        "dispatch.provider: podman does not run containers: Cannot connect to the daemon."
    )


def test_a_machine_without_an_engine_says_so(boxed: Boxed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(containers.CHOICE, "no-such-engine")

    with pytest.raises(ServiceInvalid, match="this machine has no no-such-engine"):
        load(boxed.folder)


def test_containers_of_a_killed_publisher_are_removed_and_no_others(boxed: Boxed) -> None:
    mine = containers.new_name()
    machine, own, began, _ = mine.rsplit("-", 3)
    killed, other = f"{machine}-{own}-{int(began) - 1}-a", f"{machine}x-1-1-a"
    (boxed.state / "names").write_text(f"{mine}\n{killed}\n{other}\nweb\n", encoding="utf-8")

    containers.end_orphans()

    removed = boxed.state / "removed"
    assert removed.read_text(encoding="utf-8").split() == [killed]
    containers.end_orphans(and_own=True)
    assert removed.read_text(encoding="utf-8").split() == [killed, mine, killed]
