"""Errors of image files that cannot be used."""


class ImageRefused(Exception):
    """The file cannot be used.  The text says what was found and what to do, without a path or a patient's name."""


class ImageDamaged(ImageRefused):
    """Bytes of the file are missing or were altered."""
