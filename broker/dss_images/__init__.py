"""Reads and checks image files, by the same rules for client, dispatcher and worker."""
