"""Uploads of browsers that another program reads, before their tickets are queued."""
