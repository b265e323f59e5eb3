"""Puts estimates into words for users.  Pure."""

from datetime import UTC, datetime

from dss_portal.estimates.forecast import Forecast

UNKNOWN = "How long it takes is not known yet."
SOON_S = 8.0
"""A time in seconds from which on ``about`` states a number."""


def about(seconds: float) -> str:
    """A duration, rounded as an estimate should be: ``a few seconds``, ``about 40 s``, ``about 3 min``, ``about 2 h
    10 min``.
    """
    if seconds < SOON_S:
        return "a few seconds"
    if seconds < 55:
        return f"about {5 * round(seconds / 5)} s"
    if seconds < 115:
        return f"about {10 * round(seconds / 10)} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"about {minutes} min"
    hours, rest = divmod(10 * round(minutes / 10), 60)
    return f"about {hours} h {rest} min" if rest else f"about {hours} h"


def before(number: int, *, at_least: bool = False) -> str:
    """The number of tickets that are served earlier, in words.  With ``at_least`` there may be more."""
    if at_least:
        return f"{number} or more before you"
    return f"{number} before you" if number else "none before you"


def left(forecast: Forecast) -> str:
    """The remaining time of a ticket that waits or is claimed, in words."""
    if forecast.begins_s < 1:
        return f"{_capital(about(forecast.ends_s))} left."
    return f"Done in {about(forecast.ends_s)}; {worker(forecast)}."


def worker(forecast: Forecast) -> str:
    """When a worker begins the ticket, in words.  A claimed ticket may wait for a worker, too."""
    return f"a worker begins it in {about(forecast.begins_s)}"


def promise(ends_s: float, at: datetime, ahead: int, *, again: bool) -> str:
    """A line for a ticket's log that states its expected end, with the time of day, because the line does not change
    later.  ``ahead`` is the number of tickets served earlier; ``again``: the log has stated another end before.
    """
    begin = "Now expected" if again else "Expected"
    clock = at.astimezone(UTC).strftime("%H:%M")
    queue = f"; {ahead} {'ticket is' if ahead == 1 else 'tickets are'} before it" if ahead else ""
    return f"{begin} to be done in {about(ends_s)}, at {clock} UTC{queue}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
