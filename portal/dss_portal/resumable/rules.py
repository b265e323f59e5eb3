"""The rules in which uploads of a ticket's user and of its provider differ."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dss_portal.datastore import UploadFolder
from dss_portal.models import ResumableUpload
from dss_portal.refusals import Refused


@dataclass(frozen=True, kw_only=True)
class Announced:
    """A file that is about to be uploaded.  ``metadata`` are all values of Upload-Metadata by name."""

    name: str
    size_bytes: int
    sha256: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class UploadTarget:
    """Where a file goes.  ``description`` and ``mime_type`` are of an attachment."""

    folder: UploadFolder
    description: str = ""
    mime_type: str = ""


class Rules(Protocol):
    """One sender's rights and duties.  Methods raise Refused if the sender may not upload, or not any more."""

    async def owns(self, upload: ResumableUpload) -> bool:
        """True if the upload is this sender's, so that the sender may see, continue and delete it."""

    async def lock(self, ticket_id: int) -> str:
        """Lock the ticket until the caller's transaction ends.

        Returns the claim that an upload needs, "" for a user's.
        """

    async def begin(self, ticket_id: int, announced: Announced) -> UploadTarget:
        """Check the name and the space, within the caller's transaction, after ``lock``."""

    async def refusal(self, upload: ResumableUpload) -> Refused | None:
        """The reason for which the upload may not continue and is deleted; None if it may."""

    async def heard(self, upload: ResumableUpload) -> None:
        """Record that bytes of the upload arrive."""

    async def prepare(self, upload: ResumableUpload, temporary: Path) -> int:
        """Prepare the complete file for its place, and return its size."""

    async def keep(self, upload: ResumableUpload, temporary: Path, size_bytes: int) -> None:
        """Make ``temporary`` one of the ticket's files, within the caller's transaction, after ``lock``."""
