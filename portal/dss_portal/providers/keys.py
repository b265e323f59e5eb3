"""Idempotency keys, by which the portal recognises that a provider repeats a request."""

import re
from collections.abc import Mapping

from dss_portal.refusals import Refused

_KEY = re.compile("[A-Za-z0-9-]{8,32}")


def key_of(form: Mapping[str, str]) -> str:
    """The idempotency key in a form; "" if the client sends none.  Raises Refused if it is malformed."""
    key = form.get("key", "")
    if key and not _KEY.fullmatch(key):
        raise Refused("The 'key' must be 8 to 32 letters, digits and hyphens.")
    return key


def of_claim(user_id: int, form: Mapping[str, str]) -> str | None:
    """The ``delivery_id`` of a claim request, made from its key; None without a key.  Raises Refused."""
    key = key_of(form)
    return f"pro-{user_id}-{key}" if key else None


def of_line(ticket_id: int, form: Mapping[str, str]) -> str | None:
    """The ``message_id`` of a log line, made from the key of its request; None without a key.  Raises Refused."""
    key = key_of(form)
    return f"pro-{ticket_id}-{key}" if key else None
