"""The rule by which a program is alive, for pages, ``/readyz``, gauges, alerts and tickets' logs.

A program that serves queues announces itself every ANNOUNCE_S, and announces its end.  Without an announcement for
ALIVE_S it is dead: it was killed, hangs, or has lost its host or network.
"""

ANNOUNCE_S = 3.0

ALIVE_S = 12.0
"""Four announcements: three may be late or lost before a program is called dead."""

POLLS_S = 55.0
"""ALIVE_S for providers over HTTP, which announce neither an interval nor their end.

itksnap-wt asks every 30 s, which may be late by 25 s; and users are told within 60 s that nobody serves them.
"""
