# mypy: allow-untyped-calls
# (SimpleITK and nibabel ship no types)
"""The voxels of a file are those that ITK reads, or the file is refused: never something in between."""

import gzip
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.ct.reading import HIGHEST_HU, LOWEST_HU, read_ct
from dss_inference.errors import InferenceError

VOXELS = np.random.default_rng(1).integers(-1100, 3200, (20, 21, 22)).astype(np.int16)
PACKED = ("a.nii.gz", "a.nrrd", "a.mha")
MM = 9.0


def written(path: Path, voxels: npt.NDArray[np.generic] = VOXELS) -> Path:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((MM, MM, MM))
    sitk.WriteImage(image, path, useCompression=not path.name.startswith("raw"))
    return path


def assert_as_itk_reads_it(path: Path) -> None:
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(path))
    expected = np.clip(voxels, LOWEST_HU, HIGHEST_HU).astype(np.int16)
    assert np.array_equal(read_ct(path).hu, expected)


def refusal(path: Path) -> str:
    with pytest.raises(InferenceError) as refused:
        read_ct(path)
    return str(refused.value)


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8", "f4", "f8"])
@pytest.mark.parametrize("name", ["a.nii", *PACKED, "raw.nrrd", "raw.mha"])
def test_voxels_of_every_type_are_read_as_by_itk(tmp_path: Path, name: str, kind: str) -> None:
    voxels = (VOXELS / 30 if kind == "i1" else VOXELS / 1.1).astype(kind)

    assert_as_itk_reads_it(written(tmp_path / name, voxels - np.array(60, kind)))


SCALES = [(1, 0), (2, -1024), (0.0488296, -17.3), (0, 0), (np.nan, np.inf)]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("order", ["<", ">"])
def test_byte_order_and_scale_of_nifti_are_those_of_itk(
    tmp_path: Path, order: str, scale: tuple[float, float]
) -> None:
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(np.int16)
    path = tmp_path / "a.nii"
    nib.Nifti1Image(VOXELS.T, np.diag([-MM, -MM, MM, 1]), header).to_filename(path)
    data = bytearray(path.read_bytes())
    struct.pack_into(f"{order}2f", data, 112, *scale)
    path.write_bytes(data)

    assert_as_itk_reads_it(path)


@pytest.mark.parametrize("name", ["raw.nrrd", "raw.mha"])
def test_byte_order_is_that_of_the_header(tmp_path: Path, name: str) -> None:
    data = written(tmp_path / name).read_bytes()
    header, voxels = data[: -VOXELS.nbytes], VOXELS.astype(">i2").tobytes()
    header = header.replace(b"endian: little", b"endian: big")
    header = header.replace(b"OrderMSB = False", b"OrderMSB = True")
    if name.endswith("nrrd"):
        packed = header.replace(b"raw", b"gzip") + gzip.compress(voxels)
    else:
        packed = header.replace(b"edData = False", b"edData = True") + zlib.compress(voxels)
    (tmp_path / name).write_bytes(packed)

    assert np.array_equal(read_ct(tmp_path / name).hu, VOXELS.clip(LOWEST_HU, HIGHEST_HU))


@pytest.mark.parametrize("missing", [1, 4, 8, 9, 12, 2000])
@pytest.mark.parametrize("name", PACKED)
def test_what_is_cut_off_is_refused_even_in_its_last_byte(
    tmp_path: Path, name: str, missing: int
) -> None:
    path = written(tmp_path / name)
    path.write_bytes(path.read_bytes()[:-missing])

    assert "is damaged: it ends too early" in refusal(path)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", PACKED)
def test_a_bit_that_has_changed_on_the_way_is_noticed(
    tmp_path: Path, name: str, part: float
) -> None:
    path = written(tmp_path / name)
    data = bytearray(path.read_bytes())
    data[int(len(data) * part)] ^= 16
    path.write_bytes(data)

    assert "damaged" in refusal(path)


def packed_anew(path: Path, change: Callable[[bytes], bytes]) -> Path:
    """The same header before other voxels, whose checksum fits them."""
    if path.name.endswith(".nii.gz"):
        data = gzip.decompress(path.read_bytes())
        path.write_bytes(gzip.compress(data[:352] + change(data[352:]), 1))
        return path
    end = rb"\n\n" if path.suffix == ".nrrd" else rb"LOCAL\n"
    header, found, voxels = re.split(b"(" + end + b")", path.read_bytes(), maxsplit=1)
    if path.suffix == ".nrrd":
        packed = gzip.compress(change(gzip.decompress(voxels)), 1)
    else:
        packed = zlib.compress(change(zlib.decompress(voxels)), 1)
    header = re.sub(rb"DataSize = \d+", b"DataSize = %d" % len(packed), header)
    path.write_bytes(header + found + packed)
    return path


@pytest.mark.parametrize("missing", [1, 2, 5000])
@pytest.mark.parametrize("name", PACKED)
def test_fewer_voxels_than_the_header_says_are_refused(
    tmp_path: Path, name: str, missing: int
) -> None:
    path = packed_anew(written(tmp_path / name), lambda voxels: voxels[:-missing])

    assert "is damaged: it ends too early" in refusal(path)


@pytest.mark.parametrize("name", PACKED)
def test_many_more_voxels_than_the_header_says_are_refused(tmp_path: Path, name: str) -> None:
    path = packed_anew(written(tmp_path / name), lambda voxels: voxels + bytes(1 << 21))

    assert "more voxels than its header says" in refusal(path)


def test_a_gzip_file_in_several_streams_is_read_to_its_end(tmp_path: Path) -> None:
    """As ``bgzip`` and ``cat`` make them."""
    path = written(tmp_path / "a.nii.gz")
    data = gzip.decompress(path.read_bytes())
    parts = [gzip.compress(data[i : i + 4096]) for i in range(0, len(data), 4096)]
    path.write_bytes(b"".join([*parts, gzip.compress(b"")]))

    assert_as_itk_reads_it(path)
    path.write_bytes(b"".join(parts)[:-1])
    assert "damaged" in refusal(path)


def test_what_follows_a_whole_gzip_stream_is_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "a.nii.gz")
    path.write_bytes(path.read_bytes() + bytes(512))

    assert_as_itk_reads_it(path)


def test_a_meta_image_that_does_not_say_its_packed_size_is_read_whole(tmp_path: Path) -> None:
    """ITK makes other voxels of it."""
    path = written(tmp_path / "a.mha")
    path.write_bytes(re.sub(rb"CompressedDataSize = \d+\n", b"", path.read_bytes()))

    assert np.array_equal(read_ct(path).hu, VOXELS.clip(LOWEST_HU, HIGHEST_HU))


def test_a_nifti_header_of_a_pair_reads_no_other_file(tmp_path: Path) -> None:
    path = written(tmp_path / "a.nii")
    data = path.read_bytes()
    path.with_suffix(".img").write_bytes(data[352:])
    path.write_bytes(data[:344] + b"ni1\x00" + data[348:])

    assert "in another file" in refusal(path)
