"""Prepares the files of a ticket from a user's images: what ``dss send`` and the reader of browsers' uploads share."""
