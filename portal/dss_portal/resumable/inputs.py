"""The rules (``resumable.rules``) for resumable uploads of input files by the user of a ticket that is not submitted
yet.
"""

from dataclasses import dataclass
from pathlib import Path

from tortoise.transactions import in_transaction

from dss_portal.accounts import store as accounts
from dss_portal.datastore import Datastore
from dss_portal.intake import store as intakes
from dss_portal.models import ResumableUpload, Status, Ticket, User
from dss_portal.refusals import Refused
from dss_portal.resumable.rules import AnnouncedFile, UploadTarget
from dss_portal.settings import Settings
from dss_portal.tickets import files, received_files, reservation, store, submission


@dataclass(frozen=True)
class InputRules:
    """The rules for uploads by ``user``, who may read the ticket.  See ``Rules`` for the methods."""

    datastore: Datastore
    settings: Settings
    user: User

    async def owns(self, upload: ResumableUpload) -> bool:
        return not upload.claim_id

    async def lock(self, ticket_id: int) -> str:
        await accounts.require_enabled(self.user.id)
        ticket = await store.locked(ticket_id)
        if ticket is None or ticket.status is not Status.INIT:
            raise submission.not_open(ticket, ticket_id, self.user)
        return ""

    async def begin(self, ticket_id: int, announced: AnnouncedFile) -> UploadTarget:
        files.check_name("input", announced.name)
        await self._require_room(ticket_id, announced.name, announced.size_bytes)
        await _touch(ticket_id)
        return UploadTarget(folder="input")

    async def refusal(self, upload: ResumableUpload) -> Refused | None:  # noqa: ARG002 - see Rules
        return None

    async def record_activity(self, upload: ResumableUpload) -> None:
        """Record that the upload receives bytes, so that its ticket counts towards the quota of open tickets.  Raises
        Refused if the ticket did not count any more, and its user now has too many other open tickets.
        """
        async with in_transaction():
            ticket = await store.locked(upload.ticket_id)
            await reservation.check_may_count(ticket, self.settings.quiet_upload_s)
            await _touch(upload.ticket_id)

    async def prepare(self, upload: ResumableUpload, temporary: Path) -> int:
        is_only_read = await intakes.is_raw(upload.ticket_id, upload.name)
        if is_only_read or not self.settings.scrub_inputs:
            return int(upload.length_bytes)
        return await self.datastore.scrub(temporary, upload.ticket_id)

    async def keep(self, upload: ResumableUpload, temporary: Path, size_bytes: int) -> None:
        number, name = upload.ticket_id, upload.name
        await self._require_room(number, name, size_bytes, upload.id)
        await received_files.store_file(
            self.datastore, number, "input", temporary, name=name, size_bytes=size_bytes
        )
        await _touch(number)
        if (intake := await intakes.find(number)) is not None:
            await intakes.ask_if_complete(await Ticket.get(id=number), intake, finished=upload.id)

    async def _require_room(
        self, ticket_id: int, name: str, size_bytes: int, resumed: str = ""
    ) -> None:
        ticket = await Ticket.get(id=ticket_id)
        await reservation.check_may_count(ticket, self.settings.quiet_upload_s)
        quota_use = await reservation.held_without(
            ticket, "input", name, self.settings, resumed=resumed
        )
        quota_use.require(size_bytes)


async def _touch(ticket_id: int) -> None:
    await Ticket.filter(id=ticket_id).update(uploaded_at=store.now())
