"""Submits tickets from a browser, and images that are sent without a workspace."""
