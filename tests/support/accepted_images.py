# mypy: allow-untyped-calls
# (SimpleITK and nibabel ship no types)
"""Variants of an image that are read exactly."""

import bz2
import gzip
import struct
import zlib

import nibabel as nib
import numpy as np

from support.image_variants import (
    AFFINE,
    DIRECTION,
    FILES,
    FLOATS,
    FRAMES,
    HALF_TURN,
    LAS,
    MIRRORED,
    ORIGIN_MM,
    POSITIVE,
    RAS,
    RAW,
    UPRIGHT,
    VOXELS,
    Variant,
    affine,
    beside,
    by_itk,
    changed,
    meta,
    nifti,
    nrrd,
    other_of,
    pair,
    qform,
    renamed,
    through_itk,
    units,
    vector,
)

ACCEPTED: dict[str, Variant] = {
    **{
        f"{name} of {kind}{' packed' if packed else ''}": Variant(
            make=by_itk(name, FLOATS.astype(kind), packed=packed), voxels=FLOATS.astype(kind)
        )
        for name, packed in FILES
        for kind in ("i2", "i4", "i8", "f4", "f8")
    },
    **{
        f"{name} of {kind}{' packed' if packed else ''}": Variant(
            make=by_itk(name, POSITIVE.astype(kind), packed=packed),
            voxels=POSITIVE.astype(kind),
            only_sent=True,
        )
        for name, packed in FILES
        for kind in ("i1", "u1", "u2", "u4", "u8")
    },
    "nifti upper case": Variant(make=renamed(nifti(name="ct.nii.gz"), "CT.NII.GZ")),
    "nifti packed without .gz": Variant(make=changed(nifti(), gzip.compress)),
    "nifti not packed with .gz": Variant(make=changed(nifti(name="ct.nii.gz"), gzip.decompress)),
    "nifti big-endian": Variant(make=nifti(order=">")),
    "nifti left-handed": Variant(make=nifti(lps=MIRRORED), affine=MIRRORED),
    "nifti upright": Variant(make=nifti(lps=UPRIGHT), affine=UPRIGHT),
    "nifti qform alone": Variant(make=nifti((254, "h", 0), edit=qform())),
    "nifti qform alone, mirrored": Variant(
        make=nifti((254, "h", 0), lps=MIRRORED, edit=qform(MIRRORED)), affine=MIRRORED
    ),
    "nifti qform and sform": Variant(make=nifti(edit=qform())),
    "nifti half a turn": Variant(
        make=nifti(lps=HALF_TURN, edit=qform(HALF_TURN)), affine=HALF_TURN
    ),
    "nifti negative pixdim": Variant(make=nifti((80, "f", -3.0))),
    "nifti all pixdim negative": Variant(make=nifti((80, "3f", (-3.0, -4.0, -5.0)))),
    "nifti negative pixdim, qform": Variant(
        make=nifti((254, "h", 0), (80, "f", -3.0), edit=qform())
    ),
    "nifti pixdim 0": Variant(make=nifti((80, "3f", (0.0, 0.0, 0.0)))),
    "nifti in metres": Variant(
        make=nifti(
            lps=affine(spacing=(0.003, 0.004, 0.005), origin=(-0.1205, 0.03325, -0.700125)),
            edit=units("meter"),
        )
    ),
    "nifti in micrometres": Variant(
        make=nifti(
            lps=affine(spacing=(3000, 4000, 5000), origin=(-120500, 33250, -700125)),
            edit=units("micron"),
        )
    ),
    "nifti in millimetres": Variant(make=nifti(edit=units("mm"))),
    "nifti scaled": Variant(
        make=nifti((112, "2f", (0.5, -24.0))), voxels=(VOXELS * 0.5 - 24).astype(np.float32)
    ),
    "nifti scaled downwards": Variant(
        make=nifti((112, "2f", (-1.0, 0.0))), voxels=(VOXELS * -1.0).astype(np.float32)
    ),
    "nifti slope 0": Variant(make=nifti((112, "2f", (0.0, 0.0)))),
    "nifti slope not a number": Variant(make=nifti((112, "2f", (np.nan, np.nan)))),
    "nifti slope infinite": Variant(make=nifti((112, "2f", (np.inf, 0.0)))),
    "nifti one time point": Variant(make=nifti(voxels=VOXELS[None])),
    "nifti seven dimensions of one": Variant(make=nifti((40, "8h", (7, 10, 9, 8, 1, 1, 1, 1)))),
    "nifti two time points": Variant(make=nifti(voxels=FRAMES), voxels=FRAMES),
    "nifti time runs backwards": Variant(make=nifti((92, "f", -2.0), voxels=FRAMES), voxels=FRAMES),
    "nifti time not a number": Variant(make=nifti((92, "f", np.nan), voxels=FRAMES), voxels=FRAMES),
    "nifti extension": Variant(
        make=changed(
            nifti((108, "f", 384.0)),
            lambda d: d[:348] + b"\1\0\0\0" + struct.pack("<2i", 32, 6) + bytes(24) + d[352:],
        )
    ),
    "nifti-2": Variant(make=nifti(kind=nib.Nifti2Image)),
    "nifti-2 packed": Variant(make=nifti(kind=nib.Nifti2Image, name="ct.nii.gz")),
    "nifti-2 big-endian": Variant(make=nifti(kind=nib.Nifti2Image, order=">")),
    "nifti-2 two time points": Variant(
        make=nifti(kind=nib.Nifti2Image, voxels=FRAMES), voxels=FRAMES
    ),
    "nifti pair": Variant(make=pair(nifti()), only_here=True),
    "nifti pair with an offset": Variant(make=pair(nifti(), offset=16), only_here=True),
    "nifti pair by its voxels": Variant(make=other_of(pair(nifti()), ".img"), only_here=True),
    "nrrd from nifti": Variant(make=through_itk("a.nii", "ct.nrrd")),
    "nrrd from nifti packed": Variant(make=through_itk("a.nii.gz", "ct.nrrd", packed=True)),
    "nrrd from meta": Variant(make=through_itk("a.mha", "ct.nrrd")),
    "nrrd big-endian": Variant(make=nrrd(VOXELS.astype(">i2"), endian="big")),
    "nrrd bzip2": Variant(make=nrrd(data=bz2.compress(RAW), encoding="bzip2")),
    "nrrd bz2 in two streams": Variant(
        make=nrrd(data=bz2.compress(RAW[:99]) + bz2.compress(RAW[99:]), encoding="bz2")
    ),
    "nrrd text": Variant(
        make=nrrd(data=" ".join(map(str, VOXELS.ravel())).encode(), encoding="ascii")
    ),
    "nrrd hex": Variant(make=nrrd(data=RAW.hex().encode(), encoding="hex")),
    "nrrd line skip": Variant(make=nrrd(data=b"one\ntwo\n" + RAW, line_skip="2")),
    "nrrd byte skip": Variant(make=nrrd(data=b"12345" + RAW, byte_skip="5")),
    "nrrd from its end": Variant(make=nrrd(data=b"anything" + RAW, byte_skip="-1")),
    "nrrd packed byte skip": Variant(
        make=nrrd(data=gzip.compress(b"12345" + RAW), encoding="gz", byte_skip="5")
    ),
    "nrrd RAS": Variant(make=nrrd(space="right-anterior-superior"), affine=RAS),
    "nrrd LAS": Variant(make=nrrd(space="LAS"), affine=LAS),
    "nrrd lps": Variant(make=nrrd(space="lps")),
    "nrrd in micrometres": Variant(
        make=nrrd(
            space_units='"um" "um" "um"',
            space_directions=" ".join(vector(1000 * AFFINE[:3, i]) for i in range(3)),
            space_origin=vector(1000 * AFFINE[:3, 3]),
        )
    ),
    "nrrd in millimetres": Variant(make=nrrd(space_units='"mm" "mm" "mm"')),
    "nrrd windows lines": Variant(
        make=changed(nrrd(data=b""), lambda d: d.replace(b"\n", b"\r\n") + RAW)
    ),
    "nrrd time points": Variant(
        make=nrrd(
            FRAMES,
            dimension="4",
            sizes="10 9 8 2",
            kinds="domain domain domain time",
            space_directions=" ".join(vector(AFFINE[:3, i]) for i in range(3)) + " none",
        ),
        voxels=FRAMES,
    ),
    "nrrd list of one": Variant(
        make=nrrd(
            dimension="4",
            sizes="1 10 9 8",
            kinds="list domain domain domain",
            space_directions="none " + " ".join(vector(AFFINE[:3, i]) for i in range(3)),
        )
    ),
    "nrrd detached": Variant(
        make=beside(nrrd(data=b"", name="ct.nhdr", data_file="ct.raw"), "ct.raw", RAW),
        only_here=True,
    ),
    "nrrd detached packed": Variant(
        make=beside(
            nrrd(data=b"", name="ct.nhdr", data_file="./ct.raw.gz", encoding="gzip"),
            "ct.raw.gz",
            gzip.compress(RAW),
        ),
        only_here=True,
    ),
    "meta from nifti": Variant(make=through_itk("a.nii", "ct.mha")),
    "meta from nrrd packed": Variant(make=through_itk("a.nrrd", "ct.mha", packed=True)),
    "meta with keys of others": Variant(
        make=changed(
            meta(),
            lambda d: (
                d[:19]
                + b"NRRD_kinds[0] = domain\nITK_original_spacing = 1 2 3\n0010|0010 = A^B\n"
                + d[19:]
            ),
        )
    ),
    "meta empty lines": Variant(make=changed(meta(), lambda d: d[:19] + b"\r\n\n" + d[19:])),
    "meta windows lines": Variant(
        make=changed(meta(data=b""), lambda d: d.replace(b"\n", b"\r\n") + RAW)
    ),
    "meta big-endian": Variant(make=meta(VOXELS.astype(">i2"), BinaryDataByteOrderMSB="True")),
    "meta element order": Variant(make=meta(VOXELS.astype(">i2"), ElementByteOrderMSB="True")),
    "meta packed": Variant(make=meta(data=zlib.compress(RAW), CompressedData="True")),
    "meta text": Variant(
        make=meta(data=" ".join(map(str, VOXELS.ravel())).encode(), BinaryData="False")
    ),
    "meta element size": Variant(make=meta(ElementSpacing="", ElementSize="3 4 5")),
    "meta position": Variant(make=meta(Offset="", Position=" ".join(map(repr, ORIGIN_MM)))),
    "meta long long": Variant(
        make=meta(VOXELS.astype("i8"), ElementType="MET_LONG_LONG"), voxels=VOXELS.astype("i8")
    ),
    "meta one time point": Variant(
        make=meta(
            NDims="4",
            TransformMatrix=" ".join(
                repr(float(n))
                for n in np.block([[DIRECTION.T, np.zeros((3, 1))], [0, 0, 0, 1]]).ravel()
            ),
            Offset=" ".join(map(repr, (*ORIGIN_MM, 0.0))),
            ElementSpacing="3 4 5 1",
            DimSize="10 9 8 1",
        )
    ),
    "meta detached": Variant(
        make=beside(meta(data=b"", name="ct.mhd", ElementDataFile="ct.raw"), "ct.raw", RAW),
        only_here=True,
    ),
    "meta detached packed": Variant(
        make=beside(
            meta(data=b"", name="ct.mhd", ElementDataFile="ct.zraw", CompressedData="True"),
            "ct.zraw",
            zlib.compress(RAW),
        ),
        only_here=True,
    ),
    "meta detached with a header": Variant(
        make=beside(
            meta(data=b"", name="ct.mhd", ElementDataFile="ct.raw", HeaderSize="-1"),
            "ct.raw",
            b"some header" + RAW,
        ),
        only_here=True,
    ),
}
