# mypy: allow-untyped-calls
# (SimpleITK and nibabel ship no types)
"""Variants of an image that are refused, each with the sentence that says why."""

import bz2
import gzip
import zlib

import nibabel as nib
import numpy as np

from dss_images import refusals
from support.image_variants import (
    AFFINE,
    FILES,
    MIRRORED,
    MOVED,
    NAN,
    NO_FORMS,
    RAW,
    SHEAR,
    VOXELS,
    Variant,
    affine,
    as_bytes,
    by_itk,
    changed,
    cut,
    flipped,
    meta,
    nifti,
    nrrd,
    odd,
    pair,
    qform,
    renamed,
    vector,
)


def no_space(finding: str) -> str:
    return str(refusals.unknown_orientation(finding))


def header(format_name: str, finding: str) -> str:
    return str(refusals.bad_header(format_name, finding))


REFUSED: dict[str, Variant] = {
    "nrrd from its end, too short": Variant(
        make=nrrd(data=RAW[:-2], byte_skip="-1"), refusal=refusals.ENDS_EARLY
    ),
    "meta of two byte orders": Variant(
        make=meta(BinaryDataByteOrderMSB="False", ElementByteOrderMSB="True"),
        refusal=header("MetaImage", "its BinaryDataByteOrderMSB and ElementByteOrderMSB differ"),
    ),
    "meta with a negative HeaderSize": Variant(
        make=meta(data=b"", name="ct.mhd", ElementDataFile="ct.raw", HeaderSize="-7"),
        refusal=header("MetaImage", "its HeaderSize is -7"),
    ),
    "nifti-2 quaternion": Variant(
        make=nifti(
            (348, "i", 0), (344, "i", 1), (352, "3d", (0.8, 0.8, 0.8)), kind=nib.Nifti2Image
        ),
        refusal=header("NIfTI-2", "its quaternion is no rotation"),
    ),
    **{
        f"{name} cut to {part:.0%}": Variant(
            make=changed(by_itk(name, packed=packed), cut(part)), refusal=refusals.ENDS_EARLY
        )
        for name, packed in FILES
        for part in (0.6, 0.999)
    },
    **{
        f"{name} with {value}": Variant(make=by_itk(name, odd(value)), refusal=NAN)
        for name in ("ct.nii", "ct.nii.gz", "ct.nrrd", "ct.mha")
        for value in (np.nan, np.inf, -np.inf)
    },
    "nifti cut in its header": Variant(
        make=changed(nifti(), cut(0.1)), refusal=refusals.ENDS_EARLY
    ),
    "nifti checksum": Variant(
        make=changed(nifti(name="ct.nii.gz"), lambda d: d[:-8] + bytes(4) + d[-4:]),
        refusal=refusals.CORRUPT,
    ),
    "nifti packed and damaged": Variant(
        make=changed(nifti(name="ct.nii.gz"), lambda d: d[:80] + b"\xff" * 60 + d[140:]),
        refusal=refusals.NOT_DECOMPRESSED,
    ),
    "nifti longer than it says": Variant(
        make=changed(nifti(), lambda d: d + bytes(1 << 20)), refusal=refusals.TRAILING_BYTES
    ),
    "nifti sheared": Variant(make=nifti(lps=SHEAR), refusal=refusals.SHEARED),
    "nifti sheared, qform upright": Variant(
        make=nifti(lps=SHEAR, edit=qform()), refusal=refusals.SHEARED
    ),
    "nifti without a form": Variant(make=nifti((252, "2h", (0, 0))), refusal=NO_FORMS),
    "nifti forms apart": Variant(make=nifti(edit=qform(MOVED)), refusal="two places"),
    "nifti forms mirrored": Variant(make=nifti(edit=qform(MIRRORED)), refusal="two places"),
    "nifti two spacings": Variant(make=nifti((80, "3f", (1.0, 1.0, 1.0))), refusal="two spacings"),
    "nifti unknown unit": Variant(
        make=nifti((123, "B", 5)), refusal=str(refusals.unknown_unit("xyzt_units 5"))
    ),
    "nifti slope 0 with an intercept": Variant(
        make=nifti((112, "2f", (0.0, -1024.0))), refusal=refusals.INVALID_SCALING
    ),
    "nifti slope without an intercept": Variant(
        make=nifti((112, "2f", (2.0, np.nan))), refusal=refusals.INVALID_SCALING
    ),
    "nifti scaled beyond all numbers": Variant(
        make=nifti((112, "2f", (3e38, 0.0))), refusal=str(refusals.not_finite((0, 0, 0)))
    ),
    "nifti dimension 0": Variant(
        make=nifti((42, "h", 0)), refusal=str(refusals.empty_dimension((0, 9, 8)))
    ),
    "nifti negative dimension": Variant(
        make=nifti((46, "h", -8)), refusal=str(refusals.empty_dimension((10, 9, -8)))
    ),
    "nifti nine dimensions": Variant(
        make=nifti((40, "h", 9)), refusal=header("NIfTI-1", "it says 9 dimensions")
    ),
    "nifti one slice": Variant(
        make=nifti(voxels=VOXELS[:1]), refusal=str(refusals.few_slices((10, 9, 1)))
    ),
    "nifti flat": Variant(make=nifti((40, "h", 2)), refusal=str(refusals.wrong_dimensions(2))),
    "nifti vectors": Variant(
        make=nifti((40, "8h", (5, 10, 9, 4, 1, 2, 1, 1))), refusal=str(refusals.several_values(2))
    ),
    "nifti colours": Variant(
        make=changed(nifti((70, "2h", (128, 24))), lambda d: d + RAW),
        refusal=str(refusals.several_values(3)),
    ),
    "nifti complex": Variant(
        make=changed(nifti((70, "2h", (32, 64))), lambda d: d + 3 * RAW), refusal=refusals.COMPLEX
    ),
    "nifti 128 bits": Variant(
        make=changed(nifti((70, "2h", (1536, 128))), lambda d: d + 7 * RAW),
        refusal=str(refusals.unknown_kind("datatype 1536")),
    ),
    "nifti offset in the header": Variant(
        make=nifti((108, "f", 0.0)),
        refusal=header("NIfTI-1", "it does not say where its voxels begin (vox_offset)"),
    ),
    "nifti place infinite": Variant(
        make=nifti((280, "f", np.inf)), refusal=refusals.INVALID_SPACING
    ),
    "nifti huge": Variant(make=nifti((280, "f", 3e38), (80, "f", 3e38)), refusal=refusals.SHEARED),
    "nifti no rotation": Variant(
        make=nifti((254, "h", 0), (256, "3f", (0.9, 0.9, 0.9)), edit=qform()),
        refusal=header("NIfTI-1", "its quaternion is no rotation"),
    ),
    "nifti place not a number": Variant(
        make=nifti((292, "f", np.nan)), refusal=refusals.INVALID_ORIGIN
    ),
    "nifti enormous": Variant(
        make=nifti(lps=affine(spacing=(3000.0, 4.0, 5.0))), refusal=str(refusals.too_long(30000))
    ),
    "nifti-2 cut": Variant(
        make=changed(nifti(kind=nib.Nifti2Image), cut(0.6)), refusal=refusals.ENDS_EARLY
    ),
    "nifti-2 sheared": Variant(
        make=nifti(kind=nib.Nifti2Image, lps=SHEAR), refusal=refusals.SHEARED
    ),
    "nifti pair cut": Variant(
        make=pair(nifti(), voxels=RAW[:-9]), refusal=refusals.ENDS_EARLY, only_here=True
    ),
    "nifti pair alone": Variant(
        make=pair(nifti(), voxels=b""), refusal=refusals.ENDS_EARLY, only_here=True
    ),
    "analyze": Variant(make=pair(nifti(), b"\0\0\0\0"), refusal=refusals.ANALYZE),
    "nrrd sheared": Variant(
        make=nrrd(space_directions=" ".join(vector(SHEAR[:3, i]) for i in range(3))),
        refusal=refusals.SHEARED,
    ),
    "nrrd checksum": Variant(
        make=nrrd(data=gzip.compress(RAW)[:-8] + bytes(8), encoding="gzip"),
        refusal=refusals.CORRUPT,
    ),
    "nrrd bzip2 cut": Variant(
        make=nrrd(data=bz2.compress(RAW)[:-9], encoding="bzip2"), refusal=refusals.ENDS_EARLY
    ),
    "nrrd bzip2 damaged": Variant(
        make=nrrd(data=flipped(0.5)(bz2.compress(RAW)), encoding="bzip2"),
        refusal=refusals.NOT_DECOMPRESSED,
    ),
    "nrrd text cut": Variant(
        make=nrrd(data=b"1 2 3 4", encoding="text"), refusal=refusals.ENDS_EARLY
    ),
    "nrrd text of words": Variant(
        make=nrrd(data=b"one two " * 200, encoding="text"), refusal=refusals.NOT_DECOMPRESSED
    ),
    "nrrd other packing": Variant(
        make=nrrd(encoding="zrl"), refusal=str(refusals.unknown_packing("zrl"))
    ),
    "nrrd without space": Variant(
        make=nrrd(space="", space_dimension="3"), refusal=no_space("it names no 'space'")
    ),
    "nrrd spacings alone": Variant(
        make=nrrd(space="", space_directions="", space_origin="", spacings="3 4 5"),
        refusal=no_space("it has no 'space directions'"),
    ),
    "nrrd of a scanner": Variant(
        make=nrrd(space="scanner-xyz"), refusal=no_space("its 'space' is 'scanner-xyz'")
    ),
    "nrrd right-handed": Variant(
        make=nrrd(space="3D-right-handed"), refusal=no_space("its 'space' is '3d-right-handed'")
    ),
    "nrrd zero spacing": Variant(
        make=nrrd(space_directions="(0,0,0) (0,4,0) (0,0,5)"), refusal=refusals.INVALID_SPACING
    ),
    "nrrd direction not a number": Variant(
        make=nrrd(space_directions="(nan,0,0) (0,4,0) (0,0,5)"), refusal=refusals.INVALID_SPACING
    ),
    "nrrd size 0": Variant(
        make=nrrd(sizes="10 0 8"), refusal=str(refusals.empty_dimension((10, 0, 8)))
    ),
    "nrrd without endian": Variant(
        make=nrrd(endian=""),
        refusal=header("NRRD", "it does not say the order of its bytes (endian)"),
    ),
    "nrrd block": Variant(make=nrrd(type="block"), refusal=str(refusals.unknown_kind("block"))),
    "nrrd other unit": Variant(
        make=nrrd(space_units='"inch" "inch" "inch"'), refusal=str(refusals.unknown_unit("inch"))
    ),
    "nrrd vectors": Variant(
        make=nrrd(
            dimension="4",
            sizes="2 5 9 8",
            kinds="vector domain domain domain",
            space_directions="none " + " ".join(vector(AFFINE[:3, i]) for i in range(3)),
        ),
        refusal=str(refusals.several_values(2)),
    ),
    "nrrd elsewhere": Variant(
        make=nrrd(data=b"", data_file="/etc/passwd"), refusal=refusals.VOXELS_IN_OTHER_FILE
    ),
    "nrrd list": Variant(
        make=nrrd(data=b"", data_file="LIST\na.raw\nb.raw"), refusal=refusals.VOXELS_IN_OTHER_FILE
    ),
    "nrrd in the folder above": Variant(
        make=nrrd(data=b"", data_file="../ct.raw"), refusal=refusals.VOXELS_IN_OTHER_FILE
    ),
    "meta elsewhere": Variant(
        make=meta(data=b"", ElementDataFile="/etc/passwd"), refusal=refusals.VOXELS_IN_OTHER_FILE
    ),
    "meta list": Variant(
        make=meta(data=b"a.raw\n", ElementDataFile="LIST"), refusal=refusals.VOXELS_IN_OTHER_FILE
    ),
    "meta sheared": Variant(
        make=meta(TransformMatrix="1 0 0 0.6 0.8 0 0 0 1"), refusal=refusals.SHEARED
    ),
    "meta scaled axes": Variant(
        make=meta(TransformMatrix="2 0 0 0 2 0 0 0 2"),
        refusal=header("MetaImage", "the rows of its TransformMatrix are not of length 1"),
    ),
    "meta negative spacing": Variant(
        make=meta(ElementSpacing="-3 4 5"), refusal=refusals.INVALID_SPACING
    ),
    "meta without spacing": Variant(make=meta(ElementSpacing=""), refusal=refusals.INVALID_SPACING),
    "meta two places": Variant(
        make=meta(Position="1 2 3"), refusal=header("MetaImage", "its Offset and Position differ")
    ),
    "meta too few numbers": Variant(
        make=meta(Offset="1 2"),
        refusal=header("MetaImage", "its Offset has 2 numbers instead of 3"),
    ),
    "meta other values": Variant(
        make=meta(ElementToIntensityFunctionSlope="2"), refusal="ElementToIntensityFunction"
    ),
    "meta checksum": Variant(
        make=meta(data=zlib.compress(RAW)[:-4] + bytes(4), CompressedData="True"),
        refusal=refusals.CORRUPT,
    ),
    "meta vectors": Variant(
        make=meta(2 * VOXELS, data=2 * RAW, ElementNumberOfChannels="2"),
        refusal=str(refusals.several_values(2)),
    ),
    "meta colours of tube": Variant(
        make=meta(ObjectType="Tube"), refusal=header("MetaImage", "its ObjectType is not Image")
    ),
    "nrrd called nifti": Variant(
        make=nrrd(name="ct.nii.gz"), refusal=str(refusals.misnamed("NRRD", ".gz"))
    ),
    "nifti called nrrd": Variant(
        make=renamed(nifti(), "ct.nrrd"), refusal=str(refusals.misnamed("NIfTI-1", ".nrrd"))
    ),
    "nifti without an ending": Variant(
        make=renamed(nifti(), "ct"), refusal=str(refusals.misnamed("NIfTI-1", ""))
    ),
    "text": Variant(
        make=as_bytes("ct.nii.gz", b"Dear colleague, "), refusal=str(refusals.unknown("ct.nii.gz"))
    ),
    "archive": Variant(
        make=as_bytes("ct.nii.gz", gzip.compress(b"tar" * 500)),
        refusal=str(refusals.unknown("ct.nii.gz")),
    ),
    "empty": Variant(make=as_bytes("ct.nii", b""), refusal=refusals.EMPTY),
}
