"""Names of labels and reasons of failures come from strangers, and the tables are opened in spreadsheets."""

from pathlib import Path

import pytest

from dss_client.batch_items import Item
from dss_client.batch_journal import Journal
from dss_client.volumes import LabelVolume
from dss_workspace.cells import cell

LINK = '=HYPERLINK("http://example.org")'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (LINK, f"'{LINK}"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+left", "'+left"),
        ("-1.5", "-1.5"),
        ("left = right", "left = right"),
        ("", ""),
    ],
)
def test_a_formula_becomes_text_and_all_else_stays(text: str, shown: str) -> None:
    assert cell(text) == shown


def test_the_tables_of_a_batch_have_no_formula_of_a_stranger(tmp_path: Path) -> None:
    label = LabelVolume(value=1, name=LINK, volume_ml=0.5, segmentation=LINK)
    item = Item(name="scan", source=tmp_path / "scan.nii.gz", reason=LINK, labels=(label,))
    journal = Journal(tmp_path, server="https://dss.example.org")

    journal.write([item])
    journal.write_volumes([item])

    for table, count in (("results.csv", 1), ("volumes.csv", 2)):
        text = (tmp_path / table).read_text(encoding="utf-8")
        assert (text.count("=HYPERLINK"), text.count("'=HYPERLINK")) == (count, count)
