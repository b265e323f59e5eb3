"""Reads the images that a browser has uploaded, with the code of ``dss send``."""
