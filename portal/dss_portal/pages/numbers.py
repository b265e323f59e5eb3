"""Checks numbers from forms and URLs of the pages."""

from datetime import timedelta

from dss_portal.refusals import Refused

NUMBER = "int(max=2147483647)"
"""URL converter for the number of a ticket, user, provider or token, limited to the database's integers."""


LARGEST = 2**31 - 1


def ticket_number(text: str) -> int | None:
    """``text`` of a link as the number of a ticket; None for any other text."""
    is_number = text.isascii() and text.isdigit() and len(text) < 11
    return int(text) if is_number and int(text) <= LARGEST else None


def days(text: str) -> timedelta:
    """``text`` as a number of days from 0 to 36500.  Raises Refused for any other text."""
    try:
        found = timedelta(days=float(text))
    except (ValueError, OverflowError) as error:
        raise Refused(f"The number of days must be a number, not '{text}'.") from error
    if not timedelta() <= found <= timedelta(days=36500):
        raise Refused(f"The number of days must lie between 0 and 36500; {text} does not.")
    return found
