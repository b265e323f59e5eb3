"""Idempotency keys: a provider sends the same key when it repeats a request, so that the portal does not carry it out
twice.
"""

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
    """The ``delivery_id`` for the claim that a request asks for, made from the user and the request's key; None without
    a key.  Raises Refused if the key is malformed.
    """
    key = key_of(form)
    return f"pro-{user_id}-{key}" if key else None


def of_line(ticket_id: int, form: Mapping[str, str]) -> str | None:
    """The ``message_id`` for a log line, made from the ticket and the key of the request; None without a key.  Raises
    Refused if the key is malformed.
    """
    key = key_of(form)
    return f"pro-{ticket_id}-{key}" if key else None
