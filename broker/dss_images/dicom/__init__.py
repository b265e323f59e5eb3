"""Reads a folder of DICOM files: tags first, geometry judged, then pixels.  Start reading at ``reading``."""
