"""Lets the inference worker run unmodified bundles of the MONAI Model Zoo.

A bundle's configuration may run code, so only an administrator may install bundles.
"""
