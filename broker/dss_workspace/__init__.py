"""ITK-SNAP's workspace files: one reader and one writer for the client, the portal and the dispatchers."""
