"""Reads and writes ITK-SNAP's registry, the XML of a workspace file, as ITK-SNAP does.

Format: Common/Registry.cxx of ITK-SNAP (``ReadFromXMLFile``, ``WriteToXMLFile``).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from defusedxml import DefusedXmlException, EntitiesForbidden
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from dss_workspace.errors import WorkspaceInvalid

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_BYTES = 16 * 2**20
"""Limit for the bytes of a workspace file; real ones have some 20 kB."""

MAX_DEPTH = 64
"""Limit for nested folders; real workspaces have some ten levels."""

TOO_LARGE = "The workspace file is larger than 16 MB; real ones have some 20 kB."

_PIECE_BYTES = 65536

_DECLARATION = '<?xml version="1.0" encoding="UTF-8" ?>\n'

_PROJECT_COMMENT = """\
<!--ITK-SNAP (itksnap.org) Project File

This file can be moved/copied along with the images that it references
as long as the relative location of the images to the project file is\x20
the same. Do not modify the SaveLocation entry, or this will not work.
-->
"""

_DOCUMENT_TYPE = """\
<!DOCTYPE registry [
<!ELEMENT registry (entry*,folder*)>
<!ELEMENT folder (entry*,folder*)>
<!ELEMENT entry EMPTY>
<!ATTLIST folder key CDATA #REQUIRED>
<!ATTLIST entry key CDATA #REQUIRED>
<!ATTLIST entry value CDATA #REQUIRED>
]>
"""

# A parser turns white space in an attribute into blanks, unless it is written as a reference.
_ESCAPES = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        '"': "&quot;",
        "\n": "&#10;",
        "\r": "&#13;",
        "\t": "&#9;",
    }
)


_ELEMENT_KEY = re.compile(r"Element\[(0|[1-9][0-9]{0,8})\]")


@dataclass
class Folder:
    """A folder of the registry: its entries and sub-folders by key, in file order.  It is mutable.

    A *path* names an entry or a folder below this folder, by keys joined with dots, such as
    ``ProjectMetaData.Files.Grey.Dimensions``.
    """

    entries: dict[str, str] = field(default_factory=dict)
    folders: dict[str, "Folder"] = field(default_factory=dict)

    def find(self, path: str) -> "Folder | None":
        """The folder at ``path``; None if there is none."""
        key, _, rest = path.partition(".")
        child = self.folders.get(key)
        return child.find(rest) if child is not None and rest else child

    def make(self, path: str) -> "Folder":
        """The folder at ``path``; missing folders are created."""
        key, _, rest = path.partition(".")
        child = self.folders.setdefault(key, Folder())
        return child.make(rest) if rest else child

    def get(self, path: str, default: str = "") -> str:
        """The value of the entry at ``path``; ``default`` if there is none."""
        parent, _, key = path.rpartition(".")
        folder = self.find(parent) if parent else self
        return folder.entries.get(key, default) if folder is not None else default

    def set(self, path: str, value: str) -> None:
        """Change or add the entry at ``path``; missing folders are created."""
        parent, _, key = path.rpartition(".")
        folder = self.make(parent) if parent else self
        folder.entries[key] = value

    def counted(self, size: str) -> list["Folder"]:
        """The folders ``Element[0]``, ``Element[1]`` and so on, in this order, as ITK-SNAP reads a list: the entry
        ``size`` says how many there are.  Folders beyond that number are left out.
        """
        count = int(text) if (text := self.get(size)).isdecimal() else 0
        found = {
            int(key[1]): folder
            for name, folder in self.folders.items()
            if (key := _ELEMENT_KEY.fullmatch(name))
        }
        return [found[number] for number in sorted(found) if number < count]

    def walk(self) -> Iterator["Folder"]:
        """The folder itself, then all folders below it."""
        yield self
        for child in self.folders.values():
            yield from child.walk()


def read(path: Path) -> Folder:
    """The registry in the workspace file ``path``; returns its root folder.

    Raises WorkspaceInvalid as ``parse`` (too large, too deep, not a registry), OSError if the file cannot be read.
    """
    if path.stat().st_size > MAX_BYTES:
        raise WorkspaceInvalid(TOO_LARGE)
    return parse(path.read_bytes())


def parse(data: bytes) -> Folder:
    """The registry in the bytes of a workspace file; returns its root folder.

    Raises WorkspaceInvalid, with a sentence for the sender, if it is larger than MAX_BYTES, nested deeper than
    MAX_DEPTH, not a registry, or defines XML entities.
    """
    if len(data) > MAX_BYTES:
        raise WorkspaceInvalid(TOO_LARGE)
    try:
        root = _root(data)
    except EntitiesForbidden as error:
        raise WorkspaceInvalid(
            "The workspace file defines XML entities, which is not allowed."
        ) from error
    except (DefusedXmlException, ParseError, ValueError, LookupError) as error:
        raise WorkspaceInvalid(f"The workspace file is not readable XML: {error}.") from error
    if root.tag != "registry":
        raise WorkspaceInvalid(
            f"The workspace file holds <{root.tag}>; ITK-SNAP writes <registry>."
        )
    folder = Folder()
    _read_into(folder, root, MAX_DEPTH)
    return folder


def _root(data: bytes) -> "Element":
    parser = DefusedXMLParser(forbid_entities=True, forbid_external=True)
    for i in range(
        0, len(data), _PIECE_BYTES
    ):  # while the parser reads a piece, no other thread runs
        parser.feed(data[i : i + _PIECE_BYTES])
    root: Element = parser.close()
    return root


def _read_into(folder: Folder, element: "Element", depth: int) -> None:
    if depth == 0:
        raise WorkspaceInvalid(f"The workspace file has folders nested deeper than {MAX_DEPTH}.")
    for child in element:
        key = child.get("key")
        if key is None or child.tag not in {"entry", "folder"}:
            raise WorkspaceInvalid(
                f"The workspace file has a <{child.tag}> that ITK-SNAP cannot read."
            )
        if child.tag == "entry":
            folder.entries[key] = child.get("value", "")
        else:
            _read_into(folder.folders.setdefault(key, Folder()), child, depth - 1)


def serialize(root: Folder, *, is_project: bool = True) -> bytes:
    """The bytes of a workspace file with the registry ``root``, with the inline DTD that ITK-SNAP writes.

    With ``is_project``, the file begins with the comment that ITK-SNAP writes into a project that its user saves;
    without, it is like a workspace that ITK-SNAP exports for a ticket.
    """
    head = _DECLARATION + (_PROJECT_COMMENT if is_project else "") + _DOCUMENT_TYPE
    return "\n".join([head + "<registry>", *_lines(root, "  "), "</registry>\n"]).encode()


def _lines(folder: Folder, indent: str) -> Iterator[str]:
    for key, value in folder.entries.items():
        yield f'{indent}<entry key="{_quoted(key)}" value="{_quoted(value)}" />'
    for key, child in folder.folders.items():
        yield f'{indent}<folder key="{_quoted(key)}" >'
        yield from _lines(child, indent + "  ")
        yield f"{indent}</folder>"


def _quoted(text: str) -> str:
    return text.translate(_ESCAPES)
