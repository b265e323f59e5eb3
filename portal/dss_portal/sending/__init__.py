"""Submitting tickets from a browser, and images that come without a workspace."""
