"""What the sender says about its image reaches the ticket's log."""

from pathlib import Path

import pytest

from dss_dispatch.service import service_from
from dss_dispatch.submission.reading import read_submission
from dss_images.dicom.notes import Note
from dss_submission.layer import Layer
from dss_submission.workspace import write_workspace
from dss_workspace.notes import MAX_CHARACTERS, MAX_NOTES, SenderNote, read_notes, remove_notes
from dss_workspace.registry import Folder, parse
from support.builders import WorkspaceSpec, service_json, submit

NOTES = (
    Note(text="DICOM series 3 (CT) of 20 slices, sorted by position."),
    Note(text='Resampled from a tilt of "15" degrees & more.', level="warning"),
)


@pytest.fixture
def workspace(tmp_path: Path) -> Folder:
    """As ``dss send`` writes it."""
    layer = Layer(path=tmp_path / "layer_000_a.nii.gz", size=(1, 1, 1), notes=NOTES)
    return parse(write_workspace(1, layer, ["CT"]).read_bytes())


def test_notes_of_dss_send_are_read_in_their_order(workspace: Folder) -> None:
    assert read_notes(workspace) == tuple(SenderNote(text=n.text, level=n.level) for n in NOTES)


def test_a_workspace_of_itksnap_has_none(tmp_path: Path) -> None:
    folder = submit(tmp_path, spec=WorkspaceSpec())

    assert read_notes(read_submission(folder, service_from(service_json())).workspace) == ()


def test_strange_notes_are_cut_to_size() -> None:
    root = Folder()
    for i in range(100):
        root.set(f"DSS.Notes.Element[{i}].Text", "a\x1b[31m\n" + "b" * 10_000)
        root.set(f"DSS.Notes.Element[{i}].Level", "fatal")

    found = read_notes(root)

    assert len(found) == MAX_NOTES
    assert {r.level for r in found} == {"info"}
    assert all(r.text.startswith("a[31m b") and len(r.text) == MAX_CHARACTERS for r in found)


def test_the_result_does_not_repeat_them(workspace: Folder) -> None:
    remove_notes(workspace)

    assert read_notes(workspace) == ()
