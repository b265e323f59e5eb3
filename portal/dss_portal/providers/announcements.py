"""Announcements of publishers.  A publisher is a provider's program, such as ``dss service publish``, that regularly
reports over HTTP which services it serves, and reports its end.

So the portal knows at once when a publisher ends, and soon when it is silent.  Of other providers' programs it knows
only their polls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dss_portal import forms
from dss_portal.database import clock
from dss_portal.models import Publisher, Service, User
from dss_portal.refusals import Refused
from dss_portal.services import liveness

MOST_TICKETS = 1000
MOST_PUBLISHERS = 1000
"""Largest number of publishers that one user may have announced for one service within a day."""
INSTANCE_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """A publisher's announcement.  ``instance`` is its name, ``parallel`` the number of tickets that it processes at a
    time; with ``ends`` it claims no more tickets.
    """

    instance: str
    parallel: int
    ends: bool


def announces_itself(form: Mapping[str, str]) -> bool:
    """True if a request says in its form that its program announces itself (``announced=1``).  Then only the
    announcements count as signs of life, not this request.
    """
    return form.get("announced") == "1"


def read(form: Mapping[str, str]) -> Announcement:
    """The announcement in a form: ``code`` is the program's name, ``parallel`` and ``ends`` are optional.  Raises
    Refused if the name is missing or a value is malformed.
    """
    instance, parallel = forms.of(form, "code"), form.get("parallel", "1")
    if not 0 < len(instance) <= INSTANCE_CHARACTERS:
        raise Refused(f"'code' must have 1 to {INSTANCE_CHARACTERS} characters.")
    if not parallel.isascii() or not parallel.isdigit() or not 0 < int(parallel) <= MOST_TICKETS:
        raise Refused(f"'parallel' must be a number from 1 to {MOST_TICKETS}.")
    return Announcement(
        instance=instance, parallel=int(parallel), ends=form.get("ends", "0") == "1"
    )


async def record(user: User, services: Sequence[Service], announcement: Announcement) -> None:
    """Record an announcement of ``user`` for each of ``services``, which the caller has checked that the user provides.
    Raises Refused if the user has announced MOST_PUBLISHERS others for a service.
    """
    now = clock.now()
    known = {"parallel": announcement.parallel, "heard_at": now, "ended": announcement.ends}
    for name in {service.name for service in services}:
        ids = sorted(service.id for service in services if service.name == name)
        state = {**known, "versions": " ".join(map(str, ids))}
        same = Publisher.filter(user=user, service=name, instance=announcement.instance)
        if not await same.update(**state):
            await _begin(user, name, announcement.instance, state)
    await Service.filter(id__in=[service.id for service in services]).update(heard_at=now)


async def others(user: User, services: Sequence[Service], announcement: Announcement) -> int:
    """The number of live publishers and dispatchers that serve any of ``services``, without the publisher that has sent
    the ``announcement``.  A publisher counts only if it serves one of these versions, or if its versions are not known.
    """
    names, ids = {service.name for service in services}, {service.id for service in services}
    rows = (
        await liveness.alive_publishers()
        .filter(service__in=names)
        .values_list("user_id", "instance", "versions")
    )
    found = {
        (user_id, instance)
        for user_id, instance, versions in rows
        if not versions or ids & liveness.ids_in(str(versions))
    }
    dispatchers = liveness.alive_dispatchers().filter(service__in=names)
    at_work = len(await dispatchers.distinct().values_list("instance"))
    return len(found - {(user.id, announcement.instance)}) + at_work


async def _begin(user: User, service: str, instance: str, state: Mapping[str, object]) -> None:
    if await Publisher.filter(user=user, service=service).count() >= MOST_PUBLISHERS:
        raise Refused(
            f"{MOST_PUBLISHERS} programs of yours have announced themselves for this service within a day, "
            "which is the most; use the same 'code' for the same program."
        )
    await Publisher.update_or_create(
        user=user, service=service, instance=instance, defaults=dict(state)
    )
