"""``make client``, as printed: its wheel, installed into an environment with nothing else, works and is small."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from conftest import CHECKOUT
from support.recorder import Recorder, ok, recording

NOTHING: Mapping[str, str] = MappingProxyType({})
MOST_DIRECT = 6
MOST_BYTES = 5_000_000


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and what it pulls."""
    dist, environment = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("environment")
    run("make", "-s", "client", f"PYTHON={sys.executable}", f"DIST={dist}")
    (wheel,) = dist.glob("itksnap_dss_client-*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", str(environment))
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin/python")]
    run(*pip, "install", "--quiet", "--no-compile", str(wheel))
    return environment


def run(*command: str, cwd: Path = CHECKOUT, settings: Mapping[str, str] = NOTHING) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **settings},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    row = b'{"name": "lungs", "githash": "a", "version": "1.0.0", "shortdesc": "Lungs"}'
    answers = {
        "GET /api/services?": ok(b'{"result": [' + row + b"]}"),
        "GET /api/services/estimates": ok(b'{"result": []}'),
        "GET /api/services/a/detail": ok(b'{"name": "lungs", "tags": []}'),
    }
    with recording(answers) as recorder:
        yield recorder


def test_it_is_small_with_all_that_it_pulls(installed: Path) -> None:
    files = [
        path
        for path in installed.rglob("*")
        if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts
    ]
    (metadata,) = installed.rglob("itksnap_dss_client-*.dist-info/METADATA")
    lines = metadata.read_text(encoding="utf-8").splitlines()
    direct = [line for line in lines if line.startswith("Requires-Dist") and "extra ==" not in line]

    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    assert 0 < len(direct) <= MOST_DIRECT


def test_it_works_alone(installed: Path, recorder: Recorder, tmp_path: Path) -> None:
    dss = str(installed / "bin/dss")
    own = {"DSS_SERVER": recorder.address, "DSS_TOKEN": "dss_x", "HOME": str(tmp_path)}

    assert run(dss, "--help").startswith("Usage: dss ")
    assert run(dss, "login", "--help").startswith("Usage: dss login")
    assert run(dss, "services", settings=own) == "lungs  1.0.0  Lungs\n"
    lacking = subprocess.run(
        [dss, "send", str(tmp_path), "--service", "lungs"],
        env={**os.environ, **own},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert "pip install 'itksnap-dss-client[images]'" in lacking.stderr
    inside = run(str(installed / "bin/python"), "-c", "import dss_client; print(dss_client.Client)")
    assert inside == "<class 'dss_client.client.Client'>\n"


def test_it_brings_no_other_program_of_ours(installed: Path) -> None:
    ours = {
        path.name
        for path in installed.rglob("dss_*")
        if path.is_dir() and "site-packages" in str(path)
    }

    assert "dss_client" in ours
    assert not ours & {"dss_portal", "dss_dispatch", "dss_inference", "dss_stack"}
