"""Prepares the files of a ticket from a user's images.  ``dss send`` and the reader of browsers' uploads share this
code.
"""
