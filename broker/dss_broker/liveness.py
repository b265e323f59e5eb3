"""The times that decide whether a program counts as alive, on pages, in ``/readyz``, gauges, alerts and tickets' logs.

A program that serves queues announces itself every ANNOUNCE_S, and announces its end.  Without an announcement for
ALIVE_S it counts as dead: it was killed, hangs, or has lost its host or network.
"""

ANNOUNCE_S = 3.0

ALIVE_S = 12.0
"""Time without an announcement after which a program counts as dead, in seconds: the time of four announcements."""

PUBLISHER_ANNOUNCE_S = 5.0

PUBLISHER_ALIVE_S = 30.0
"""Time without an announcement after which a ``dss service publish`` counts as dead, in seconds.

It announces itself every PUBLISHER_ANNOUNCE_S over HTTPS, from any network, so its announcements are late more often
than those of other programs.
"""

POLL_ALIVE_S = 55.0
"""Time without a poll after which another provider over HTTP counts as dead, in seconds.  It polls for tickets, but
does not announce itself or its end.

itksnap-wt polls every 30 s, and a poll may be 25 s late; users are told within 60 s that a service is not served.
"""
