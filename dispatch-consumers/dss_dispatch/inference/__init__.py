"""Inference for tickets: the ``interface``, implemented by a queue and by HTTP."""
