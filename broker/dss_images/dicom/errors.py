"""The error of a DICOM folder that cannot be used."""

from dss_images.errors import ImageRefused


class DicomRefused(ImageRefused):
    """The folder cannot be used.  The text names slices by InstanceNumber and position, and files if they have no
    number.

    It is for the user who has the folder.
    """


class NoSeries(DicomRefused):
    """There is no DICOM file in the folder."""
