"""Why a DICOM folder is not read."""


class DicomRefused(Exception):
    """The text is a sentence for the user: what was found in which slices, and what to do."""
