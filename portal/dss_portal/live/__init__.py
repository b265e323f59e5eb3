"""Live updates of pages: one stream of events to each browser, fed by the feed of changes."""
