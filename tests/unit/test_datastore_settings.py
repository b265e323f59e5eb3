"""The settings of the datastore are understood, or refused with a sentence."""

import fcntl
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from dss_broker.datastore_settings import DatastoreSettings
from dss_broker.settings import problems
from dss_datastore.s3 import scratch as scratch_folders
from dss_datastore.s3.errors import sentence, translated
from dss_datastore.s3.pieces import Piece, in_order, key_of
from dss_datastore.s3.scratch import Scratch
from dss_datastore.space import is_disk_full
from dss_datastore.volume import is_away

S3 = {"DSS_DATASTORE_URL": "s3://dss/site", "DSS_SCRATCH": "/scratch"}


def told(monkeypatch: pytest.MonkeyPatch, **settings: str) -> list[str]:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as refused:
        DatastoreSettings()
    return problems(refused.value)


@pytest.mark.parametrize(
    ("settings", "setting", "words"),
    [
        ({}, "DSS_DATASTORE", "is not set"),
        ({"DSS_DATASTORE": "data"}, "DSS_DATASTORE", "'data' is no path that begins with /"),
        ({"DSS_DATASTORE": " "}, "DSS_DATASTORE", "is no path that begins with /"),
        ({"DSS_DATASTORE": "s3://dss/site"}, "DSS_DATASTORE", "DSS_DATASTORE_URL names a bucket"),
        ({"DSS_DATASTORE": "/data", **S3}, "DSS_DATASTORE", "only one of them may be"),
        ({"DSS_DATASTORE_URL": "s3://dss"}, "DSS_SCRATCH", "needs this folder"),
        ({**S3, "DSS_DATASTORE_URL": "https://dss/site"}, "DSS_DATASTORE_URL", "s3://bucket"),
        ({**S3, "DSS_DATASTORE_URL": "s3://Dss"}, "DSS_DATASTORE_URL", "s3://bucket"),
        ({**S3, "DSS_DATASTORE_URL": "s3://dss/../x"}, "DSS_DATASTORE_URL", "s3://bucket"),
        ({**S3, "DSS_DATASTORE_URL": f"s3://dss/{'a' * 99}!"}, "DSS_DATASTORE_URL", "s3://bucket"),
        ({**S3, "DSS_S3_REGION": "eu_west"}, "DSS_S3_REGION", "should match pattern"),
        ({**S3, "DSS_S3_ENDPOINT": "s3.example.org"}, "DSS_S3_ENDPOINT", "https://s3.example"),
        ({**S3, "DSS_S3_ENDPOINT": "https://a:b@s3"}, "DSS_S3_ENDPOINT", "https://s3.example"),
        ({**S3, "DSS_S3_CA_FILE": "/no/such.pem"}, "DSS_S3_CA_FILE", "there is no file"),
        ({**S3, "DSS_SCRATCH_BYTES": "0"}, "DSS_SCRATCH_BYTES", "greater than 0"),
    ],
)
def test_a_wrong_setting_is_a_sentence_with_its_name(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], setting: str, words: str
) -> None:
    (line,) = told(monkeypatch, **settings)

    assert line.startswith(f"{setting}: ")
    assert words in line


@pytest.mark.parametrize("setting", ["DSS_DATASTORE_URL", "DSS_S3_ENDPOINT"])
@pytest.mark.parametrize(
    "url", ["s3://KEY:hushhush@dss", "https://KEY:hushhush@s3.example", "https://s3/?key=hushhush"]
)
def test_a_refused_address_with_keys_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, setting: str, url: str
) -> None:
    (line,) = told(monkeypatch, **{**S3, setting: url})

    assert line.startswith(f"{setting}: what was given, with keys or a query, is no address like")
    assert "hush" not in line


@pytest.mark.parametrize(
    ("url", "prefix"),
    [("s3://dss", ""), ("s3://dss/", ""), ("s3://dss/a", "a/"), ("s3://dss/a/b.c/", "a/b.c/")],
)
def test_keys_begin_with_the_prefix_of_the_address(
    monkeypatch: pytest.MonkeyPatch, url: str, prefix: str
) -> None:
    for name, value in {**S3, "DSS_DATASTORE_URL": url}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "x")

    place = DatastoreSettings().bucket().place

    assert (place.bucket, place.prefix) == ("dss", prefix)


def test_a_scratch_folder_that_cannot_be_written_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for name, value in {**S3, "DSS_SCRATCH": str(tmp_path / "file")}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "x")

    with pytest.raises(ValueError, match=r"DSS_SCRATCH: .* cannot be written"):
        DatastoreSettings().shared_datastore()


def test_a_scratch_folder_is_not_taken_for_a_left_one_before_it_is_locked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another program starts between the making of the folder and its lock."""
    waits, lock = [True], fcntl.flock

    def late(handle: int, kind: int) -> None:
        if kind == fcntl.LOCK_EX and waits:
            waits.clear()
            scratch_folders._remove_left(tmp_path)
        lock(handle, kind)

    monkeypatch.setattr(fcntl, "flock", late)

    made = Scratch(tmp_path, 1)

    assert not waits
    assert (made.folder / ".lock").is_file()
    made.close()


def s3_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, endpoint: str) -> DatastoreSettings:
    """With an endpoint that no other test has: clients are kept."""
    settings = {**S3, "DSS_SCRATCH": str(tmp_path), "DSS_S3_ENDPOINT": endpoint}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return DatastoreSettings()


def test_a_program_without_the_extra_is_told_that_it_needs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)

    with pytest.raises(ValueError, match="without the extra 's3'"):
        s3_only(monkeypatch, tmp_path, "http://127.0.0.1:4").shared_datastore()


def test_a_profile_that_is_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")

    with pytest.raises(ValueError, match=r"cannot be set up: .*nobody"):
        s3_only(monkeypatch, tmp_path, "http://127.0.0.1:5").shared_datastore()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("NoSuchBucket", "has no bucket 'dss'"),
        ("AccessDenied", "denies this program access to the bucket 'dss'"),
        ("403", "denies this program access"),
        ("InvalidAccessKeyId", "does not know the access key"),
        ("SignatureDoesNotMatch", "secret key"),
        ("SlowDown", "refuses the bucket 'dss': SlowDown"),
    ],
)
def test_a_refusal_of_the_server_is_a_sentence_for_operators(code: str, words: str) -> None:
    assert words in sentence(code, "dss")


def test_a_refusal_of_the_server_is_the_error_of_a_file_system() -> None:
    assert isinstance(translated("NoSuchKey", "a"), FileNotFoundError)
    assert is_disk_full(translated("QuotaExceeded", "a"))
    assert is_away(translated("AccessDenied", "a"))
    assert not is_away(translated("PreconditionFailed", "a"))


@pytest.mark.parametrize(
    ("pieces", "order"),
    [
        ([(0, 3), (3, 2)], [((0, 3), 0), ((3, 2), 0)]),
        ([(3, 2), (0, 3), (3, 5)], [((0, 3), 0), ((3, 5), 0)]),
        ([(0, 3), (2, 4)], [((0, 3), 0), ((2, 4), 1)]),
        ([(0, 3), (4, 2)], [((0, 3), 0)]),
        ([(1, 3)], []),
        ([], []),
    ],
)
def test_pieces_are_put_in_order_without_a_byte_twice_and_end_before_a_gap(
    pieces: list[tuple[int, int]], order: list[tuple[tuple[int, int], int]]
) -> None:
    names = [key_of(Piece(offset=at, size_bytes=size)) for at, size in pieces]

    found = list(in_order(names))

    assert found == [
        (key_of(Piece(offset=at, size_bytes=size)), skipped) for (at, size), skipped in order
    ]


def test_very_many_pieces_are_put_in_order() -> None:
    """A slow or odd client sends small ones; with a search among all for each, this would take hours."""
    names = [key_of(Piece(offset=at, size_bytes=size)) for at in range(60_000) for size in (1, 2)]

    found = list(in_order(names))

    assert len(found) == 30_001
    assert found[1] == (key_of(Piece(offset=2, size_bytes=2)), 0)
    assert found[-1] == (key_of(Piece(offset=59_999, size_bytes=2)), 1)
