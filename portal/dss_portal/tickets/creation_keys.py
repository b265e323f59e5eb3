"""The header Idempotency-Key of requests that create tickets: with the same key, a user's repeated request gets the ticket
of the first one.  Its syntax and status codes are those of draft-ietf-httpapi-idempotency-key-header-07.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

from dss_portal.database import clock
from dss_portal.models import Status, TicketKey
from dss_portal.refusals import Refused

HEADER = "Idempotency-Key"
MOST_CHARACTERS = 255
KEPT = timedelta(hours=24)
"""The key of a deleted ticket is forgotten this long after its creation; that of another ticket is kept."""

_STRING = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')


@dataclass(frozen=True, kw_only=True)
class CreationKey:
    """A key, and the SHA-256 of the form that was sent with it, as hexadecimal digits."""

    key: str
    sha256: str


def key_in(header: str | None, form: Mapping[str, str]) -> CreationKey | None:
    """The key in the value of the header, with the SHA-256 of ``form``; None without the header.  Raises Refused unless
    the value is a string of RFC 9651 (in double quotes) with 1 to MOST_CHARACTERS characters.
    """
    if header is None:
        return None
    found = _STRING.fullmatch(header.strip(" \t"))
    key = re.sub(r"\\(.)", r"\1", found[1]) if found else ""
    if not 0 < len(key) <= MOST_CHARACTERS:
        raise Refused(
            f"{HEADER} must be 1 to {MOST_CHARACTERS} printable ASCII characters in double quotes."
        )
    sent = json.dumps(sorted(form.items()))
    return CreationKey(key=key, sha256=hashlib.sha256(sent.encode(errors="replace")).hexdigest())


def another_form() -> Refused:
    """The refusal of a request whose key was used with another form."""
    return Refused(
        f"This {HEADER} was sent before with another request; each new ticket needs a new key.",
        HTTPStatus.UNPROCESSABLE_ENTITY,
    )


async def forget_old() -> None:
    """Forget the keys of deleted tickets that were created more than KEPT ago."""
    old = TicketKey.filter(created_at__lt=clock.now() - KEPT, ticket__status=Status.DELETED)
    numbers = await old.values_list("id", flat=True)
    await TicketKey.filter(id__in=list(numbers)).delete()
