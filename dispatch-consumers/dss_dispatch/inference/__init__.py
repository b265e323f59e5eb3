"""How a dispatcher has an image segmented: the ``interface``, and its implementations by a worker's queue and by a
server over HTTP.
"""
