"""Uploads of a ticket's files by tus 1.0.0 (https://tus.io), over any number of connections, to any portal of a site."""
