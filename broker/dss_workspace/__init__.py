"""Reads and writes ITK-SNAP's workspace files, for the client, the portal and the dispatchers."""
