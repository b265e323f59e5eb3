"""Builds the result workspace: the user's workspace, with layers, labels and landmarks of the result.

Every program that makes results builds them here, so that all follow the same rules.
"""

import copy
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from dss_workspace import layers as images
from dss_workspace.label_table import Label, add_labels, label_table, place_labels
from dss_workspace.landmarks import Landmark, add_landmarks
from dss_workspace.meshes import add_mesh, mesh_file_names, remove_incomplete_meshes
from dss_workspace.notes import remove_notes
from dss_workspace.paths import move, remove_histories
from dss_workspace.registry import Folder, serialize

NAME_DIGITS = 32
"""Digits of a hash in file names, as in those of ITK-SNAP's client (``layer_000_<md5>.nii.gz``)."""
_WORDS_CHARACTERS = 60

Colour = Callable[[int], tuple[int, int, int]]


def content_name(kind: str, called: str, digest: str, suffix: str) -> str:
    """The name of a result file: ``kind``, words of ``called``, the hash ``digest`` of the file, and ``suffix``.

    ``digest`` must be of all bytes of the file, not of its voxels alone: users keep the results of several tickets in
    one folder, where the same name must always mean the same content.
    """
    words = re.sub(r"[^a-z0-9]+", "_", called.lower()).strip("_")[:_WORDS_CHARACTERS] or "result"
    return f"{kind}_{words}_{digest[:NAME_DIGITS]}{suffix}"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A finished result workspace.

    ``content`` are the bytes of the workspace file and ``name`` its name; ``sent`` are the names of the user's files
    that it refers to; ``remarks`` are sentences for the user about changed labels and removed meshes.
    """

    name: str
    content: bytes
    sent: tuple[str, ...]
    remarks: tuple[str, ...]


class ResultWorkspace:
    """Builds the result workspace in this order: ``place`` and ``add_segmentation`` for each segmentation, then other
    layers, then ``finish``.

    ``sent`` is the user's workspace, which is not changed; ``used`` are the label values in its segmentations.
    ``default_colour`` gives the colour (red, green, blue, 0 to 255) of a label value that has no entry in the table.
    """

    def __init__(self, sent: Folder, used: Collection[int], default_colour: Colour) -> None:
        self._sent = sent
        self._workspace = copy.deepcopy(sent)
        self._used = set(used)
        self._default_colour = default_colour
        self._remarks: list[str] = []

    def place(self, labels: Sequence[Label]) -> dict[int, int]:
        """The value that each of ``labels`` gets in the workspace, by its own value, which another label may use.

        Raises WorkspaceInvalid if no value is left.
        """
        return place_labels(labels, label_table(self._workspace), self._used)

    def add_segmentation(
        self, file: str, called: str, labels: Sequence[Label], places: Mapping[int, int]
    ) -> None:
        """Add a segmentation layer and its labels.

        ``file`` is the name of its file, whose voxels already have the values of ``places``, which ``place`` has
        returned; ``called`` is its nickname.
        """
        images.add_segmentation(self._workspace, file, called)
        add_labels(self._workspace, labels, places, self._used, self._default_colour)
        self._used |= set(places.values())
        self._remarks += [
            f"The label '{label.name}' has the value {places[label.value]}, since the workspace "
            f"has another label {label.value}."
            for label in labels
            if places[label.value] != label.value
        ]

    def add_overlay(self, file: str, called: str) -> None:
        images.add_overlay(self._workspace, file, called)

    def add_mesh(
        self, file: str, called: str, rgb: tuple[int, int, int], time_point: int = 1
    ) -> None:
        add_mesh(self._workspace, file, called, rgb, time_point)

    def add_landmarks(self, landmarks: Sequence[Landmark]) -> None:
        add_landmarks(self._workspace, landmarks)

    def finish(
        self,
        ticket_id: int,
        main_size: tuple[int, ...],
        is_there: Callable[[str], bool],
    ) -> Finished:
        """Finish the workspace of the ticket ``ticket_id``, once, with paths that do not name the user's or our
        folders.

        ``main_size`` is the main image's size in voxels, (x, y, z) or (x, y, z, t).  ``is_there`` returns whether the
        user's or the result's files contain a file name; meshes without a file, the sender's notes and the lists of
        opened files are removed.  Raises WorkspaceInvalid for a layer without a file name.
        """
        workspace = self._workspace
        self._remarks += _mesh_remarks(remove_incomplete_meshes(workspace, is_there))
        images.state_main_size(workspace, main_size)
        remove_notes(workspace)
        remove_histories(workspace)
        move(workspace, f"/dss/tickets/{ticket_id:08d}")
        return Finished(
            name=f"ticket_{ticket_id:08d}_results.itksnap",
            content=serialize(workspace),
            sent=self._sent_files(),
            remarks=tuple(self._remarks),
        )

    def _sent_files(self) -> tuple[str, ...]:
        """Names of the files of the user's image layers, and of the user's mesh layers that are not removed."""
        kept = set(mesh_file_names(self._workspace))
        meshes = [name for name in mesh_file_names(self._sent) if name in kept]
        names = [layer.file_name for layer in images.layers(self._sent)]
        return tuple(dict.fromkeys([*names, *meshes]))


def _mesh_remarks(dropped: int) -> list[str]:
    if not dropped:
        return []
    return [f"Mesh layers left out, since ITK-SNAP does not upload their files: {dropped}."]
