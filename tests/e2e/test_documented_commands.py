"""The commands of the documentation, as printed, by the real programs: each page's blocks in one shell."""

import json
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from conftest import CHECKOUT
from dss_inference.device.runner import runner_for
from dss_phantom.chest import PhantomSpec, make_phantom
from support.builders import service_json, write_image
from support.sites import ROOT
from support.stacks import Stack

pytestmark = pytest.mark.stack

PAGES = CHECKOUT / "docs/pages"
BLOCK = re.compile(r"^```(sh|sh background|python run)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPEC = PhantomSpec(size=(96, 80, 72), spacing_mm=(4.0, 4.0, 4.5), seed=3)
NAMED = ("users/command-line.md", "users/library.md", "providers/guide.md", "admins/guide.md")


def blocks(page: str) -> list[tuple[str, str]]:
    return [(found[1], found[2]) for found in BLOCK.finditer((PAGES / page).read_text("utf-8"))]


def test_every_page_with_commands_is_run_here() -> None:
    with_commands = {
        str(p.relative_to(PAGES)) for p in PAGES.rglob("*.md") if BLOCK.search(p.read_text("utf-8"))
    }

    assert with_commands == set(NAMED)


@pytest.fixture(scope="module")
def environment(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of the portal, for ``dss-portal``, and for ``dss`` a token with all scopes of a user of a provider."""
    home = tmp_path_factory.mktemp("home")
    (home / "bin").mkdir()
    (home / "bin/dss").write_text(
        f'#!/bin/sh\nexec {sys.executable} -m dss_client "$@"\n', encoding="utf-8"
    )
    (home / "bin/dss").chmod(0o755)
    stack.token(ROOT, "--sysadmin", "--tier", "poweruser")
    stack.command("providers", "add", "LAB")
    stack.command("providers", "add-user", "LAB", ROOT)
    scopes = [word for scope in ("tickets", "provider", "admin") for word in ("--scope", scope)]
    token = stack.command("tokens", "create", ROOT, *scopes).split()[-1]
    return {
        **stack.environment,
        "PATH": f"{home / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "DSS_SERVER": stack.url,
        "DSS_TOKEN": token,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the files that the pages speak of: scan.nii.gz, a folder of scans, and service.json."""
    phantom = make_phantom(SPEC, runner_for("cpu", threads=2))
    write_image(tmp_path / "scan.nii.gz", phantom.ct)
    (tmp_path / "scans").mkdir()
    for name in ("one", "two"):
        (tmp_path / f"scans/{name}.nii.gz").write_bytes((tmp_path / "scan.nii.gz").read_bytes())
    described = json.dumps(service_json(name="listed-by-an-admin"))
    (tmp_path / "service.json").write_text(described, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("page", NAMED)
def test_the_commands_of_a_page_work_as_printed(
    page: str, environment: dict[str, str], folder: Path
) -> None:
    with ExitStack() as running:
        for mark, text in blocks(page):
            shell = ["bash", "-euo", "pipefail", "-c", text]
            command = [sys.executable, "-c", text] if mark == "python run" else shell
            if mark == "sh background":
                publisher = running.enter_context(
                    subprocess.Popen(
                        ["bash", "-c", f"exec {text}"],
                        cwd=folder,
                        env=environment,
                        stderr=subprocess.PIPE,
                        encoding="utf-8",
                    )
                )
                running.callback(publisher.kill)
                assert publisher.stderr is not None
                assert "gives tickets" in publisher.stderr.readline()
                continue
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                capture_output=True,
                encoding="utf-8",
                check=False,
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
