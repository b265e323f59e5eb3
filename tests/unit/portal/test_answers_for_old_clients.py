from datetime import UTC, datetime, timedelta, timezone

import pytest

from dss_portal.datastore.names import flat_name
from dss_portal.formats import attachment, csv_text
from dss_portal.models import Status, TicketProgress
from dss_portal.polls.snapshots import _list_as_csv
from dss_portal.refusals import Refused
from dss_portal.services.store import synthetic_hash, version_key
from dss_portal.tickets import progress
from dss_portal.tickets.views import atime


def test_every_csv_record_ends_in_crlf() -> None:
    assert csv_text([(0, "a"), (1, "b")]) == "0,a\r\n1,b\r\n"


def test_a_comma_is_quoted_and_a_line_break_becomes_a_blank() -> None:
    assert csv_text([(7, 'one, "two"\nthree')]) == '7,"one, ""two"" three"\r\n'


@pytest.mark.parametrize("name", ["lungs", 'one, "two"', "three\nfour", ""])
def test_the_list_of_tickets_has_the_form_of_every_table(name: str) -> None:
    cells = [(n, name, status) for n, status in ((1, "ready"), (12, "success"))] * 2
    rows = [dict(zip(("id", "name", "status"), row, strict=True)) for row in cells]

    assert _list_as_csv(rows) == csv_text(cells)


def test_a_missing_value_is_an_empty_field() -> None:
    assert csv_text([(1, None)]) == "1,\r\n"


def test_the_time_of_a_log_line_has_the_form_that_itksnap_parses() -> None:
    in_paris = datetime(2026, 11, 22, 13, 5, 7, 42, timezone(timedelta(hours=1)))

    assert atime(in_paris) == "2026-11-22 12:05:07.000042"


def test_a_full_second_keeps_its_fraction() -> None:
    assert atime(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02 00:00:00.000000"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("a.nii.gz", "a.nii.gz"),
        (r"C:\x\y.nii", "y.nii"),
        ("../../e", "e"),
        ("Thorax é.nrrd", "Thorax é.nrrd"),
    ],
)
def test_an_uploaded_name_loses_its_folders(sent: str, kept: str) -> None:
    assert flat_name(sent) == kept


@pytest.mark.parametrize("sent", ["", ".", "..", "dir/", ".hidden", "a\nb", "x" * 256])
def test_a_name_that_is_no_file_name_is_refused(sent: str) -> None:
    with pytest.raises(Refused, match="file"):
        flat_name(sent)


@pytest.mark.parametrize(
    ("version", "key"),
    [("1.2.3", (1, 2, 3)), ("2", (2, 0, 0)), ("1.x.3", (1, 0, 3)), ("1.2.3.4", (1, 2, 3))],
)
def test_a_version_counts_its_first_three_numbers(version: str, key: tuple[int, ...]) -> None:
    assert version_key(version) == key


def test_a_service_hash_has_forty_lower_case_digits_and_ignores_the_order_of_fields() -> None:
    one = synthetic_hash({"name": "lung", "version": "1"})

    assert one == synthetic_hash({"version": "1", "name": "lung"})
    assert len(one) == 40
    assert one == one.lower()


def _chunk(start: float, end: float, done: float) -> TicketProgress:
    return TicketProgress(chunk_start=start, chunk_end=end, progress=done)


def test_progress_is_the_sum_of_its_chunks() -> None:
    assert progress.total([_chunk(0, 0.5, 1), _chunk(0.5, 1, 0.5)]) == pytest.approx(0.75)


def test_overlapping_chunks_never_pass_the_end_of_the_bar() -> None:
    """The ancestors' fault 11."""
    assert progress.total([_chunk(0, 1, 1), _chunk(0, 0.5, 1)]) == 1.0


@pytest.mark.parametrize(
    ("status", "shown"), [(Status.READY, 0.0), (Status.CLAIMED, 0.5), (Status.FAILED, 1.0)]
)
def test_the_bar_follows_the_chunks_only_while_the_ticket_is_claimed(
    status: Status, shown: float
) -> None:
    assert progress.shown(status, [_chunk(0, 0.5, 1)]) == shown


def test_a_download_keeps_a_plain_name_as_it_is() -> None:
    assert attachment("seg.nii.gz") == 'attachment; filename="seg.nii.gz"'


def test_a_download_with_a_quote_or_foreign_letters_names_the_file_twice() -> None:
    header = attachment('é"x.nii')

    assert header == "attachment; filename=\"?_x.nii\"; filename*=UTF-8''%C3%A9%22x.nii"
