# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A quick service of two threads, which segments all above 500 and refuses an empty image; and scans for it."""

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_broker.dispatch_section import Modality
from dss_provider.new_folder import make
from dss_stack.postgres import PostgresCluster
from support import sites
from support.brokers import Node, fresh_vhost
from support.sites import ROOT, Site
from support.waiting import wait_until

DSS = [sys.executable, "-m", "dss_client"]
CODE = """\
from dss_provider import CannotSegment, Segmentation

def segment(image):
    if image.array.max() == 0:
        raise CannotSegment("The image is empty.")
    return Segmentation(image.array > 500, {1: "Block"})
"""


@contextmanager
def block_site(
    rabbit: Node, postgres: PostgresCluster, folder: Path, open_tickets: int, parallel: int = 2
) -> Iterator[Site]:
    """A portal with the service ``block``, whose guests may have that many tickets open."""
    with fresh_vhost(rabbit) as amqp_url:
        running = sites.start(amqp_url, postgres, folder)
        try:
            with publisher(running, folder / "service", parallel):
                wait_until(lambda: running.sql("SELECT 1 FROM service WHERE name = 'block'"), 60)
                running.sql("UPDATE tier SET max_tickets = $1 WHERE name = 'guest'", open_tickets)
                yield running
        finally:
            running.stack.stop()


def publisher(site: Site, folder: Path, parallel: int = 2) -> "subprocess.Popen[str]":
    site.stack.command("providers", "add", "LAB")
    site.stack.token(ROOT, "--sysadmin")
    site.stack.command("providers", "add-user", "LAB", ROOT)
    scopes = ["--scope", "provider", "--scope", "admin"]
    token = site.stack.command("tokens", "create", ROOT, *scopes).split()[-1]
    make(folder / "block", Modality.ANY)
    (folder / "block" / "algorithm.py").write_text(CODE, encoding="utf-8")
    words = ["service", "publish", str(folder / "block"), "--provider", "LAB"]
    words += ["--parallel", str(parallel)]
    return _Ended(
        [*DSS, *words],
        env={**os.environ, "DSS_SERVER": site.url, "DSS_TOKEN": token, "HOME": str(folder)},
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )


class _Ended(subprocess.Popen[str]):
    """A process that is ended when its block is left."""

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait(10)


def write_scan(path: Path, voxels: int) -> None:
    """An image with that many voxels of a cubic millimetre in the block, at most 8 * 6."""
    array = np.zeros((8, 8, 8), np.int16)
    array.ravel()[64 : 64 + voxels] = 1000
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def guest_token(site: Site, email: str) -> str:
    """For programs, with a guest's quota."""
    site.stack.token(email, "--tier", "guest")
    return site.stack.command("tokens", "create", email, "--scope", "tickets").split()[-1]
