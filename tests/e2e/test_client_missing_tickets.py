"""Every ``dss`` command that takes a number says so if the user has no such ticket, and does nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dss_client.itksnap import ItkSnap
from support import own_services
from support.own_services import submit
from support.sites import Site

pytestmark = pytest.mark.stack

site = own_services.site
user = own_services.user

COMMANDS = (
    ("show", "N"),
    ("show", "N", "--json"),
    ("watch", "N"),
    ("log", "N"),
    ("log", "N", "--json"),
    ("log", "N", "--follow"),
    ("download", "N", "out"),
    ("download", "N", "out.zip"),
    ("retry", "N"),
    ("delete", "N"),
    ("delete", "N", "--yes"),
    ("open", "N", "--page"),
    ("open", "N"),
)


def dss(site: Site, token: str, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """With a browser that leaves a file, and an ITK-SNAP that does."""
    (folder / "bin").mkdir(exist_ok=True)
    for name in ("itksnap", "browser"):
        (folder / "bin" / name).write_text(f"#!/bin/sh\n: > {folder}/opened\n", encoding="utf-8")
        (folder / "bin" / name).chmod(0o755)
    own = {"DSS_SERVER": site.url, "DSS_TOKEN": token, "HOME": str(folder)}
    path = f"{folder}/bin:{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "dss_client", *words],
        cwd=folder,
        env={**os.environ, **own, "PATH": path, "BROWSER": f"{folder}/bin/browser %s"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )


@pytest.fixture(scope="module")
def token(site: Site) -> str:
    site.stack.token("bob@example.com")
    return site.stack.command("tokens", "create", "bob@example.com", "--scope", "tickets").split()[
        -1
    ]


@pytest.fixture(scope="module")
def anothers(site: Site, user: ItkSnap, tmp_path_factory: pytest.TempPathFactory) -> int:
    """A ticket that the owner of ``token`` may not see."""
    folder = tmp_path_factory.mktemp("anothers")
    site.offer(folder, "OTHERS", name="bright")
    return submit(user, "bright", folder)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_ticket_that_the_user_does_not_have_is_told(
    site: Site, token: str, anothers: int, tmp_path: Path, words: tuple[str, ...]
) -> None:
    for number in (anothers, 999999):
        done = dss(site, token, tmp_path, *(str(number) if w == "N" else w for w in words))

        assert done.stderr == f"Ticket {number} does not exist, or it belongs to another user.\n"
        assert done.returncode == 2
        assert done.stdout == ""
    assert not (tmp_path / "opened").exists()
    assert {p.name for p in tmp_path.iterdir()} <= {"bin", ".config", ".cache"}
