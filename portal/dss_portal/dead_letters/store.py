"""Lists dead letters, and requeues or discards them for an operator.  Dead letters are messages that no program could
handle, and messages that the portal could not send.

A message about a ticket is not sent again: the ticket failed because of it, so its claim has ended and the message
would be ignored.  To requeue such a letter means to put its ticket back to the beginning, as its user's retry does.
The letter is removed after that is committed, so that nothing is done twice.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from dss_broker.broker import Broker
from dss_broker.dead_letters import DeadLetter, DeadLetterSession
from dss_broker.errors import BrokerAway, BrokerRefuses, DeadLettersBusy, MessageRefused, Unroutable
from dss_broker.messages import TicketReady
from dss_portal import database
from dss_portal.datastore import Datastore
from dss_portal.models import Status, Ticket
from dss_portal.outbox import unsent
from dss_portal.refusals import Refused
from dss_portal.tickets import claims, submission

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RequeueOutcome:
    """The outcome of a requeue.  ``done`` is the number of letters removed: those requeued, and the others about the
    same tickets.  ``refused`` has a sentence for each letter that could not be requeued.
    """

    done: int
    refused: tuple[str, ...]

    @property
    def sentence(self) -> str:
        count = f"{self.done} {'message was' if self.done == 1 else 'messages were'} requeued."
        return " ".join([count, *self.refused])


async def listed(broker: Broker) -> list[DeadLetter]:
    """The letters in the broker's queue, the oldest first, each with its ticket's number; then the messages that the
    portal could not send.

    Raises Refused if the queue cannot be read now.
    """
    async with _session(broker) as session:
        letters = list(session.letters)
    with_tickets = [replace(letter, ticket_id=await _ticket_of(letter)) for letter in letters]
    return with_tickets + await unsent.listed()


async def requeue(broker: Broker, datastore: Datastore, letter_id: str | None) -> RequeueOutcome:
    """Requeue the letter with that id, or all letters if it is None.  A letter that cannot be requeued stays, with a
    sentence in the outcome.

    Raises Refused if there is no such letter or if the queue cannot be read now, and the error of a database or broker
    that goes away meanwhile.
    """
    done, refused, seen = 0, [], set[int]()
    never_sent = _chosen(await unsent.listed(), letter_id)
    for letter in never_sent:
        try:
            done += await _send_again(datastore, letter)
        except Refused as error:
            refused.append(error.text)
        except Exception as error:
            refused.append(_not_requeued(letter, error))
    if never_sent and letter_id is not None:
        return RequeueOutcome(done=done, refused=tuple(refused))
    async with _session(broker) as session:
        for letter in _chosen_or_refused(session, letter_id):
            ticket_id = await _ticket_of(letter)
            if ticket_id in seen:
                continue  # requeued together with an earlier message of its ticket
            try:
                done += await _requeue(session, datastore, letter, ticket_id)
            except Refused as error:
                refused.append(error.text)
            except Exception as error:
                refused.append(_not_requeued(letter, error))
            if ticket_id is not None:
                seen.add(ticket_id)
    return RequeueOutcome(done=done, refused=tuple(refused))


def _not_requeued(letter: DeadLetter, error: Exception) -> str:
    """The sentence about a letter whose requeue raised an unexpected error.  Raises ``error`` again if it would occur
    for all other letters as well.
    """
    if database.is_away(error) or isinstance(error, BrokerAway):
        raise error
    log.error("dead letter not requeued", extra=_facts(letter), exc_info=error)
    return f"Message {letter.id} stays: {type(error).__name__}; the portal's log says more."


async def discard(broker: Broker, letter_id: str | None) -> int:
    """Delete the letter with that id, or all letters if it is None, and return their number.  Raises Refused if there
    is no such letter or if the queue cannot be read now.
    """
    never_sent = _chosen(await unsent.listed(), letter_id)
    for letter in never_sent:
        await unsent.discard(letter.id)
        log.info("dead letter removed", extra=_facts(letter))
    if never_sent and letter_id is not None:
        return len(never_sent)
    async with _session(broker) as session:
        chosen = _chosen_or_refused(session, letter_id)
        for letter in chosen:
            await _discard(session, letter)
    return len(chosen) + len(never_sent)


async def _ticket_of(letter: DeadLetter) -> int | None:
    """The number of the ticket that a letter is about; None if there is none.  For a TicketReady it is the last ticket
    that was claimed with this message.
    """
    if letter.type_name != TicketReady.__name__:
        return letter.ticket_id
    return await claims.last_granted_to(letter.id) if letter.id.isprintable() else None


async def _requeue(
    session: DeadLetterSession, datastore: Datastore, letter: DeadLetter, ticket_id: int | None
) -> int:
    """Requeue a letter and return the number of letters removed: if it is about a ticket, all letters of that ticket.
    Raises Refused if it cannot be requeued.
    """
    if ticket_id is not None:
        await submission.requeue(datastore, ticket_id)
        siblings = [other for other in session.letters if await _ticket_of(other) == ticket_id]
        for sibling in siblings:
            await _discard(session, sibling)
        return len(siblings)
    try:
        await asyncio.to_thread(session.requeue, letter)
    except Unroutable as error:
        raise Refused(f"Message {letter.id} stays: there is no queue '{letter.queue}'.") from error
    except MessageRefused as error:
        raise Refused(f"Message {letter.id} stays. {error}.") from error
    log.info("dead letter requeued", extra=_facts(letter))
    return 1


async def _send_again(datastore: Datastore, letter: DeadLetter) -> int:
    """Try again to send a message that the portal could not send, and return 1.  If it announces a ticket that no
    longer waits, put the ticket back into its queue instead, which announces it again.  Raises Refused if the ticket
    cannot be put back.
    """
    is_announcement = letter.type_name == TicketReady.__name__ and letter.ticket_id is not None
    if is_announcement and not await Ticket.exists(id=letter.ticket_id, status=Status.READY):
        await submission.requeue(datastore, int(str(letter.ticket_id)))
        await unsent.discard(letter.id)
    else:
        await unsent.send_again(letter.id)
    log.info("dead letter requeued", extra=_facts(letter))
    return 1


async def _discard(session: DeadLetterSession, letter: DeadLetter) -> None:
    await asyncio.to_thread(session.discard, letter)
    log.info("dead letter removed", extra=_facts(letter))


def _chosen(letters: Sequence[DeadLetter], letter_id: str | None) -> Sequence[DeadLetter]:
    return [letter for letter in letters if letter_id in {None, letter.id}]


def _chosen_or_refused(session: DeadLetterSession, letter_id: str | None) -> Sequence[DeadLetter]:
    chosen = _chosen(session.letters, letter_id)
    if letter_id is not None and not chosen:
        raise Refused(f"There is no message {letter_id} among the dead letters.")
    return chosen


@asynccontextmanager
async def _session(broker: Broker) -> AsyncIterator[DeadLetterSession]:
    """A context with a session that reads the dead letters of the broker.  Raises Refused if they
    cannot be read now.
    """
    context = broker.dead_letters()
    try:
        session = await asyncio.to_thread(context.__enter__)
        try:
            yield session
        except BaseException as error:
            await asyncio.to_thread(context.__exit__, type(error), error, error.__traceback__)
            raise
        await asyncio.to_thread(context.__exit__, None, None, None)
    except BrokerRefuses as error:
        raise Refused(str(error), 503) from error
    except BrokerAway as error:
        raise Refused("The broker is away; try again in a minute.", 503) from error
    except DeadLettersBusy as error:
        raise Refused(
            "Somebody else works on the dead letters; try again in a minute.", 503
        ) from error


def _facts(letter: DeadLetter) -> dict[str, object]:
    return {
        "id": letter.id,
        "type": letter.type_name,
        "ticket": letter.ticket_id,
        "claim": letter.claim_id,
        "queue": letter.queue,
        "reason": letter.reason,
    }
