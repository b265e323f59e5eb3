# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""The viewer refuses headers that the service refuses, and guesses at none."""

import base64
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from playwright.sync_api import Page

from dss_images.errors import ImageRefused
from dss_images.reading import read_header
from support import viewed
from support.sites import Site
from support.viewed import cube

pytestmark = [pytest.mark.stack]
VALUE = 700

browser = viewed.browser
mary = viewed.mary
page = viewed.page


def nifti_with(changes: dict[int, bytes]) -> bytes:
    """The plain file with other bytes at these offsets."""
    data = bytearray(PLAIN["nii"])
    for offset, value in changes.items():
        data[offset : offset + len(value)] = value
    return bytes(data)


PLAIN: dict[str, bytes] = {}
"""A file of each format, without compression, by its suffix."""
READ = """async (data) => {
    const { readVolume } = await import("/static/viewer/volumes.js");
    try {
        const volume = await readVolume(new Blob([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))]).stream());
        return [volume.data[0] * volume.slope + volume.intercept, volume.data.at(-1), volume.affine[0][0]];
    } catch (error) {
        return error.message;
    }
}"""
REPLACED = {
    "nrrd in metres": ("nrrd", b"space origin:", b'space units: "m" "m" "m"\nspace origin:'),
    "nrrd without the order of bytes": ("nrrd", b"endian: little\n", b""),
    "nrrd that states its space twice": (
        "nrrd",
        b"space origin:",
        b"space: right-anterior-superior\nspace origin:",
    ),
    "mha in centimetres": ("mha", b"NDims = 3\n", b"NDims = 3\nDistanceUnits = cm\n"),
    "mha without a size of voxels": ("mha", b"ElementSpacing = 1.5 1.25 2\n", b""),
    "mha with a scaling": (
        "mha",
        b"NDims = 3\n",
        b"NDims = 3\nElementToIntensityFunctionSlope = 2\n",
    ),
    "mha with two orders of bytes": (
        "mha",
        b"NDims = 3\n",
        b"NDims = 3\nElementByteOrderMSB = True\n",
    ),
    "mha with a gap after its header": ("mha", b"NDims = 3\n", b"NDims = 3\nHeaderSize = 100\n"),
}
"""Headers that the service refuses, or whose units it converts: what is replaced by what in a file of PLAIN."""
SAME = {
    "nrrd with an order in capitals": ("nrrd", b"endian: little", b"endian: Little"),
    "nrrd with a key of somebody's own": ("nrrd", b"space origin:", b"space:=mine\nspace origin:"),
    "mha in small letters": (
        "mha",
        b"BinaryDataByteOrderMSB = False",
        b"BinaryDataByteOrderMSB = false",
    ),
}


def test_the_viewer_guesses_at_no_header_that_the_service_refuses(
    page: Page, site: Site, tmp_path: Path
) -> None:
    built = cube(tuple(np.eye(3).ravel()), sitk.sitkInt16, VALUE, -900)
    for ending in ("nii", "nrrd", "mha"):
        path = tmp_path / f"plain.{ending}"
        sitk.WriteImage(built, str(path))
        PLAIN[ending] = path.read_bytes()
    cases = {name: PLAIN[e].replace(old, new) for name, (e, old, new) in REPLACED.items()}
    cases["nifti whose voxels begin in its header"] = nifti_with({108: struct.pack("<f", 0)})
    cases["nifti with two sizes of voxels"] = nifti_with(
        {80: struct.pack("<f", 3), 252: struct.pack("<h", 0)}
    )
    cases["nifti that is turned by no rotation"] = nifti_with(
        {252: struct.pack("<hh3f", 1, 0, 1, 1, 1)}
    )
    same = {name: PLAIN[e].replace(old, new) for name, (e, old, new) in SAME.items()}
    page.goto("/about")

    for name, data in (PLAIN | same).items():
        found = page.evaluate(READ, base64.b64encode(data).decode())
        assert found == [-900, -900, -1.5], name
    for name, data in cases.items():
        assert data not in PLAIN.values(), name
        path = tmp_path / f"case.{name.partition(' ')[0].replace('nifti', 'nii')}"
        path.write_bytes(data)
        with suppress(ImageRefused):
            spacing = read_header(path).grid.spacing_mm
            assert spacing[0] in {15.0, 1500.0}, name  # in other units, which the viewer refuses
        assert isinstance(page.evaluate(READ, base64.b64encode(data).decode()), str), name


def test_a_file_that_unpacks_to_too_much_is_given_up(page: Page, site: Site) -> None:
    page.goto("/about")

    said = page.evaluate(
        """async () => {
            const { gathered } = await import("/static/viewer/volumes.js");
            const packed = new Blob([new Uint8Array(1e6)]).stream().pipeThrough(new CompressionStream("gzip"));
            try {
                await gathered(packed.pipeThrough(new DecompressionStream("gzip")), 2 ** 16);
            } catch (error) {
                return error.message;
            }
        }"""
    )

    assert said.startswith("is larger than")
