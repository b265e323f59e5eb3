"""Runs unmodified bundles of the MONAI Model Zoo.

A bundle's configuration may run code, so only an administrator may install one.
"""
