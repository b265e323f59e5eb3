"""The portal: HTTP for ITK-SNAP and browsers, accounts, the ticket's state.  The only writer of PostgreSQL."""
