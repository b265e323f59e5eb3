"""The datastore as a folder that all programs of a site mount."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dss_datastore.access import SharedDatastore, never
from dss_datastore.space import has_free
from dss_datastore.volume import is_there, make_folder

AWAY = "The datastore is not there or cannot be written."


@dataclass(frozen=True)
class FolderAccess:
    """Implements ``access.Access``: what a program writes is seen by all, and nothing is copied."""

    root: Path

    def make(self, folder: PurePosixPath) -> None:
        make_folder(self.root / folder)

    def is_made(self, folder: PurePosixPath) -> bool:
        return (self.root / folder).is_dir()

    def fetch(self, place: PurePosixPath, *, only: str = "") -> None:
        """Does nothing, because the program reads the shared folder itself."""

    def put(self, folder: PurePosixPath, *, last: str = "") -> None:
        """Does nothing, because other programs read the same folder."""

    def put_results(self, folder: PurePosixPath) -> PurePosixPath:
        return folder

    def remove(self, folder: PurePosixPath) -> None:
        shutil.rmtree(self.root / folder, ignore_errors=True)


class FolderDatastore:
    """Implements ``access.SharedDatastore`` with the folder ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def problem(self) -> str:
        return "" if is_there(self.root) else AWAY

    @contextmanager
    def access(
        self,
        has_ended: Callable[[], bool] = never,  # noqa: ARG002 - nothing is copied
    ) -> Iterator[FolderAccess]:
        yield FolderAccess(self.root.resolve())

    def lacks_room(self, size_bytes: int) -> bool:
        return not has_free(self.root, size_bytes)


def shared(datastore: Path | SharedDatastore) -> SharedDatastore:
    """``datastore`` itself; for a path, the datastore in that folder."""
    return FolderDatastore(datastore) if isinstance(datastore, Path) else datastore
