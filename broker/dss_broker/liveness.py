"""The rule for whether a program is alive, for pages, ``/readyz``, gauges, alerts and tickets' logs.

A program that serves queues announces itself every ANNOUNCE_S, and announces its end.  Without an announcement for
ALIVE_S it counts as dead: it was killed, hangs, or has lost its host or network.
"""

ANNOUNCE_S = 3.0

ALIVE_S = 12.0
"""The time of four announcements: three may be late or lost before a program counts as dead."""

PUBLISHER_ANNOUNCE_S = 5.0

PUBLISHER_ALIVE_S = 30.0
"""The same two for ``dss service publish``, which announces itself over HTTPS from anywhere, and so is late more often."""

POLLS_S = 55.0
"""The same limit for other providers over HTTP, which announce neither an interval nor their end.

itksnap-wt polls every 30 s, and a poll may be 25 s late; users are told within 60 s that a service is not served.
"""
