"""The datastore in a bucket, as dispatchers and workers reach it: files are copied to a scratch folder and back."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from uuid import uuid4

from dss_datastore.access import WorkEnded, never
from dss_datastore.s3.bucket import Bucket
from dss_datastore.s3.reading import Stored
from dss_datastore.s3.scratch import Scratch
from dss_datastore.space import has_free
from dss_datastore.writing import replacing

BLOCK_BYTES = 1 << 20
MADE = ".made"
"""Name of an empty file that stands for its folder, because an S3 server has no folders."""


class S3Access:
    """Implements ``access.Access``: copies files between the bucket and ``root``, a folder in the scratch folder."""

    def __init__(
        self, bucket: Bucket, scratch: Scratch, root: Path, has_ended: Callable[[], bool]
    ) -> None:
        self.root = root
        self.fetched_bytes = 0
        self._bucket, self._scratch, self._has_ended = bucket, scratch, has_ended

    def make(self, folder: PurePosixPath) -> None:
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        self._bucket.put_bytes(f"{folder}/{MADE}", b"")

    def is_made(self, folder: PurePosixPath) -> bool:
        return self._bucket.has(f"{folder}/")

    def fetch(self, place: PurePosixPath, *, only: str = "") -> None:
        single = None if only else self._bucket.find(str(place))
        found = [single] if single else self._bucket.list(f"{place}/")
        for file in found:
            name = PurePosixPath(file.key).name
            is_folder = file.key.endswith("/")  # some tools make such a key for a folder
            if not is_folder and name != MADE and not _is_part(file.key) and only in {"", name}:
                self._fetch(file)

    def _fetch(self, file: Stored) -> None:
        """Copy a file from the bucket to ``root``, with the time of its last change.

        A file that is removed meanwhile, or whose key leads out of ``root``, is left out.
        """
        target = self.root / file.key
        if not target.resolve().is_relative_to(self.root):
            return
        self._scratch.take(file.size_bytes)
        self.fetched_bytes += file.size_bytes
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            self._copy(file.key, target)
            changed_s = file.changed_at.timestamp()
            os.utime(target, (changed_s, changed_s))

    def _copy(self, key: str, target: Path) -> None:
        with (
            self._bucket.open(key) as source,
            replacing(target) as temporary,
            temporary.open("wb") as file,
        ):
            while block := source.read(BLOCK_BYTES):
                if self._has_ended():
                    raise WorkEnded
                file.write(block)

    def put(self, folder: PurePosixPath, *, last: str = "") -> None:
        self._put(folder, folder, last)

    def put_results(self, folder: PurePosixPath) -> PurePosixPath:
        target = folder / uuid4().hex
        self._put(folder, target, "")
        return target

    def _put(self, folder: PurePosixPath, target: PurePosixPath, last: str) -> None:
        local = self.root / folder
        # Links are left out: a link may lead to any file of this machine, and its copy would look like an ordinary file.
        files = [path for path in local.rglob("*") if path.is_file() and not path.is_symlink()]
        for path in sorted(files, key=lambda path: (path == local / last, path)):
            with path.open("rb") as source:
                key = f"{target}/{path.relative_to(local).as_posix()}"
                self._bucket.put(key, source, self._has_ended)

    def remove(self, folder: PurePosixPath) -> None:
        shutil.rmtree(self.root / folder, ignore_errors=True)
        with suppress(OSError):
            self._bucket.remove_below(f"{folder}/")


class S3Datastore:
    """Implements ``access.SharedDatastore`` with a bucket and a scratch folder."""

    def __init__(self, bucket: Bucket, scratch: Scratch) -> None:
        self.bucket, self.scratch = bucket, scratch

    def problem(self) -> str:
        return self.bucket.problem() or self.scratch.problem()

    @contextmanager
    def access(self, has_ended: Callable[[], bool] = never) -> Iterator[S3Access]:
        with self.scratch.subfolder() as root:
            made = S3Access(self.bucket, self.scratch, root, has_ended)
            try:
                yield made
            finally:
                self.scratch.give_back(made.fetched_bytes)

    def lacks_room(self, size_bytes: int) -> bool:
        return not has_free(self.scratch.folder, size_bytes)


def _is_part(key: str) -> bool:
    """True if ``key`` is that of a file that the portal is still receiving, or of a piece of such a file."""
    return any(part.startswith(".") and part.endswith(".part") for part in key.split("/"))
