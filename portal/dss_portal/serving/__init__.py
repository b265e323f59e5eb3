"""Connections of the web server, with a fast path for plain requests: they go to the layers in front of the framework
(``polls``, ``writes``) without h11 and Hypercorn's objects.
"""
