"""ITK-SNAP's workspace file: nested folders of entries, as XML.  Facts: Registry.cxx of ITK-SNAP."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Union
from xml.sax.saxutils import quoteattr

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from dss_client.errors import NotUnderstood

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Folder = Mapping[str, Union[str, "Folder"]]
"""Entries and folders by key."""

_HEADER = """\
<?xml version="1.0" encoding="UTF-8" ?>
<!DOCTYPE registry [
<!ELEMENT registry (entry*,folder*)>
<!ELEMENT folder (entry*,folder*)>
<!ELEMENT entry EMPTY>
<!ATTLIST folder key CDATA #REQUIRED>
<!ATTLIST entry key CDATA #REQUIRED>
<!ATTLIST entry value CDATA #REQUIRED>
]>
"""


def to_xml(root: Folder) -> str:
    """In each folder the entries come first, as in the document type."""
    lines = ["<registry>", *_lines(root, "  "), "</registry>"]
    return _HEADER + "\n".join(lines) + "\n"


def _lines(folder: Folder, indent: str) -> Iterator[str]:
    for key, value in folder.items():
        if isinstance(value, str):
            yield f"{indent}<entry key={quoteattr(key)} value={quoteattr(value)} />"
    for key, value in folder.items():
        if not isinstance(value, str):
            yield f"{indent}<folder key={quoteattr(key)} >"
            yield from _lines(value, indent + "  ")
            yield f"{indent}</folder>"


def read_entries(path: Path) -> dict[str, str]:
    """Each entry under its keys joined by dots.  Raises NotUnderstood if it is no workspace."""
    try:
        root = fromstring(path.read_bytes())
    except (ParseError, DefusedXmlException) as error:
        raise NotUnderstood("The result workspace cannot be read.") from error
    return dict(_entries(root, ""))


def _entries(folder: "Element", prefix: str) -> Iterator[tuple[str, str]]:
    for element in folder:
        key = prefix + element.get("key", "")
        if element.tag == "entry":
            yield key, element.get("value", "")
        else:
            yield from _entries(element, f"{key}.")
