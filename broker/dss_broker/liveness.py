"""When a program counts as alive: the one rule, for pages, ``/readyz``, gauges, alerts and tickets' logs alike.

A program that serves queues announces itself every ANNOUNCE_S, and says when it ends.  One that was killed, hangs
or has lost its host or network is silent; after ALIVE_S without a word it counts as dead.
"""

ANNOUNCE_S = 3.0

ALIVE_S = 12.0
"""Four announcements: three may be late or lost before a program is called dead."""

POLLS_S = 60.0
"""Likewise for providers that ask over HTTP: nothing tells how often they mean to ask, or that they have ended."""
