"""Why a DICOM folder is not read."""

from dss_images.errors import ImageRefused


class DicomRefused(ImageRefused):
    """The text names slices by InstanceNumber and place, and files where they have no number.

    It is for the user who has the folder.
    """
