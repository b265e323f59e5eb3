"""Resumable uploads of a ticket's files with the protocol tus 1.0.0 (https://tus.io): an upload can continue over any
number of connections, and at any portal of the site.
"""
