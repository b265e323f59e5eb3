"""The interface of the rules for resumable uploads, which differ between a ticket's user (``resumable.inputs``) and its
provider (``providers.uploads``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dss_portal.datastore.names import UploadFolder
from dss_portal.models import ResumableUpload
from dss_portal.refusals import Refused


@dataclass(frozen=True, kw_only=True)
class AnnouncedFile:
    """A file that a client announces before it uploads it.  ``sha256`` is "" if the client sends none; ``metadata`` are
    all values of the header Upload-Metadata by name.
    """

    name: str
    size_bytes: int
    sha256: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class UploadTarget:
    """What an uploaded file becomes: ``folder`` is the folder of the ticket that it belongs to, ``input``, ``results``
    or ``attachments``.  ``description`` and ``mime_type`` are set only for an attachment.
    """

    folder: UploadFolder
    description: str = ""
    mime_type: str = ""


class Rules(Protocol):
    """The rules for uploads by one sender.  Methods raise Refused if the sender may not upload, or may no longer."""

    async def owns(self, upload: ResumableUpload) -> bool:
        """True if the upload belongs to this sender; only then may the sender see, continue and delete it."""

    async def lock(self, ticket_id: int) -> str:
        """Lock the ticket until the caller's transaction ends.  Returns the id of the claim under which the upload is
        made; "" for an upload by the ticket's user.
        """

    async def begin(self, ticket_id: int, announced: AnnouncedFile) -> UploadTarget:
        """Check the name of the announced file and the space for it, and return what it becomes.  Call it within a
        transaction, after ``lock``.
        """

    async def refusal(self, upload: ResumableUpload) -> Refused | None:
        """The reason why the upload must not continue, so that it is deleted; None if it may continue."""

    async def record_activity(self, upload: ResumableUpload) -> None:
        """Record that bytes of the upload are arriving, which is a sign of life of its sender."""

    async def prepare(self, upload: ResumableUpload, temporary: Path) -> int:
        """Prepare the complete file ``temporary`` for storing, for example remove paths of the sender's machine, and
        return its size in bytes.
        """

    async def keep(self, upload: ResumableUpload, temporary: Path, size_bytes: int) -> None:
        """Store ``temporary`` as one of the ticket's files, and record it.  Call it within a transaction, after
        ``lock``.
        """
