"""The page about workspaces names what ``dss_workspace`` reads and writes."""

import re
from dataclasses import dataclass

from conftest import CHECKOUT
from dss_workspace.label_table import add_labels
from dss_workspace.landmarks import Landmark, add_landmarks
from dss_workspace.layers import Role, add_overlay, add_segmentation, main_folder
from dss_workspace.meshes import add_mesh
from dss_workspace.registry import MAX_BYTES, Folder
from dss_workspace.time_points import tag_time_point

PAGE = (CHECKOUT / "docs/pages/reference/workspaces.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class OneLabel:
    value: int = 1
    name: str = "Lung"
    rgb: tuple[int, int, int] = (1, 2, 3)


def full_workspace() -> Folder:
    """With everything that the page has a row for, made by the functions that our programs use."""
    workspace = Folder(entries={"SaveLocation": "/tickets/1", "Version": ""})
    main = main_folder(workspace)
    for key, value in {"AbsolutePath": "a.nii.gz", "Role": Role.MAIN, "Tags": "CT"}.items():
        main.set(key, value)
    add_segmentation(workspace, "s.nii.gz", "Lungs")
    add_overlay(workspace, "o.nii.gz", "Probability")
    add_labels(workspace, [OneLabel()], {1: 1}, {1}, lambda _: (1, 2, 3))
    add_landmarks(workspace, [Landmark(text="Tip", index=(1, 2, 3), rgb=(1, 2, 3))])
    tag_time_point(workspace, 2, "TimePoint", 3)
    for name, number in (("v.vtk", 1), ("p.vtp", 2)):
        add_mesh(workspace, name, "Hull", (1, 2, 3), number)
    return workspace


def words_of(folder: Folder) -> set[str]:
    """All names of folders and entries, and all values, in the workspace."""
    words = {name for one in folder.walk() for name in (*one.folders, *one.entries)}
    return words | {value for one in folder.walk() for value in one.entries.values()}


def test_every_place_on_the_page_is_one_of_our_workspaces() -> None:
    rows = re.findall(r"^\| [^|]+ \| (.+) \|$", PAGE, re.MULTILINE)[1:]
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    words = words_of(full_workspace())

    assert len(named) > 20
    for name in named:
        parts = [name] if name in words else name.split(".")
        assert [part for part in parts if part not in words] == [], name


def test_the_largest_workspace_is_that_of_the_page() -> None:
    assert f"larger than {MAX_BYTES // 2**20} MB" in PAGE
