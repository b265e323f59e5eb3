"""The datastore that all programs share: the places of files, writing them, and checks of the volume."""
