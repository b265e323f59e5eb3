"""How ITK-SNAP reads comma-separated answers."""

import pytest

from dss_client.tables import read_table


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("0,a\r\n1,b\r\n", [["0", "a"], ["1", "b"]]),
        ('1,"a, b",c\r\n', [["1", "a, b", "c"]]),
        ('1,"say ""yes"""\r\n', [["1", 'say "yes"']]),
        ("1,,c\r\n", [["1", "", "c"]]),
        ("1,é\r\n", [["1", "é"]]),
        ("", []),
        ("None", []),
        ("-1", []),
    ],
)
def test_a_well_formed_table_is_read_as_meant(text: str, rows: list[list[str]]) -> None:
    assert read_table(text) == rows


def test_line_feeds_alone_glue_rows_together() -> None:
    assert read_table("0,a\n1,b\n") == [["0", "a1"]]


def test_a_row_without_its_end_loses_the_last_field() -> None:
    assert read_table("2,hash,claimed") == [["2", "hash"]]


def test_an_empty_quoted_field_is_read_as_a_quote() -> None:
    assert read_table('1,""\r\n') == [["1", '"']]


def test_a_line_feed_within_quotes_ends_the_quoting() -> None:
    assert read_table('1,"a\nb, c"\r\n') == [["1", "ab", " c"]]
