"""The client alone: what it brings, how large that is, and that it works with nothing else installed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conftest import CHECKOUT
from dss_stack.images import one_program
from support.builders import image, write_image
from support.recorder import COOKIE, Recorder, ok, recording

MOST_DIRECT = 6
MOST_BYTES = 5_000_000
HASH = "a" * 40
SERVICE = b'{"name": "lungs", "githash": "%s", "version": "1.0.0", "shortdesc": "Lungs"}' % (
    HASH.encode()
)
DETAIL = b'{"tags": [{"name": "CT", "type": "MainImage", "required": true, "hint": ""}]}'
ENDED = b'{"result": {"status": "success", "progress": 1.0, "log": []}}'
WORKSPACE = b'<?xml version="1.0" encoding="UTF-8" ?>\n<registry></registry>\n'
ANSWERS = {
    "GET /api/login": ok(b'{"result": {"email": "a@b"}}'),
    "POST /api/login": ok(b'{"result": {"email": "a@b"}}', f"Set-Cookie: {COOKIE}; Path=/"),
    "GET /api/services?": ok(b'{"result": [' + SERVICE + b"]}"),
    "GET /api/services/": ok(DETAIL),
    "GET /api/tickets/summary": ok(
        b'{"result": [{"id": 7, "service": "lungs", "status": "ready"}]}'
    ),
    "POST /api/tickets": ok(b"7"),
    "POST /api/tickets/7/": ok(b"success"),
    "GET /api/tickets/7/detail": ok(ENDED),
    "GET /api/tickets/7/checksums": ok(b'{"result": []}'),
    "GET /api/tickets/7/files/results": ok(b"0,b.itksnap\r\n"),
    "GET /api/tickets/7/files/results/0": ok(WORKSPACE),
}


def required(name: str) -> list[str]:
    parsed = [Requirement(line) for line in requires(name) or []]
    return [r.name for r in parsed if r.marker is None or r.marker.evaluate({"extra": ""})]


def closure(names: list[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in found:
            found.add(name)
            waiting += required(name)
    return found


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    import tomllib  # noqa: PLC0415  (beside its only use)

    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["client"]]
    return [Requirement(line).name for line in lines]


@pytest.fixture(scope="module")
def alone(direct: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of modules: what ``pip install itksnap-dss-client`` would install, byte for byte but for its own caches."""
    folder = tmp_path_factory.mktemp("alone") / "modules"
    one_program.write("client", CHECKOUT, folder)
    for name in closure(direct):
        for file in distribution(name).files or []:
            source = Path(str(file.locate()))
            inside = ".." not in file.parts and file.suffix != ".pyc"
            if inside and source.is_file():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, folder / file)
    return folder


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording(dict(ANSWERS)) as recorder:
        yield recorder


class Dss:
    """Runs ``dss`` with these modules only."""

    def __init__(self, modules: Path, home: Path) -> None:
        self._modules = modules
        self._home = home

    def __call__(self, *words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-S", "-c", "from dss_client.start import main; main()", *words],
            env={"PYTHONPATH": str(self._modules), "HOME": str(self._home), "LC_ALL": "C.UTF-8"}
            | {"PATH": os.environ["PATH"]}
            | settings,
            cwd=self._home,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )


@pytest.fixture
def dss(alone: Path, tmp_path: Path) -> Dss:
    return Dss(alone, tmp_path)


def test_the_client_asks_for_few_libraries_and_is_small(direct: list[str], alone: Path) -> None:
    size = sum(path.stat().st_size for path in alone.rglob("*") if path.is_file())

    assert len(direct) <= MOST_DIRECT
    assert size <= MOST_BYTES


def test_a_scan_is_sent_as_it_is_and_its_results_are_fetched(
    dss: Dss, recorder: Recorder, tmp_path: Path
) -> None:
    scan = write_image(tmp_path / "scan.nii.gz", image())
    place = ["--server", recorder.address, "--token", "dss_x"]

    done = dss("send", str(scan), "--service", "lungs", "--output", "out", *place)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/b.itksnap").read_bytes() == WORKSPACE
    assert any(scan.read_bytes() in request.body for request in recorder.requests)
    assert "[images]'" in done.stdout


def test_login_is_kept_for_the_owner_alone_and_serves_the_other_commands(
    dss: Dss, recorder: Recorder, tmp_path: Path
) -> None:
    signed_in = dss("login", "--server", recorder.address, "--token", "dss_x")

    listed = dss("tickets", "--server", recorder.address)
    signed_out = dss("logout", "--server", recorder.address)

    assert signed_in.stdout.startswith("Signed in as a@b. The token is kept in ")
    assert recorder.requests[1].header("Authorization") == "Bearer dss_x"
    assert listed.stdout.split() == ["7", "ready", "lungs"]
    assert signed_out.stdout == f"Signed out of {recorder.address}.\n"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["images", "scan.nrrd"], "images"),
        (["send", "scan.nrrd", "--dry-run"], "images"),
        (["send", "scan.nrrd", "--service", "lungs"], "images"),
        (["send", ".", "--each", "--service", "lungs"], "images"),
        (["send", ".", "--service", "lungs"], "images"),
        (["service", "new", "own"], "provider"),
    ],
)
def test_a_command_that_needs_an_extra_says_so_in_one_sentence(
    dss: Dss, recorder: Recorder, tmp_path: Path, words: list[str], extra: str
) -> None:
    write_image(tmp_path / "scan.nrrd", image())

    done = dss(*words, DSS_SERVER=recorder.address, DSS_TOKEN="dss_x")

    assert done.returncode == 2
    assert f"pip install 'itksnap-dss-middleware[{extra}]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_its_libraries_the_command_says_what_to_install(
    alone: Path, tmp_path: Path
) -> None:
    for name in ("dss_client", "dss_process"):
        shutil.copytree(alone / name, tmp_path / name)

    done = Dss(tmp_path, tmp_path)("--help")

    assert done.returncode == 2
    assert "pip install 'itksnap-dss-middleware[client]'" in done.stderr
    assert "Traceback" not in done.stderr
