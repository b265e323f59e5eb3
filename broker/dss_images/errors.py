"""What can go wrong with an image file."""


class ImageRefused(Exception):
    """The file cannot be used; the text says what was found and what to do, and names no place or person."""


class ImageDamaged(ImageRefused):
    """Bytes of it are missing, or are not those that were written."""
