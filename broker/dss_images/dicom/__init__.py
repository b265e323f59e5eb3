"""Converts a folder of DICOM files to an image: reads the tags, checks the geometry, then reads the pixels.

The module ``reading`` is where the work begins.
"""
