"""The rules (``resumable.rules``) for resumable uploads of results and attachments by the provider that holds the
ticket's claim.

When the claim ends, no more bytes are received, and what was received is deleted.
"""

from dataclasses import dataclass
from pathlib import Path

from dss_portal.attachments import store as attachments
from dss_portal.datastore import Datastore
from dss_portal.models import Claim, ResumableUpload, Status, Ticket, User
from dss_portal.providers import store
from dss_portal.refusals import Refused
from dss_portal.resumable.rules import AnnouncedFile, UploadTarget
from dss_portal.tickets import claims, files, received_files

MOST_UNFINISHED = 100
"""Largest number of unfinished uploads to one ticket by its provider; a publisher has one at a time."""
AREAS = "The 'area' in 'Upload-Metadata' must be 'results' or 'attachments', not '{}'."


@dataclass(frozen=True)
class ProviderRules:
    """The rules for uploads by ``user``, who holds the ticket's claim for a provider.  See ``resumable.rules.Rules`` for
    the methods.
    """

    datastore: Datastore
    user: User

    async def owns(self, upload: ResumableUpload) -> bool:
        return await Claim.exists(id=upload.claim_id, user_id=self.user.id)

    async def lock(self, ticket_id: int) -> str:
        _, claim = await store.lock_held_ticket(ticket_id, self.user)
        await claims.renew(claim.id)
        return claim.id

    async def begin(self, ticket_id: int, announced: AnnouncedFile) -> UploadTarget:
        begun = ResumableUpload.filter(ticket_id=ticket_id, finished=False)
        if await begun.count() >= MOST_UNFINISHED:
            raise Refused(
                f"{MOST_UNFINISHED} uploads to this ticket are not finished, which is the most; finish or delete some.",
                413,
            )
        match announced.metadata.get("area", "results"):
            case "results":
                files.check_name("results", announced.name)
                await files.check_twin(ticket_id, "results", announced.name)
                return UploadTarget(folder="results")
            case "attachments":
                described = announced.metadata.get("desc", announced.name)
                if not described.isprintable():
                    raise Refused("The 'desc' in 'Upload-Metadata' must have printable characters.")
                return UploadTarget(
                    folder="attachments",
                    description=described,
                    mime_type=attachments.mime_type(
                        announced.name, announced.metadata.get("mime_type")
                    ),
                )
            case other:
                raise Refused(AREAS.format(other[:60]))

    async def refusal(self, upload: ResumableUpload) -> Refused | None:
        claimed_tickets = Ticket.filter(
            id=upload.ticket_id, claim_id=upload.claim_id, status=Status.CLAIMED
        )
        if await claimed_tickets.exists():
            return None
        return store.not_claimed(upload.ticket_id, self.user)

    async def record_activity(self, upload: ResumableUpload) -> None:
        await claims.renew_for(upload.claim_id, self.user.id)

    async def prepare(self, upload: ResumableUpload, temporary: Path) -> int:  # noqa: ARG002 - see Rules
        return int(upload.length_bytes)

    async def keep(self, upload: ResumableUpload, temporary: Path, size_bytes: int) -> None:
        if upload.area == "attachments":
            received = attachments.ReceivedFile(
                path=temporary,
                size_bytes=size_bytes,
                description=upload.description,
                mime_type=upload.mime_type,
                suffix=attachments.suffix(upload.name),
            )
            await attachments.keep(self.datastore, upload.ticket_id, received)
            return
        ticket_id, name = upload.ticket_id, upload.name
        await files.check_twin(ticket_id, "results", name)
        await received_files.store_file(
            self.datastore,
            ticket_id,
            "results",
            temporary,
            name=name,
            size_bytes=size_bytes,
            folder=upload.claim_id,
        )
