"""Errors in what a browser has uploaded."""


class UploadInvalid(Exception):
    """The upload cannot be read; the text is a sentence for the user."""
