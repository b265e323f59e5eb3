"""Reads a folder of DICOM files: first the tags, then checks of the geometry, then the pixels.  Start reading at
``reading``.
"""
