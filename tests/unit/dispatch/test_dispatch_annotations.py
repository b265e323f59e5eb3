# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Landmarks in a workspace lie where ITK-SNAP looks for them."""

from pathlib import Path

import pytest

from dss_broker.messages import Landmark
from dss_dispatch.result.landmarks import annotations
from dss_dispatch.ticket_images import read_header
from dss_workspace.landmarks import add_landmarks
from dss_workspace.registry import Folder, parse, serialize
from support.builders import image, write_image


def landmark(index: tuple[int, int, int], text: str = "candidate 1") -> Landmark:
    """In the middle of a voxel of ``builders.image``."""
    x, y, z = image().TransformIndexToPhysicalPoint(index)
    return Landmark(text=text, position_mm=(x, y, z), rgb=(255, 0, 51))


def marked(tmp_path: Path, *landmarks: Landmark, workspace: Folder | None = None) -> Folder:
    workspace = workspace or Folder()
    main = read_header(write_image(tmp_path / "ct.mha", image()))
    add_landmarks(workspace, annotations(landmarks, main))
    return parse(serialize(workspace))


def test_a_position_counts_voxels_from_the_corner_of_the_first(tmp_path: Path) -> None:
    workspace = marked(tmp_path, landmark((3, 7, 2)))

    element = "Annotations.Annotations.Element[0]"
    position = [float(word) for word in workspace.get(f"{element}.Pos").split()]
    assert position == pytest.approx([3.5, 7.5, 2.5], abs=1e-4)
    assert workspace.get(f"{element}.Type") == "LandmarkAnnotation"
    assert workspace.get(f"{element}.Text") == "candidate 1"
    assert workspace.get(f"{element}.Color") == "1 0 0.2"


def test_landmarks_of_the_user_stay(tmp_path: Path) -> None:
    first = marked(tmp_path, landmark((1, 1, 1), "mine"))

    workspace = marked(tmp_path, landmark((2, 2, 2), "ours"), workspace=first)

    annotations = workspace.find("Annotations.Annotations")
    assert annotations is not None
    assert annotations.get("ArraySize") == "2"
    assert [folder.get("Text") for folder in annotations.folders.values()] == ["mine", "ours"]


def test_without_landmarks_nothing_is_added(tmp_path: Path) -> None:
    assert marked(tmp_path) == Folder()
