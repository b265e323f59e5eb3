"""Uploads of a ticket's files with tus 1.0.0 (https://tus.io), over any number of connections and to any portal of
the site.
"""
