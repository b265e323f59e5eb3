"""The bootstrap: it runs before anything is installed, and repairs what a killed one has left."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dss_stack.bootstrap import debian, downloads, torch_build
from dss_stack.bootstrap.command_runner import CommandRunner
from dss_stack.bootstrap.environment import Environment
from dss_stack.errors import ServerMissing, StackError
from dss_stack.servers import find_postgres, find_rabbitmq
from dss_stack.settings import CHECKOUT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
    (tmp_path / "requirements.lock").write_text("torch==2.13.0\n", encoding="utf-8")
    return tmp_path


def fulfil(environment: Environment, checkout: Path) -> None:
    (checkout / ".venv").mkdir(exist_ok=True)
    (checkout / ".venv" / "complete").write_text(environment._wishes(), encoding="utf-8")


def test_the_bootstrap_needs_nothing_but_the_standard_library() -> None:
    words = [sys.executable, "-I", "-S", str(CHECKOUT / "infra" / "bootstrap.py"), "--help"]

    assert subprocess.run(words, check=False, capture_output=True).returncode == 0


def test_an_environment_that_was_completed_is_complete(checkout: Path) -> None:
    fulfil(Environment(checkout, {"portal"}), checkout)

    assert Environment(checkout, {"portal"}).complete()


def test_other_pins_make_an_environment_incomplete(checkout: Path) -> None:
    fulfil(Environment(checkout, {"portal"}), checkout)
    (checkout / "requirements.lock").write_text("torch==2.14.0\n", encoding="utf-8")

    assert not Environment(checkout, {"portal"}).complete()


def test_an_environment_with_more_extras_than_wanted_is_complete(checkout: Path) -> None:
    fulfil(Environment(checkout, {"portal", "dev"}), checkout)

    assert Environment(checkout, {"portal"}).complete()


def test_a_package_that_was_half_installed_is_forgotten(checkout: Path) -> None:
    packages = checkout / ".venv" / "lib" / "python3.11" / "site-packages"
    for name in ("half", "whole"):
        (packages / f"{name}-1.dist-info").mkdir(parents=True)
    (packages / "whole-1.dist-info" / "RECORD").write_text("", encoding="utf-8")

    Environment(checkout, {"portal"})._forget_half_installed()

    assert [info.name for info in packages.iterdir()] == ["whole-1.dist-info"]


def test_a_command_that_fails_is_told_with_its_purpose_and_last_line(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        workshop = CommandRunner(tmp_path, tmp_path / "log", lock)

        with pytest.raises(StackError, match="Baking bread failed: no flour"):
            workshop.run(["sh", "-c", "echo no flour; exit 1"], purpose="Baking bread")


def test_what_a_command_prints_is_in_the_log(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        CommandRunner(tmp_path, tmp_path / "log", lock).run(["echo", "flour"], purpose="Baking")

    assert "flour" in (tmp_path / "log").read_text(encoding="utf-8")


@pytest.mark.parametrize("place", ["bin/erl", "erts-13.1.5/bin/erl"])
def test_unpacked_erlang_starts_from_where_it_was_unpacked_to(tmp_path: Path, place: str) -> None:
    script = tmp_path / "new/usr/lib/erlang" / place
    script.parent.mkdir(parents=True)
    script.write_text("    ROOTDIR=/usr/lib/erlang\nexec $ROOTDIR/x\n", encoding="utf-8")

    debian._move_erlang(tmp_path / "new", tmp_path / "sysroot")

    assert f"ROOTDIR='{tmp_path}/sysroot/usr/lib/erlang'" in script.read_text(encoding="utf-8")


def test_servers_that_were_unpacked_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("rabbitmq/bin/rabbitmq-server", "erlang/bin/erl", "postgresql/15/bin/initdb"):
        (tmp_path / "usr/lib" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "usr/lib" / name).touch()
    monkeypatch.setattr("dss_stack.servers.MACHINE", tmp_path / "bare")

    assert find_rabbitmq(tmp_path).folder == tmp_path / "usr/lib/rabbitmq/bin"
    assert find_postgres(tmp_path).folder == tmp_path / "usr/lib/postgresql/15/bin"


def test_a_missing_server_is_told_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dss_stack.servers.MACHINE", tmp_path)

    with pytest.raises(ServerMissing, match="install the package rabbitmq-server"):
        find_rabbitmq()


def test_unpacking_more_keeps_what_was_unpacked_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sysroot/usr/bin").mkdir(parents=True)
    (tmp_path / "sysroot/usr/bin/old").touch()
    done: list[str] = []
    monkeypatch.setattr(CommandRunner, "run", lambda *_, purpose, **__: done.append(purpose))

    with (tmp_path / "lock").open("w") as lock:
        debian.unpack(
            CommandRunner(tmp_path, tmp_path / "log", lock), ["new"], tmp_path / "sysroot"
        )

    assert (tmp_path / "sysroot/usr/bin/old").exists()
    assert done == ["Fetching new"] * 2


def test_a_machine_without_a_gpu_takes_torch_alone_from_the_folder_of_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSS_TORCH_CPU", str(tmp_path))

    options = torch_build.cpu_source(gpu=False)

    assert options == ["--no-deps", "--no-index", "--find-links", str(tmp_path)]


def test_a_machine_without_a_gpu_takes_torch_alone_from_the_index_of_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DSS_TORCH_CPU", "https://wheels.hospital.example/cpu")

    options = torch_build.cpu_source(gpu=False)

    assert options == ["--no-deps", "--index-url", "https://wheels.hospital.example/cpu"]


def test_a_machine_with_a_gpu_takes_the_build_that_pip_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSS_TORCH_CPU", str(tmp_path))
    (tmp_path / "nvidiactl").touch()

    assert torch_build.has_gpu([tmp_path / "nvidiactl"])
    assert not torch_build.has_gpu([tmp_path / "absent"])
    assert torch_build.cpu_source(gpu=True) == []


def test_a_wheel_folder_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSS_TORCH_CPU", "/no/such/folder")

    with pytest.raises(StackError, match="'/no/such/folder', which is no folder here"):
        torch_build.cpu_source(gpu=False)


def test_what_will_be_downloaded_is_summed_up(tmp_path: Path) -> None:
    sizes = {
        "torch": 900_000_000,
        "nvidia-cublas-cu13": 600_000_000,
        "quart": 900_000,
        "nvidia-ml-py": 100_000,
    }
    for name, size in sizes.items():
        with (tmp_path / f"{name}.whl").open("wb") as wheel:
            wheel.truncate(size)
    report = tmp_path / "report.json"
    report.write_text(
        json.dumps({"install": [_planned(tmp_path, name) for name in sizes]}), encoding="utf-8"
    )

    planned = downloads.planned(report)

    assert downloads.summary(planned) == (
        "4 packages, 1.5 GB; the largest is torch 1.0 with 900 MB"
    )
    assert downloads.cuda_bytes(planned) == sizes["nvidia-cublas-cu13"]
    assert "0.6 GB of this are CUDA libraries" in torch_build.advice(600_000_000)


def test_the_project_itself_is_not_downloaded(tmp_path: Path) -> None:
    own = {"metadata": {"name": "us", "version": "1"}, "download_info": {"dir_info": {}, "url": ""}}
    (tmp_path / "report.json").write_text(json.dumps({"install": [own]}), encoding="utf-8")

    planned = downloads.planned(tmp_path / "report.json")

    assert downloads.summary(planned) == "Nothing has to be downloaded."


def _planned(folder: Path, name: str) -> dict[str, object]:
    url = (folder / f"{name}.whl").as_uri()
    return {"metadata": {"name": name, "version": "1.0"}, "download_info": {"url": url}}
