"""Inference for tickets: the interface (``protocol``), and its implementations by a queue and by HTTP."""
