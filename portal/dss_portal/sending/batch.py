"""A user's batch: the list of cases that the user sends from the browser.  It is kept when the page is closed, for a
week (KEPT).

It is stored on the server and not in the browser, because file names may name patients.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

import msgspec

from dss_portal.database import clock
from dss_portal.intake import store as intakes
from dss_portal.intake.states import State
from dss_portal.models import BatchItem, Intake, Status, Ticket, User
from dss_portal.refusals import Refused
from dss_portal.services import liveness
from dss_portal.services.liveness import SENTENCES
from dss_portal.tickets import reasons, titles
from dss_portal.tickets.lifecycle import FINISHED

MOST_ITEMS = 1000
MOST_CHARACTERS = 200
KEPT = timedelta(days=7)
_CHANGES = ("name", "service", "size_bytes", "files", "ticket_id")

WANTED, FAILED = "wanted", "not sent"
"""States of a case whose files the browser has to send: not all files have been uploaded, or the upload was refused."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case as the browser describes it.  ``key`` identifies it in the user's batch; ``ticket`` is the number of its
    ticket, 0 before the upload begins.
    """

    key: str
    name: str
    service: str
    size_bytes: int
    files: int
    ticket: int = 0


@dataclass(frozen=True, kw_only=True)
class Row:
    """A case with its state, which is WANTED, FAILED, a state of an intake (``intake.states``) or a state of a ticket.
    ``sentence`` explains the state; ``verdict`` is the algorithm's on the result, "" if there is none; ``series`` are the
    DICOM series to choose from if the upload was refused.
    """

    key: str
    name: str
    service: str
    size_bytes: int
    files: int
    ticket: int
    state: str
    sentence: str
    verdict: str = ""
    series: tuple[dict[str, str], ...] = ()


async def put(user: User, text: str) -> None:
    """Add the cases in ``text``, a JSON list of Case, to the user's batch, or change those with the same key.  Raises
    Refused if the list is malformed, if the batch would have more than MOST_ITEMS cases, or if a case names a ticket of
    another user.
    """
    cases = _decoded(text)
    known = await BatchItem.filter(user_id=user.id).count()
    if known + len(cases) > MOST_ITEMS and not await _are_known(user, cases):
        raise Refused(f"A batch may have {MOST_ITEMS} cases; remove some from the list first.")
    tickets = {case.ticket for case in cases if case.ticket}
    own = await Ticket.filter(id__in=tickets, user_id=user.id).values_list("id", flat=True)
    if tickets - set(map(int, map(str, own))):
        raise Refused("A case names a ticket that is not yours.")
    items = [_item(user, case) for case in cases]
    await BatchItem.bulk_create(items, on_conflict=("user_id", "key"), update_fields=_CHANGES)


def _item(user: User, case: Case) -> BatchItem:
    values = asdict(case) | {
        "name": titles.printable(case.name)[:MOST_CHARACTERS],
        "ticket_id": case.ticket or None,
    }
    values.pop("ticket")
    return BatchItem(user_id=user.id, **values)


def _decoded(text: str) -> list[Case]:
    try:
        cases = msgspec.json.decode(text, type=list[Case])
    except msgspec.DecodeError as error:
        raise Refused(f"'cases' must be a JSON list of cases: {error}.") from error
    for case in cases:
        fits = 0 < len(case.key) <= 64 and 0 <= case.size_bytes < 2**63 and 0 <= case.files < 2**31
        if (
            not fits
            or not 0 <= case.ticket < 2**31
            or "\0" in f"{case.key}{case.name}{case.service}"
        ):
            raise Refused("A case has a key of 64 characters, a size and a number of files.")
    return cases


async def _are_known(user: User, cases: Sequence[Case]) -> bool:
    keys = {case.key for case in cases}
    return await BatchItem.filter(user_id=user.id, key__in=keys).count() == len(keys)


async def remove(user: User, keys: str) -> None:
    """Remove cases from the user's batch; their tickets stay.  ``keys`` is a JSON list of keys, or "" for all cases
    whose tickets have ended.  Raises Refused if it is malformed.
    """
    own = BatchItem.filter(user_id=user.id)
    if keys:
        try:
            named = msgspec.json.decode(keys, type=list[str])
        except msgspec.DecodeError as error:
            raise Refused("'keys' must be a JSON list of keys.") from error
        await own.filter(key__in=named).delete()
    else:
        await own.filter(ticket__status__in=[*FINISHED, Status.DELETED]).delete()


async def rows(user: User) -> list[Row]:
    """The cases in the user's batch with their states, in the order in which they were added, without those whose
    ticket is deleted.
    """
    items = (
        await BatchItem.filter(user_id=user.id).order_by("id").prefetch_related("ticket__service")
    )
    numbers = [item.ticket_id for item in items if item.ticket_id]
    intake = {found.ticket_id: found for found in await Intake.filter(ticket_id__in=numbers)}
    failed = [
        item.ticket.id
        for item in items
        if item.ticket and item.ticket.status in {Status.FAILED, Status.TIMEOUT}
    ]
    why = await reasons.reasons(failed) | await _missing(items)
    is_read = await intakes.is_read_now()
    return [
        _row(item, intake.get(item.ticket_id or 0), why, is_read=is_read)
        for item in items
        if item.ticket is None or item.ticket.status is not Status.DELETED
    ]


async def _missing(items: Sequence[BatchItem]) -> dict[int, str]:
    """By ticket number, for each ticket that waits, a sentence about the program that its service lacks; those of
    services that lack none are left out.
    """
    waiting = [i.ticket for i in items if i.ticket and i.ticket.status is Status.READY]
    if not waiting:
        return {}
    available = await liveness.availability()
    lacks = {
        ticket.id: available[ticket.service.name].missing_for(
            ticket.service.id, current=ticket.service.current
        )
        for ticket in waiting
    }
    return {number: SENTENCES[missing] for number, missing in lacks.items() if missing}


def _row(item: BatchItem, intake: Intake | None, why: dict[int, str], *, is_read: bool) -> Row:
    state, sentence = _state(item.ticket, intake, why, is_read=is_read)
    series: tuple[dict[str, str], ...] = ()
    if intake is not None and state == FAILED:
        series = tuple(asdict(found) for found in intakes.series_of(intake))
    return Row(
        key=item.key,
        name=item.name,
        service=item.service,
        size_bytes=item.size_bytes,
        files=item.files,
        ticket=item.ticket_id or 0,
        state=state,
        sentence=sentence,
        verdict=item.ticket.verdict if item.ticket and state == Status.SUCCESS else "",
        series=series,
    )


def _state(
    ticket: Ticket | None, intake: Intake | None, why: dict[int, str], *, is_read: bool
) -> tuple[str, str]:
    if ticket is None:
        return WANTED, ""
    if ticket.status is not Status.INIT:
        return ticket.status.value, why.get(ticket.id, "")
    if intake is None or intake.state == State.COMING:
        return WANTED, ""
    if intake.state == State.REFUSED:
        return FAILED, intake.reason
    if intake.state in {State.READING, State.PLACING} and not is_read:
        return intake.state, intakes.NO_READER
    return intake.state, intake.reason


async def forget_old() -> None:
    await BatchItem.filter(created_at__lt=clock.now() - KEPT).delete()
