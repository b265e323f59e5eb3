"""Users who send their cases one after the other, and do not give up when a server is away."""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

from chaos.cases import Case, Kind, write_case
from chaos.site import SERVICE
from chaos.told import Receivers
from dss_client.errors import ClientError, Refused
from dss_client.itksnap import ItkSnap
from dss_client.records import FINISHED
from dss_portal import database
from dss_portal.accounts import store as accounts
from dss_submission.images import write_layer
from dss_submission.workspace import write_workspace

STEP_TIMEOUT_S = 120.0
"""A user gives up when a step did not work for so long."""

_RETRY_S = 0.5
_POLL_S = 1.0

T = TypeVar("T")


@dataclass(kw_only=True)
class Sent:
    """What one user knows of a case.  ``accepted``: the server has said that the ticket is submitted."""

    case: Case
    ticket: int = 0
    accepted: bool = False
    withdrawn: bool = False


class User(threading.Thread):
    """Sends ``cases`` until there are ``enough`` and waits for the end of each.

    ``pace_s`` is the mean time between two of its tickets.  ``complaint`` says why it gave up, or "".  A user who was
    told to ``leave`` begins nothing more, and ends at the first answer that does not come.
    """

    def __init__(
        self,
        portals: Sequence[ItkSnap],
        cases: Sequence[Case],
        folder: Path,
        *,
        open_each: int,
        pace_s: float = 0.0,
        step_timeout_s: float = STEP_TIMEOUT_S,
        enough: threading.Event,
    ) -> None:
        super().__init__(daemon=True)
        self._open_each, self._enough = open_each, enough
        self._pace_s, self._step_timeout_s = pace_s, step_timeout_s
        self.sent = [Sent(case=case) for case in cases]
        self.complaint = ""
        self._portals = list(portals)
        self._folder = folder
        self._rng = random.Random(cases[0].number)
        self._waiting: list[Sent] = []
        self._leaves = threading.Event()

    @property
    def has_more(self) -> bool:
        """Whether there is a case that it has not begun with."""
        return self.is_alive() and not self.sent[-1].ticket

    def leave(self) -> None:
        """Any thread: the site is about to be stopped."""
        self._leaves.set()

    def run(self) -> None:
        try:
            for sent in self.sent:
                if self._enough.is_set() or self._leaves.is_set():
                    break
                self._send(sent)
                self._leaves.wait(self._rng.uniform(0.5, 1.5) * self._pace_s)
                self._wait_for_at_most(self._open_each - 1)
            self._wait_for_at_most(0)
        except ClientError as error:
            self.complaint = f"{type(error).__name__}: {error}"
        finally:
            for portal in self._portals:
                portal.close()

    def _send(self, sent: Sent) -> None:
        folder = self._folder / f"{sent.case.number:05d}"
        folder.mkdir(parents=True)
        layer = write_layer(write_case(sent.case, self._folder), folder)
        sent.ticket = self._insist(lambda portal: portal.create_ticket(SERVICE))
        write_workspace(sent.ticket, layer, ["Main"])
        for path in sorted(folder.iterdir()):
            self._insist(lambda portal, path=path: portal.upload(sent.ticket, path))  # type: ignore[misc]  # bound now
        self._insist(lambda portal: _submit(portal, sent.ticket))
        sent.accepted = True
        self._waiting.append(sent)
        if sent.case.kind is Kind.WITHDRAWN:
            time.sleep(self._rng.uniform(0, 2))
            self._insist(lambda portal: portal.delete(sent.ticket))
            sent.withdrawn = True

    def _wait_for_at_most(self, count: int) -> None:
        while len(self._waiting) > count and not self._leaves.is_set():
            rows = self._insist(lambda portal: portal.tickets())
            open_ones = {row.id for row in rows if row.status not in FINISHED}
            self._waiting = [sent for sent in self._waiting if sent.ticket in open_ones]
            if len(self._waiting) > count:
                self._leaves.wait(_POLL_S)

    def _insist(self, step: Callable[[ItkSnap], T]) -> T:
        """Until it works, now at one portal, now at the other.  Raises ClientError when STEP_TIMEOUT_S is over."""
        ends_s = time.monotonic() + self._step_timeout_s
        while True:
            try:
                return step(self._portals[0])
            except ClientError as error:
                if _is_final(error) or time.monotonic() > ends_s or self._leaves.is_set():
                    raise
                self._portals.append(self._portals.pop(0))
            time.sleep(_RETRY_S)


def _submit(portal: ItkSnap, ticket: int) -> None:
    """An answer may have been lost: a ticket that does not wait for files any more is submitted."""
    try:
        portal.submit(ticket)
    except Refused as error:
        if not _is_final(error) or portal.detail(ticket).status == "init":
            raise


def _is_final(error: ClientError) -> bool:
    """The server understood and said no."""
    return isinstance(error, Refused) and error.status < HTTPStatus.INTERNAL_SERVER_ERROR


def signed_in(
    database_url: str, portals: Sequence[str], count: int, receivers: Receivers
) -> list[list[ItkSnap]]:
    """For each of ``count`` users, a client at each of ``portals``.  All are told of ends by ``receivers``."""
    tokens = asyncio.run(_tokens(database_url, count, len(portals), receivers))
    return [
        [client(portal, token) for portal, token in zip(portals, own, strict=True)]
        for own in tokens
    ]


def client(portal: str, token: str) -> ItkSnap:
    """Signed in."""
    made = ItkSnap(portal)
    made.login(token)
    return made


async def _tokens(
    database_url: str, users: int, each: int, receivers: Receivers
) -> list[list[str]]:
    async with database.connected(database_url):
        found = []
        for number in range(users):
            user = await accounts.save_user(f"user{number}@example.com", tier="poweruser")
            await receivers.subscribe(user)
            found.append([await accounts.new_login_token(user, 600) for _ in range(each)])
        return found
