"""Reads a folder of DICOM files: tags first, geometry judged, then pixels.  Begin at ``reading``."""
