"""The errors of a DICOM folder, archive or file that cannot be used."""

from dss_images.errors import ImageRefused


class DicomRefused(ImageRefused):
    """A DICOM source (folder, archive or file), or one of its series, cannot be used.

    The text is a sentence for the user: it names slices by InstanceNumber and position, or by file name if they have no
    number.
    """


class NoSeries(DicomRefused):
    """There is no DICOM series in the folder, archive or file."""
