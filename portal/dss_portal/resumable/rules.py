"""The rules in which uploads by a ticket's user and by its provider differ."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dss_portal.datastore import UploadFolder
from dss_portal.models import ResumableUpload
from dss_portal.refusals import Refused


@dataclass(frozen=True, kw_only=True)
class Announced:
    """A file that will be uploaded.  ``metadata`` are all values of Upload-Metadata by name."""

    name: str
    size_bytes: int
    sha256: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class UploadTarget:
    """Where an uploaded file is stored.  ``description`` and ``mime_type`` are only set for an attachment."""

    folder: UploadFolder
    description: str = ""
    mime_type: str = ""


class Rules(Protocol):
    """The rules for uploads by one sender.  Methods raise Refused if the sender may not upload, or no longer."""

    async def owns(self, upload: ResumableUpload) -> bool:
        """True if the upload belongs to this sender, who then may see, continue and delete it."""

    async def lock(self, ticket_id: int) -> str:
        """Lock the ticket until the caller's transaction ends.  Returns the claim that the upload needs; "" for one
        by the ticket's user.
        """

    async def begin(self, ticket_id: int, announced: Announced) -> UploadTarget:
        """Check the name and the free space for the file, and return its target.  Call it within a transaction, after
        ``lock``.
        """

    async def refusal(self, upload: ResumableUpload) -> Refused | None:
        """The reason why the upload must not continue and is deleted; None if it may continue."""

    async def heard(self, upload: ResumableUpload) -> None:
        """Record that bytes of the upload are arriving."""

    async def prepare(self, upload: ResumableUpload, temporary: Path) -> int:
        """Prepare the complete file for storing, and return its size."""

    async def keep(self, upload: ResumableUpload, temporary: Path, size_bytes: int) -> None:
        """Make ``temporary`` one of the ticket's files.  Call it within a transaction, after ``lock``."""
