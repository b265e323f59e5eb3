"""The portal: the HTTP API for ITK-SNAP and browsers, accounts, and the states of tickets.  Only the portal writes to
PostgreSQL.
"""
