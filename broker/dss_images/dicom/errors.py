"""The error of a DICOM folder that cannot be used."""

from dss_images.errors import ImageRefused


class DicomRefused(ImageRefused):
    """The folder cannot be used.  The text is for the user who has the folder: it names slices by InstanceNumber and
    position, and by file name if they have no number.
    """


class NoSeries(DicomRefused):
    """There is no DICOM file in the folder."""
