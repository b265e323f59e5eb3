"""The datastore in a bucket: the S3 server lives, since it keeps files in memory, and the links to it are hurt."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

from dss_datastore.s3.bucket import MARK, Bucket
from support.s3_servers import KEYS, Link, s3_server, settings_of

SECOND_PART = b"partNumber=2"
SLOW_S = 0.1
"""Extra time of each piece that a slow link carries; a request has two or more."""


def _slow(link: Link) -> None:
    link.pause_s = SLOW_S


def _cut_uploads(link: Link) -> None:
    link.cut_at = SECOND_PART


OF_THE_LINK: dict[str, Callable[[Link], None]] = {
    "cut the link to S3": Link.cut,
    "S3 answers 503": Link.fail,
    "slow link to S3": _slow,
    "cut uploads to S3 half-way": _cut_uploads,
}
"""Faults of a link, until it is mended."""


class BucketStore:
    """A datastore in a bucket, with a link to it for each program."""

    faults = frozenset(OF_THE_LINK)

    def __init__(self, folder: Path) -> None:
        """``folder``, which is made, gets scratch folders and the server's log."""
        self._folder = folder
        self._open = ExitStack()
        self.links: dict[str, Link] = {}
        self.bucket: Bucket

    def open(self) -> None:
        """Without the datastore, which a portal makes for this new site."""
        self._folder.mkdir()
        self._open.enter_context(patch.dict(os.environ, KEYS))
        server = s3_server(self._folder, S3_UPLOAD_PART_MIN_SIZE="256")
        self._server = self._open.enter_context(server)
        self.bucket = self._server.new_bucket()
        self.bucket.remove(MARK)

    def close(self) -> None:
        self._open.close()

    def settings(self, program: str) -> dict[str, str]:
        link = self._open.enter_context(Link(self._server.address))
        self.links[program] = link
        return settings_of(self.bucket, link.endpoint, self._folder / "scratch" / program)

    def places(self) -> set[str]:
        """The keys of all files."""
        return {found.key for found in self.bucket.list("")} - {MARK}

    def content(self, place: str) -> bytes:
        with self.bucket.open(place) as file:
            return file.read()
