"""Pages that move by themselves: one stream of events to each browser, fed by the feed of changes."""
