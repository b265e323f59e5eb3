"""The datastore that all programs share: where files lie, how they are written, whether the volume is there."""
