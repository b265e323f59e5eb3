"""``dss service publish``: claims and processes tickets of one service, several at once, until it is stopped."""

import threading
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

from dss_client.errors import ClientError, Refused, Unreachable
from dss_provider.announcements import Announcements
from dss_provider.errors import ServiceInvalid
from dss_provider.folder import ServiceFolder
from dss_provider.heartbeat import Connect
from dss_provider.held import HeldTickets
from dss_provider.portal import Portal, PublisherAnnouncement

POLL_S = 2.0
AFTER_ERROR_S = 5.0

T = TypeVar("T")
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A service as the portal lists it: its hash, the provider that offers it, and warnings for the provider."""

    githash: str
    provider: str
    warnings: tuple[str, ...] = ()


def offer_of(service: ServiceFolder, portal: Portal, provider: str) -> Offer:
    """Find this version of the service on the portal.  If it is not listed and ``provider`` is given, register it for
    that provider.

    Raises ServiceInvalid, with advice, if the portal does not list the service for the token's user, does not let the
    token register it, or lists it for several providers.
    """
    wanted = service.descriptor
    rows = [row for row in portal.services() if row[:2] == (wanted.name, wanted.version)]
    rows = [row for row in rows if provider in {"", row[3]}]
    if not rows and provider:
        return _registered(service, portal, provider)
    if not rows:
        raise ServiceInvalid(
            f"The portal does not list '{wanted.name}' {wanted.version} as a service of yours. Name your provider with "
            "--provider; a site admin's token then lists it. Without one, ask a site admin for: dss-portal services "
            "add PROVIDER service.json"
        )
    if len({row[3] for row in rows}) > 1:
        names = ", ".join(sorted({row[3] for row in rows}))
        raise ServiceInvalid(
            f"Several providers of yours offer it; choose one with --provider: {names}."
        )
    return Offer(githash=rows[0][2], provider=rows[0][3])


def differences(service: ServiceFolder, portal: Portal, offer: Offer) -> tuple[str, ...]:
    """A warning if the portal lists this version of the service with other texts or tags than its ``service.json`` has,
    or if that cannot be compared.
    """
    ours = service.descriptor
    try:
        listed = portal.descriptor(offer.githash)
    except (ClientError, ValueError, TypeError):
        warning = (
            f"Warning: the portal does not tell with which texts it lists {ours.name} {ours.version}, so they could not be "
            "compared with service.json. A portal of an older release tells a token that has the scope tickets, too."
        )
        return (warning,)
    names = sorted(listed.keys() | ours.published.keys())
    other = [name for name in names if listed.get(name) != ours.published.get(name)]
    if not other:
        return ()
    warning = (
        f"Warning: the portal lists {ours.name} {ours.version} with another {' and '.join(other)} than service.json has. "
        "Users read the portal's; for yours, raise the version in service.json and publish again."
    )
    return (warning,)


def _registered(service: ServiceFolder, portal: Portal, provider: str) -> Offer:
    try:
        portal.register(provider, (service.path / "service.json").read_text(encoding="utf-8"))
    except Refused as error:
        if error.body.startswith("There is no provider"):
            raise ServiceInvalid(
                f"The portal has no provider {provider}. A site admin makes it and lets you work for it: dss-portal providers "
                f"add {provider}; dss-portal providers add-user {provider} YOU@EXAMPLE.ORG"
            ) from error
        raise ServiceInvalid(_not_registered(service, provider, error)) from error
    return offer_of(service, portal, "")


def _not_registered(service: ServiceFolder, provider: str, error: Refused) -> str:
    """A sentence that says why the portal does not register the service.  A site admin can help only if the token lacks
    the right.
    """
    name = f"'{service.descriptor.name}' {service.descriptor.version}"
    reason = error.body.strip()[:300].rstrip(".")
    if error.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return (
            f"The portal does not list {name} for {provider}, and does not let this token list it ({reason}). Ask a site "
            f"admin for: dss-portal services add {provider} service.json"
        )
    return f"The portal does not list {name} for {provider}. {reason}."


class ServicePublisher:
    """Claims and processes tickets in threads, each with one ticket at a time.  ``work`` processes a ticket and returns
    its outcome as a word; ``connect`` makes a connection for a thread; ``held`` stores the claimed tickets on disk.
    """

    def __init__(
        self,
        offer: Offer,
        connect: Connect,
        work: Callable[[int], str],
        held: HeldTickets,
        say: Say,
    ) -> None:
        self._offer = offer
        self._connect = connect
        self._do = work
        self._held = held
        self._say = say
        self._outage = _Outage(say)
        self._stop = threading.Event()
        self._keys: deque[str] = deque()

    def stop(self) -> None:
        """Claim no more tickets, and tell the portal so.  ``run`` returns when the current ones have ended."""
        self._stop.set()

    def run(self, parallel: int, instance: str, most: int | None = None) -> None:
        """Process tickets in ``parallel`` threads until ``stop`` is called, or until ``most`` tickets have ended.

        Begins with the tickets of an earlier run.  The portal knows a thread as ``instance`` and the thread's number.
        """
        waiting, self._keys = deque(self._held.before()), deque(self._held.keys())
        left = _Countdown(most, self.stop)
        threads = [
            threading.Thread(target=self._loop, args=(f"{instance}-{i}", waiting, left))
            for i in range(parallel)
        ]
        announcement = PublisherAnnouncement(
            githash=self._offer.githash, instance=instance, parallel=parallel
        )
        announcements = Announcements(self._connect(), announcement, self._stop, self._say)
        announcements.start()
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.5)  # a timeout, because Python handles signals between two joins
        self._stop.set()
        announcements.join()

    def _loop(self, instance: str, waiting: "deque[int]", left: "_Countdown") -> None:
        portal = self._connect()
        ask = _ClaimRequests(instance=instance)
        try:
            while not self._stop.is_set():
                number = self._next(portal, ask, waiting)
                if number is None:
                    self._stop.wait(POLL_S)
                    continue
                if self._work(number):
                    left.count()
                else:
                    waiting.append(number)
                    self._stop.wait(AFTER_ERROR_S)
        finally:
            portal.close()

    def _next(self, portal: Portal, ask: "_ClaimRequests", waiting: "deque[int]") -> int | None:
        try:
            while (number := _pop(waiting)) is not None:
                if self._is_claimed(portal, number, waiting):
                    self._outage.over()
                    self._say(f"Ticket {number}: goes on after a restart.")
                    return number
                self._held.remove(number)  # it has ended, or another provider has claimed it
            claimed = self._claimed(portal, ask)
        except Unreachable as error:
            self._outage.met(str(error))
            self._stop.wait(AFTER_ERROR_S)
        except ValueError:
            self._outage.met("Something between here and the portal answered in its place.")
            self._stop.wait(AFTER_ERROR_S)
        except OSError as error:
            self._say(f"The list of tickets cannot be written: {error.strerror}")
            self._stop.wait(AFTER_ERROR_S)
        except Refused as error:
            self._outage.met(f"The portal gives no ticket: {error.body.strip()[:300]}")
            self._stop.wait(AFTER_ERROR_S)
        else:
            self._outage.over()
            return claimed
        return None

    def _claimed(self, portal: Portal, ask: "_ClaimRequests") -> int | None:
        """Claim a new ticket and return its number; None if no ticket waits.  Until the portal has answered, every
        request has the same key, also after a restart of this program.
        """
        if ask.key is None:
            ask.key = _pop(self._keys) or uuid.uuid4().hex
            self._held.ask(ask.key)
        number = portal.claim(self._offer.githash, self._offer.provider, ask.instance, ask.key)
        if number is not None:
            self._held.add(number, ask.key)
            ask.key = None
        return number

    @staticmethod
    def _is_claimed(portal: Portal, number: int, waiting: "deque[int]") -> bool:
        """True if the ticket is still claimed; False also if the portal refuses the request.  If the portal does not
        answer, the ticket goes back to ``waiting`` and the error is raised.
        """
        try:
            return portal.status(number) == "claimed"
        except Refused:
            return False
        except (Unreachable, ValueError):
            waiting.append(number)
            raise

    def _work(self, number: int) -> bool:
        """Process a ticket.  False if an error prevented its end; the ticket is then still claimed, and is continued
        later.
        """
        try:
            self._held.add(number)
            self._say(f"Ticket {number}: claimed.")
            self._say(f"Ticket {number}: {self._do(number)}.")
            self._held.remove(number)
        except (ClientError, OSError) as error:
            self._say(f"Ticket {number}: not finished, {error}")
            return False
        return True


class _Outage:
    """Prints each reason why the portal does not answer or refuses once, and once that it answers again.  Thread-safe:
    several threads report to it.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self._told = set[str]()
        self._lock = threading.Lock()

    def met(self, sentence: str) -> None:
        with self._lock:
            if sentence not in self._told:
                self._told.add(sentence)
                self._say(f"{sentence} Trying again until it answers.")

    def over(self) -> None:
        with self._lock:
            if self._told:
                self._told.clear()
                self._say("The portal answers again.")


@dataclass
class _ClaimRequests:
    """The state of one thread's requests for tickets.  ``key`` is the key of a request that has no answer yet, or None."""

    instance: str
    key: str | None = None


def _pop(waiting: "deque[T]") -> T | None:
    """Remove and return an element, so that no other thread gets it; None if ``waiting`` is empty."""
    try:
        return waiting.pop()
    except IndexError:
        return None


class _Countdown:
    def __init__(self, most: int | None, at_zero: Callable[[], None]) -> None:
        self._left = most
        self._at_zero = at_zero
        self._lock = threading.Lock()

    def count(self) -> None:
        with self._lock:
            if self._left is not None:
                self._left -= 1
                if self._left <= 0:
                    self._at_zero()
