"""Recognises the kind of an image file by the ending of its name."""

from dss_portal.refusals import Refused

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".dcm", ".zip")
"""Endings of images of one file; a DICOM file may have none."""


def ending(name: str) -> str:
    """The ending under which an image is stored.  The rest of its name is not kept, because it may name the patient.

    Raises Refused for other kinds of files.
    """
    found = next((each for each in ENDINGS if name.lower().endswith(each)), "")
    if not found and "." in name:
        raise Refused(
            f"'{name}' is no image of one file: NIfTI (.nii, .nii.gz), NRRD, MetaImage (.mha), DICOM, or a zip of "
            "DICOM files is needed."
        )
    return found
