"""Carries out small writes (a new ticket, a submission, a claim, a log line, progress, a small file) with the same
functions as the framework's routes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from dss_portal import formats, forms
from dss_portal.accounts.person import Person
from dss_portal.changes.feed import Feed
from dss_portal.changes.reading import Subject
from dss_portal.datastore import Datastore
from dss_portal.providers import announcements, keys, writing
from dss_portal.providers.claiming import ClaimRequest, Granted, claim_request
from dss_portal.request_batching import RequestBatcher
from dss_portal.settings import Settings
from dss_portal.tickets import creation_keys, submission, submitting
from dss_portal.writes import small_files
from dss_portal.writes.multipart import LoneFile
from dss_portal.writes.requests import Kind, Write


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The body of a response with status 200, and its Content-Type; "" for none."""

    body: str
    content_type: str = ""


@dataclass(frozen=True, kw_only=True)
class WriteHandler:
    """Carries out small writes with the given components of the portal."""

    datastore: Datastore
    settings: Settings
    feed: Feed
    claim_batcher: RequestBatcher[ClaimRequest, Granted]

    async def carry_out(
        self, write: Write, form: Mapping[str, str], person: Person
    ) -> Answer | None:
        """Carry out the write, whose parameters are in ``form``, for the user ``person``, and return the response.
        None if nothing was written and the framework must handle the request.

        Raises Refused, with nothing written, if the write is not allowed.
        """
        match write.kind:
            case Kind.CREATE:
                return await self._create(write, form, person)
            case Kind.READY:
                return await self._ready(write.ticket, form, person)
            case Kind.LINE:
                return await _line(write, form, person)
            case Kind.PROGRESS:
                return await _progress(write.ticket, form, person)
            case Kind.CLAIM:
                return await self._claim(write.word, form, person)
            case Kind.CLAIM_ANY:
                return await self._claim_any(form, person)
            case Kind.UPLOAD:
                return None  # an upload is no small form
            case _:
                assert_never(write.kind)

    async def accepts_files(self, ticket: int, person: Person) -> bool:
        """True if the user may add an input file to the ticket, and the ticket counts towards the quota of open tickets
        already.
        """
        return await small_files.accepts_files(ticket, person, self.settings.quiet_upload_s)

    async def upload(self, ticket: int, file: LoneFile, person: Person) -> Answer | None:
        """Store ``file`` as an input file of the ticket, and return the response.  None, with nothing stored, if the
        framework must handle the request.  Raises Refused, with nothing stored, if the ticket accepts no such file.
        """
        is_stored = await small_files.receive(self.datastore, self.settings, ticket, file, person)
        return Answer(body="success") if is_stored else None

    async def _create(self, write: Write, form: Mapping[str, str], person: Person) -> Answer:
        quiet_s, key = self.settings.quiet_upload_s, creation_keys.key_in(write.key, form)
        number = await submission.create(
            person, form.get("githash"), form.get("name"), quiet_s, key
        )
        self.feed.publish(Subject.STATE, number, person.id)
        return Answer(body=str(number))

    async def _ready(self, ticket: int, form: Mapping[str, str], person: Person) -> Answer | None:
        if form.get("status") != "ready":
            return None
        settings = self.settings
        await submitting.submit(
            self.datastore,
            ticket,
            person,
            scrubs=settings.scrub_inputs,
            quiet_s=settings.quiet_upload_s,
        )
        return Answer(body="ready")

    async def _claim(self, githash: str, form: Mapping[str, str], person: Person) -> Answer | None:
        granted = await self._granted([githash], form, person)
        row = granted.row()
        return Answer(body="-1" if row is None else str(row[0]))

    async def _claim_any(self, form: Mapping[str, str], person: Person) -> Answer | None:
        if form.get("format") == "json":
            return None
        row = (await self._granted(forms.of(form, "services").split(","), form, person)).row()
        if row is None:
            return Answer(body="None")
        return Answer(body=formats.csv_text([row]), content_type="text/csv")

    async def _granted(
        self, githashes: list[str], form: Mapping[str, str], person: Person
    ) -> Granted:
        lease_s = self.settings.provider_lease_s
        granted = await self.claim_batcher.ask(claim_request(person.id, githashes, form, lease_s))
        if granted.ticket is not None:
            self.feed.publish(Subject.STATE, granted.ticket.id, granted.ticket.user_id)
        return granted


async def _line(write: Write, form: Mapping[str, str], person: Person) -> Answer | None:
    message, key = forms.of(form, "message"), keys.of_line(write.ticket, form)
    number = await writing.add_log(write.ticket, person.id, write.word, message, key)
    return None if number is None else Answer(body=str(number))


async def _progress(ticket: int, form: Mapping[str, str], person: Person) -> Answer | None:
    start, end, done = (
        forms.fraction(form, name) for name in ("chunk_start", "chunk_end", "progress")
    )
    polls = not announcements.announces_itself(form)
    if done and await writing.set_progress(ticket, person.id, start, end, done, polls=polls):
        return Answer(body="success")
    return None
