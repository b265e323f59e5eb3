# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Client, dispatcher, worker and facade judge every variant of an image file alike, in the same words."""

import io
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from werkzeug.test import EnvironBuilder

from dss_client.errors import ImageUnreadable
from dss_dispatch.errors import TicketError
from dss_dispatch.ticket_images import read_volume
from dss_images import refusals
from dss_inference.ct.reading import HIGHEST_HU, LOWEST_HU, read_ct
from dss_inference.ct.region import Region
from dss_inference.errors import InferenceError
from dss_inference.facade.upload import FIELD, receive
from dss_submission.images import write_layer
from support.accepted_images import ACCEPTED
from support.image_variants import AFFINE, VOXELS
from support.refused_images import REFUSED

sitk.ProcessObject.SetGlobalWarningDisplay(False)
BY_VOXELS = "nifti pair by its voxels"
FIRST = Region(time_point=1)
ALONE = [name for name, variant in ACCEPTED.items() if not (variant.only_here or variant.only_sent)]
OF_THE_NAME = {
    name
    for name in REFUSED
    if REFUSED[name].refusal.startswith(("The file is N", "The file is not a NIfTI file"))
}
"""The facade gives its files names of its own."""


def corners(affine: np.ndarray) -> np.ndarray:
    ends = np.array(np.meshgrid([0, 9], [0, 8], [0, 7])).reshape(3, -1)
    return np.asarray((affine[:3, :3] @ ends).T + affine[:3, 3])


def upload(path: Path, folder: Path) -> Path:
    folder.mkdir()
    data = {FIELD: (io.BytesIO(path.read_bytes()), "image")}
    with closing(EnvironBuilder(method="POST", data=data)) as builder:
        environ = builder.get_environ()
        with closing(environ["wsgi.input"]):
            return folder / receive(environ, folder, 1 << 30).image_name


@pytest.mark.parametrize("name", ALONE)
def test_an_accepted_image_is_read_exactly_everywhere(tmp_path: Path, name: str) -> None:
    variant = ACCEPTED[name]
    path = variant.make(tmp_path)
    voxels = VOXELS if variant.voxels is None else variant.voxels
    frame = voxels if voxels.ndim == 3 else voxels[0]

    ct = read_ct(path, FIRST)
    uploaded = read_ct(upload(path, tmp_path / "facade"), FIRST)

    clipped = np.clip(frame, LOWEST_HU, HIGHEST_HU).astype(np.int16)
    assert np.array_equal(ct.order.undo(ct.hu), clipped)
    assert np.array_equal(ct.hu, uploaded.hu)
    truth = corners(AFFINE if variant.affine is None else variant.affine)
    for grid in (ct.grid, uploaded.grid, read_volume(path).grid):
        assert np.abs(np.sort(grid.corners_mm(), 0) - np.sort(truth, 0)).max() < 1e-6 * 1000


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_image_is_refused_everywhere_in_the_same_words(tmp_path: Path, name: str) -> None:
    variant = REFUSED[name]
    (tmp_path / "out").mkdir()
    path = variant.make(tmp_path)

    with pytest.raises(ImageUnreadable) as by_client:
        write_layer(path, tmp_path / "out")
    with pytest.raises(InferenceError) as by_worker:
        read_ct(path, FIRST)
    said = {str(by_worker.value)}
    try:  # the dispatcher leaves the voxels of the image to the worker
        read_volume(path)
    except TicketError as error:
        said.add(str(error))
    if name not in OF_THE_NAME:
        with pytest.raises(InferenceError) as by_facade:
            read_ct(upload(path, tmp_path / "facade"), FIRST)
        said.add(str(by_facade.value))

    assert said == {refusals.VOXELS_IN_OTHER_FILE if variant.only_here else str(by_client.value)}


@pytest.mark.parametrize(
    "name", [name for name, variant in ACCEPTED.items() if variant.only_here and name != BY_VOXELS]
)
def test_voxels_in_another_file_are_for_the_users_own_machine_alone(
    tmp_path: Path, name: str
) -> None:
    path = ACCEPTED[name].make(tmp_path)

    with pytest.raises(InferenceError) as by_worker:
        read_ct(path)
    with pytest.raises(TicketError) as by_dispatcher:
        read_volume(path)

    assert {str(by_worker.value), str(by_dispatcher.value)} == {refusals.VOXELS_IN_OTHER_FILE}
