"""Parses numbers in forms and URLs of the pages, within the limits of the database."""

from datetime import timedelta

from dss_portal.refusals import Refused

NUMBER = "int(max=2147483647)"
"""URL converter for the number of a ticket, user, provider or token; larger numbers than the database's integers do not
match.
"""


LARGEST = 2**31 - 1


def ticket_number(text: str) -> int | None:
    """The ticket number that the text of a query parameter contains; None if the text is not a number that a ticket can
    have.
    """
    is_number = text.isascii() and text.isdigit() and len(text) < 11
    return int(text) if is_number and int(text) <= LARGEST else None


def days(text: str) -> timedelta:
    """The length of time that a form field states as a number of days, from 0 to 36500, with or without a fraction.
    Raises Refused if ``text`` is something else.
    """
    try:
        found = timedelta(days=float(text))
    except (ValueError, OverflowError) as error:
        raise Refused(f"The number of days must be a number, not '{text}'.") from error
    if not timedelta() <= found <= timedelta(days=36500):
        raise Refused(f"The number of days must lie between 0 and 36500; {text} does not.")
    return found
