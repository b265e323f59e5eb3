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

from tortoise.connection import get_connection

from dss_portal.database import clock
from dss_portal.refusals import Refused

HEADER = "Idempotency-Key"
MOST_CHARACTERS = 255
KEPT = timedelta(hours=24)
"""The key of a deleted ticket is kept for this time after its creation, and then forgotten by a cleaning; that of
another ticket is kept.
"""

BATCH = 1000
"""Number of keys that are looked at in one cleaning."""

# $1: the id of the last key that was looked at.  $2: only older keys are forgotten.  $3: how many are looked at.
_FORGET = """
WITH looked AS MATERIALIZED (
    SELECT id, ticket_id, created_at FROM ticket_key WHERE id > $1 ORDER BY id LIMIT $3
), forgotten AS (
    DELETE FROM ticket_key WHERE id IN (
        SELECT looked.id FROM looked JOIN ticket ON ticket.id = looked.ticket_id
        WHERE looked.created_at < $2 AND ticket.status = 'deleted')
)
SELECT count(*) AS looked_at, max(id) AS last FROM looked
"""

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


class KeyCleaning:
    """Forgets keys of deleted tickets.  Each call looks at the next BATCH keys of the table, and begins again at its
    end, so that its cost does not grow with the number of keys.
    """

    def __init__(self) -> None:
        self._after = 0

    async def forget_old(self) -> None:
        """Of the next BATCH keys, forget those of deleted tickets that are older than KEPT."""
        values = [self._after, clock.now() - KEPT, BATCH]
        (row,) = await get_connection("default").execute_query_dict(_FORGET, values)
        self._after = row["last"] if row["looked_at"] == BATCH else 0
