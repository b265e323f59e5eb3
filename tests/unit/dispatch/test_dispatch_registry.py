import pytest
from hypothesis import given
from hypothesis import strategies as st

from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.registry import MAX_DEPTH, Folder, parse, serialize
from support.builders import workspace_xml

xml_text = st.text(
    st.characters(
        codec="utf-8",
        exclude_categories=["Cs", "Cc"],
        exclude_characters="\ufffe\uffff",
        include_characters="\t\n\r\"'<>&",
    ),
    max_size=12,
)
folders = st.recursive(
    st.builds(Folder, entries=st.dictionaries(xml_text, xml_text, max_size=3)),
    lambda below: st.builds(
        Folder,
        entries=st.dictionaries(xml_text, xml_text, max_size=3),
        folders=st.dictionaries(xml_text, below, max_size=3),
    ),
    max_leaves=8,
)


@given(folders)
def test_what_is_written_is_read_back_as_it_was(folder: Folder) -> None:
    assert parse(serialize(folder)) == folder


def test_entries_and_folders_that_nobody_knows_are_kept() -> None:
    data = b"""<registry><entry key="Novel" value="a &amp; b" />
        <folder key="Future[1]" ><entry key="x" value="" /></folder></registry>"""

    kept = parse(serialize(parse(data)))

    assert kept == Folder(
        entries={"Novel": "a & b"}, folders={"Future[1]": Folder(entries={"x": ""})}
    )


def test_a_later_folder_of_the_same_key_adds_to_the_first() -> None:
    data = b"""<registry><folder key="a" ><entry key="x" value="1" /></folder>
        <folder key="a" ><entry key="x" value="2" /><entry key="y" value="3" /></folder></registry>"""

    assert parse(data).folders["a"].entries == {"x": "2", "y": "3"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not readable XML"),
        (b"<registry><entry key='a'", "not readable XML"),
        (b"<registry><entry key='a' value='\xff' /></registry>", "not readable XML"),
        (b"\x1f\x8b\x08\x00", "not readable XML"),
        (b"<html></html>", "<html>"),
        (b"<registry><node key='a' /></registry>", "<node>"),
        (b"<registry><entry value='a' /></registry>", "<entry>"),
    ],
)
def test_what_is_no_registry_is_refused_with_a_sentence(data: bytes, said: str) -> None:
    with pytest.raises(WorkspaceInvalid, match=said):
        parse(data)


def test_an_entity_bomb_is_refused_unread() -> None:
    bomb = b'<!DOCTYPE registry [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'

    with pytest.raises(WorkspaceInvalid, match="entities"):
        parse(bomb + b"<registry><entry key='a' value='&b;' /></registry>")


def test_a_file_cannot_be_drawn_in_from_outside() -> None:
    drawn_in = b'<!DOCTYPE registry [<!ENTITY a SYSTEM "file:///etc/passwd">]>'

    with pytest.raises(WorkspaceInvalid, match="entities"):
        parse(drawn_in + b"<registry><entry key='a' value='&a;' /></registry>")


def test_folders_without_end_are_refused() -> None:
    deep = 5000

    with pytest.raises(WorkspaceInvalid, match=str(MAX_DEPTH)):
        parse(b"<registry>" + b"<folder key='a'>" * deep + b"</folder>" * deep + b"</registry>")


def test_an_entry_is_found_by_its_path() -> None:
    registry = parse(workspace_xml())

    size = registry.get("Layers.Layer[000].ProjectMetaData.Files.Grey.Dimensions")

    assert (size, registry.get("Layers.Layer[009].Role", "none")) == ("12 10 8", "none")
