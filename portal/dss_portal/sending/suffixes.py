"""Recognises the format of an image file by the ending of its name."""

from dss_portal.refusals import Refused

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".dcm", ".zip")
"""Endings of files that contain a complete image; a DICOM file may also have a name without any ending."""


def suffix_of(name: str) -> str:
    """The ending of the file name, such as ``.nii.gz``, under which an image is stored; "" if it has none.  The rest of
    the name is not kept, because it may name the patient.

    Raises Refused for an ending that is not in SUFFIXES.
    """
    found = next((each for each in SUFFIXES if name.lower().endswith(each)), "")
    if not found and "." in name:
        raise Refused(
            f"'{name}' is no image of one file: NIfTI (.nii, .nii.gz), NRRD, MetaImage (.mha), DICOM, or a zip of "
            "DICOM files is needed."
        )
    return found
