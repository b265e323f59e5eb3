"""Prepares the files of one ticket from unchanged NIfTI files, without an imaging library."""

from collections.abc import Mapping
from pathlib import Path

from dss_client.plain_nifti import copy_unchanged
from dss_client.records import ServiceDetail
from dss_submission.preparing import Silent, Source, Write, prepare


class SilentWatcher(Silent):
    """A ``flows.SubmissionListener`` that shows nothing."""

    def created(self, ticket: int) -> None:
        pass

    def submitted(self, ticket: int) -> None:
        pass

    def withdrawn(self, ticket: int) -> None:
        pass


def prepared(path: Path, tagged: Mapping[str, Path], service: ServiceDetail, folder: Path) -> Write:
    """Put the image or workspace ``path`` and the ``tagged`` images unchanged into ``folder``.  Returns the function
    that writes the workspace for a ticket's number into it.

    Raises ImageUnreadable if a file is not NIfTI or cannot be read, and ServiceUnfit if the images do not satisfy the
    service's tags.
    """
    source = Source(path=Path(path), tagged={tag: Path(file) for tag, file in tagged.items()})
    return prepare(source, service, folder, Silent(), copy_unchanged)
