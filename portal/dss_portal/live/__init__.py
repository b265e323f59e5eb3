"""Live updates of the portal's pages: each open page receives a stream of events, which the feed of changes causes."""
