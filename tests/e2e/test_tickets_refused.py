# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Bad images and workspaces fail with a sentence, and the next ticket works."""

from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_client.errors import Refused
from dss_client.itksnap import ItkSnap
from dss_client.sending import send
from dss_inference.device.runner import Runner
from dss_phantom.chest import PhantomSpec, make_phantom
from support.builders import (
    MAIN,
    image,
    workspace_xml,
    write_image,
)
from support.segmented import segmented
from support.watchers import Quiet

pytestmark = [pytest.mark.stack]


@pytest.mark.shared_data
def test_an_abdomen_without_lung_gets_an_empty_result_that_says_so(
    ann: ItkSnap, shared_data: Path, tmp_path: Path
) -> None:
    """The upper 30 slices of the file are the lung bases of ``example_ct_sm``; they are cut off."""
    whole = sitk.ReadImage(str(shared_data / "totalsegmentator" / "example_ct.nii.gz"))
    write_image(tmp_path / "abdomen.nii.gz", whole[:, :, :82])

    sent, found = segmented(ann, tmp_path / "abdomen.nii.gz", tmp_path / "results")

    assert not sitk.GetArrayFromImage(found).any()
    assert "No lung was found in this image." in [line.message for line in sent.log]


@pytest.mark.shared_data
def test_an_image_that_is_not_in_hounsfield_units_is_refused(
    ann: ItkSnap, shared_data: Path, tmp_path: Path
) -> None:
    sent = send(ann, shared_data / "vtkjs" / "LIDC2.mha", "lung-segmentation", tmp_path, Quiet())

    assert sent.status == "failed"
    assert "Hounsfield" in sent.log[-1].message


def failed_with(client: ItkSnap, *files: Path) -> str:
    """Send those files as a ticket; the last line of its log."""
    ticket = client.create_ticket("lung-segmentation")
    for file in files:
        client.upload(ticket, file)
    client.submit(ticket)
    log = [line for detail in client.wait(ticket, every_s=0.1) for line in detail.log]
    assert client.detail(ticket).status == "failed", log
    assert log[-1].category == "error"
    return log[-1].message


def workspace(folder: Path, text: bytes | None = None) -> Path:
    path = folder / "ticket.itksnap"
    path.write_bytes(workspace_xml() if text is None else text)
    return path


def test_every_bad_ticket_fails_with_a_sentence_and_the_next_one_works(
    ann: ItkSnap, tmp_path: Path
) -> None:
    layer = tmp_path / MAIN.file_name
    good = write_image(tmp_path / "good.nii.gz", image())
    layer.write_bytes(good.read_bytes())
    assert "no workspace" in failed_with(ann, layer)
    assert "not" in failed_with(ann, layer, workspace(tmp_path, b"<registry>"))
    assert "upload" in failed_with(ann, workspace(tmp_path))
    untagged = workspace_xml().replace(b'"CT"', b'""')
    assert "tagged 'CT'" in failed_with(ann, layer, workspace(tmp_path, untagged))
    layer.write_bytes(b"this is no image")
    assert "image" in failed_with(ann, layer, workspace(tmp_path))
    write_image(layer, image((6, 6, 6, 3)))
    assert "3 time points, and none is tagged" in failed_with(ann, layer, workspace(tmp_path))

    phantom = make_phantom(PhantomSpec(size=(64, 64, 52), spacing_mm=(6, 6, 6)), Runner("cpu"))
    scan = write_image(tmp_path / "ct.nii.gz", phantom.ct)
    sent, _ = segmented(ann, scan, tmp_path / "results")

    assert sent.status == "success"


def test_an_unknown_service_is_refused(ann: ItkSnap) -> None:
    with pytest.raises(Refused, match="Unable to find service named nothing"):
        ann.create_ticket("nothing")
