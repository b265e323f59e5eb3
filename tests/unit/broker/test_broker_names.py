"""A file name is let pass if Windows, macOS and Linux can all store it."""

import pytest

from dss_datastore.file_names import problem, same_file


@pytest.mark.parametrize(
    "name",
    [
        "layer_000_111737d6f9a6e678718fef819ecc5c8e.nii.gz",
        "ticket_00000001_results.itksnap",
        "Лёгкие, 100% é.nii.gz",
        "console.nii",
        "com10.nii",
        "ü" * 127,
    ],
)
def test_what_every_system_stores_has_no_fault(name: str) -> None:
    assert problem(name) == ""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("lung 10:42.nii.gz", "the character :"),
        ("a/b.nii", "the character /"),
        ("a\\b.nii", "the character \\"),
        ("what?.nii", "the character ?"),
        ('"a".nii', 'the character "'),
        ("a\nb.nii", "printed"),
        ("a\x7f.nii", "printed"),
        ("a.nii.", "ends with a dot"),
        ("a.nii ", "blank"),
        (" a.nii", "blank"),
        (".a.nii", "begins with a dot"),
        ("", "empty"),
        ("NUL", "device"),
        ("con.nii.gz", "device"),
        ("LPT¹.txt", "device"),
        ("ü" * 128, "255 bytes"),
    ],
)
def test_what_some_system_cannot_store_is_found(name: str, why: str) -> None:
    assert why in problem(name)


def test_what_only_windows_refuses_may_be_let_pass() -> None:
    assert problem('what "is" <it>?*|.nii', everywhere=False) == ""
    assert "character :" in problem("10:42.nii", everywhere=False)


@pytest.mark.parametrize(
    ("name", "other"), [("Lungs.nii", "lungs.NII"), ("e\u0301.nii", "\u00c9.nii")]
)
def test_names_that_differ_in_case_or_composition_are_twins(name: str, other: str) -> None:
    assert same_file(name, ["x.nii", other]) == other
    assert same_file(name, [name, "x.nii"]) == ""
