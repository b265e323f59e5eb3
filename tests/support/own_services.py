# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A newcomer's service that is published over HTTP alone, and users who send tickets to it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_broker.dispatch_section import Modality
from dss_client.itksnap import ItkSnap
from dss_provider.new_folder import make
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import sites
from support.brokers import fresh_vhost
from support.builders import LayerSpec, WorkspaceSpec, workspace_xml
from support.sites import ROOT, Site
from support.waiting import wait_until

PUBLISH = [sys.executable, "-m", "dss_client", "service", "publish"]


def service(folder: Path, name: str, code: str = "", modality: Modality = Modality.ANY) -> Path:
    make(folder / name, modality)
    if code:
        (folder / name / "algorithm.py").write_text(
            f"import time, os\nfrom dss_provider import *\n{code}"
        )
    return folder / name


@contextmanager
def published(
    site: Site, token: str, folder: Path, *options: str, through: str = ""
) -> Iterator["subprocess.Popen[str]"]:
    environment = {
        **os.environ,
        "DSS_SERVER": through or site.url,
        "DSS_TOKEN": token,
        "HOME": str(folder),
    }
    command = [*PUBLISH, str(folder), "--provider", "LAB", *options]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, encoding="utf-8"
    ) as running:
        try:
            assert running.stderr is not None
            assert "gives tickets" in running.stderr.readline()
            yield running
        finally:
            running.kill()


def scan(folder: Path, name: str = "scan.nii.gz") -> Path:
    """(x, y, z) = (20, 18, 16), a bright block of 4 x 4 x 4 voxels."""
    array = np.zeros((16, 18, 20), np.int16)
    array[4:8, 5:9, 6:10] = 1000
    built = sitk.GetImageFromArray(array)
    built.SetSpacing((1.5, 1.0, 2.0))
    built.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    sitk.WriteImage(built, str(folder / name))
    return folder / name


def submit(
    user: ItkSnap, name: str, folder: Path, path: Path | None = None, tag: str = "Image"
) -> int:
    """As ITK-SNAP does, with a label that is in the way of the service's.  ``path``, a file of ``folder``, is sent
    as it is.
    """
    path = path or scan(folder)
    spec = WorkspaceSpec(
        layers=(LayerSpec(tags=tag, file_name=path.name, folder=str(folder)),),
        labels={1: "tumour"},
    )
    workspace = folder / "mine.itksnap"
    workspace.write_bytes(workspace_xml(spec))
    number = user.create_ticket(name)
    user.upload(number, path)
    user.upload(number, workspace)
    user.submit(number)
    return number


def ended(user: ItkSnap, number: int, within_s: float = 60) -> str:
    wait_until(lambda: user.detail(number).finished, within_s, lambda: str(user.detail(number)))
    return user.detail(number).status


def log(user: ItkSnap, number: int) -> str:
    return "\n".join(line.message for line in user.detail(number).log)


@contextmanager
def lab(rabbit: RabbitNode, postgres: PostgresCluster, folder: Path) -> Iterator[Site]:
    """A site whose sysadmin is a user of the provider LAB."""
    with fresh_vhost(rabbit) as amqp_url:
        running = sites.start(amqp_url, postgres, folder)
        try:
            running.stack.command("providers", "add", "LAB")
            running.stack.token(ROOT, "--sysadmin")
            running.stack.command("providers", "add-user", "LAB", ROOT)
            yield running
        finally:
            running.stack.stop()


@pytest.fixture(scope="module")
def site(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with lab(rabbit, postgres, tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(scope="module")
def token(site: Site) -> str:
    scopes = ["--scope", "provider", "--scope", "admin"]
    return site.stack.command("tokens", "create", ROOT, *scopes).split()[-1]


@pytest.fixture(scope="module")
def user(site: Site) -> Iterator[ItkSnap]:
    with ItkSnap(site.url) as ann:
        ann.login(site.stack.token("ann@example.com"))
        yield ann
