import pytest

from dss_broker.messages import Label
from dss_images.default_colours import default_colour
from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.label_table import add_labels, label_table, place_labels
from dss_workspace.registry import Folder, parse
from support.builders import LUNGS, WorkspaceSpec, workspace_xml

DEFAULTS = {i: f"Label {i}" for i in range(1, 7)}


def workspace(labels: dict[int, str]) -> Folder:
    return parse(workspace_xml(WorkspaceSpec(labels=labels)))


def placed(labels: dict[int, str], used: set[int]) -> dict[int, int]:
    return place_labels(LUNGS, label_table(workspace(labels)), used)


def names_after(labels: dict[int, str], used: set[int]) -> dict[int, str]:
    changed = workspace(labels)
    add_labels(changed, LUNGS, placed(labels, used), used, default_colour)
    return {value: element.get("Label") for value, element in label_table(changed).items()}


def test_a_workspace_without_labels_gets_ours() -> None:
    assert names_after({}, set()) == {1: "left lung", 2: "right lung"}


def test_placeholders_that_nothing_uses_give_way() -> None:
    assert names_after(DEFAULTS, set()) == DEFAULTS | {1: "left lung", 2: "right lung"}


def test_a_label_with_a_name_of_its_own_stays_and_ours_moves_above() -> None:
    assert names_after({1: "tumour"}, set()) == {1: "tumour", 2: "right lung", 3: "left lung"}


def test_a_value_that_the_user_has_drawn_with_is_never_renamed() -> None:
    after = names_after(DEFAULTS, {1})

    assert (after[1], after[2], after[7]) == ("Label 1", "right lung", "left lung")


def test_a_label_that_bears_our_name_already_is_shared() -> None:
    assert placed({1: "tumour", 7: "Left Lung"}, {1, 7}) == {1: 7, 2: 2}


def test_a_shared_label_keeps_the_users_colour() -> None:
    changed = workspace({1: "left lung"})

    add_labels(changed, LUNGS, {1: 1, 2: 2}, set(), default_colour)

    table = label_table(changed)
    assert (table[1].get("Color"), table[2].get("Color")) == ("9 9 9", "240 146 88")


def test_a_drawn_value_without_an_entry_gets_one() -> None:
    assert names_after({}, {9})[9] == "Label 9"


def test_a_drawn_value_without_an_entry_gets_the_default_colour() -> None:
    changed = workspace({})

    add_labels(changed, (), {}, {9}, default_colour)

    rgb = tuple(int(word) for word in label_table(changed)[9].get("Color").split())
    assert rgb == default_colour(9)


def test_the_table_says_how_many_it_holds_and_counts_from_zero() -> None:
    changed = workspace({5: "tumour"})

    add_labels(changed, LUNGS, {1: 1, 2: 2}, set(), default_colour)

    table = changed.find("Layers.Layer[000].ProjectMetaData.IRIS.LabelTable")
    assert table is not None
    assert table.get("NumberOfElements") == "3"
    assert list(table.folders) == ["Element[0]", "Element[1]", "Element[2]"]
    assert table.folders["Element[0]"].entries == {
        "Alpha": "255",
        "Color": "84 155 224",
        "Flags": "1 1",
        "Index": "1",
        "Label": "left lung",
    }


def test_no_label_of_ours_becomes_the_value_that_is_none() -> None:
    ours = (Label(value=1, name="Air", rgb=(1, 2, 3), volume_ml=0.1),)

    assert place_labels(ours, label_table(workspace({0: "air", 4: "nodule"})), {4}) == {1: 1}


def test_two_labels_of_ours_never_share_a_value() -> None:
    twice = tuple(Label(value=v, name="nodule", rgb=(1, 2, 3), volume_ml=0.1) for v in (1, 2))

    places = place_labels(twice, label_table(workspace({4: "nodule"})), {4})

    assert len(set(places.values())) == 2


@pytest.mark.parametrize(
    ("labels", "used"),
    [
        ({1: "tumour", 65535: "all"}, set()),
        ({1: "tumour"}, {65535}),
        ({1: "tumour", 65534: "most"}, {65535}),
        (DEFAULTS, {1, 65535}),
    ],
)
def test_where_the_last_value_is_taken_any_free_one_is_used(
    labels: dict[int, str], used: set[int]
) -> None:
    places = placed(labels, used)

    named = {v for v, name in labels.items() if name != f"Label {v}"}
    assert len(set(places.values())) == len(LUNGS)
    assert not set(places.values()) & (used | named)
    assert names_after(labels, used)[places[1]] == "left lung"


def test_a_value_that_another_label_of_ours_will_take_is_not_given_away() -> None:
    """Value 2 is free, but is that of the right lung, which stays where it is."""
    assert placed({1: "tumour", 65535: "all"}, set()) == {1: 3, 2: 2}


def test_a_workspace_that_has_drawn_every_value_is_refused() -> None:
    with pytest.raises(WorkspaceInvalid, match="no free label values"):
        placed({}, set(range(1, 65536)))
