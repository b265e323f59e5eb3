"""Bundles of the MONAI Model Zoo, run as they are.

A bundle's configuration may run code: only an administrator installs one.
"""
