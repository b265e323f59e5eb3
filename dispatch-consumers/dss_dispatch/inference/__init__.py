"""Inference for tickets: the interface (``protocol``), implemented by a queue and by HTTP."""
