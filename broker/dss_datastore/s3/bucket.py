"""Reads and writes the files of an S3 bucket, by their keys below a prefix.

A write is complete or has no effect; reads request ranges of bytes.  An S3 server has no rename: to make a file that is
under a temporary key visible, the server copies it.
More than 300 lines: one class with a short method for each operation on keys.
"""

import hashlib
import threading
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from io import BufferedReader
from typing import Any, BinaryIO, Literal

from dss_datastore import layout
from dss_datastore.access import WorkEnded, never
from dss_datastore.s3.client import (
    Client,
    Server,
    client,
    code_of,
    copied_parts,
    file_errors,
    is_of_the_library,
)
from dss_datastore.s3.errors import sentence
from dss_datastore.s3.reading import Stored, opened
from dss_datastore.volume import away

PART_BYTES = 8 << 20
"""Files are sent in parts of this size; while a file is sent, one part is in memory."""
MOST_PARTS = 9_000
"""Most parts of a file, because S3 allows 10,000.  The size of a part doubles after each quarter of this number."""
MOST_COPIED_BYTES = 5 << 30
"""Most bytes that an S3 server copies by one request."""
COPIED_PART_BYTES = 1 << 30
ABANDONED = timedelta(days=1)
"""Age after which an incomplete upload counts as abandoned: the program that sent the file has ended."""
ANSWER_S = 4.0
"""Longest wait of ``Bucket.problem``, in seconds.  It is shorter than the timeout of probes of ``/readyz``."""
_QUICK_S = 5.0
"""Longest wait for bytes of the server's answer in ``Bucket.problem``, in seconds."""
MARK = f"{layout.TICKETS}/.site"
"""Key of the file that shows that a bucket and prefix have a datastore.  The portal of a new site makes it."""
NOT_MADE = (
    "The bucket '{bucket}' has no datastore at '{prefix}': the portal of a new site makes it."
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A bucket, and the prefix of the datastore's keys in it: empty, or with a slash at its end."""

    bucket: str
    prefix: str = ""


class Bucket:
    """Reads and writes the files of one bucket.  Methods raise OSError: FileNotFoundError if there is no such file,
    ENOSPC if the server is full, ENODEV if it does not answer or refuses the request.
    """

    def __init__(self, server: Server, place: Place) -> None:
        """Make the S3 clients, without connecting.  Raises ModuleNotFoundError if boto3 is not installed, ValueError if
        its own settings are wrong.
        """
        self.place = place
        self._server = server
        self._client: Client = client(server)
        self._quick: Client = client(replace(server, attempts=1), read_s=_QUICK_S)

    def problem(self) -> str:
        """A sentence for operators about why the datastore cannot be used now; "" if it can.

        Waits at most ANSWER_S for the S3 server, even if a name server does not answer.
        """
        answer: Future[str] = Future()
        threading.Thread(target=_answer, args=(answer, self._problem), daemon=True).start()
        try:
            return answer.result(ANSWER_S)
        except TimeoutError:
            return self._silence()

    def _problem(self) -> str:
        try:
            self._quick.get_object(**self._of(MARK))["Body"].read()
        except Exception as error:
            if not is_of_the_library(error):
                raise
            return self._sentence(error)
        return ""

    def _sentence(self, error: Exception) -> str:
        code = code_of(error)
        if code == "NoSuchKey":
            return NOT_MADE.format(bucket=self.place.bucket, prefix=self.place.prefix)
        if code:
            return sentence(code, self.place.bucket)
        where = self._server.endpoint or "AWS"
        if "Credentials" in type(error).__name__:
            return f"This program has no credentials for the S3 server at {where}."
        if type(error).__name__ == "SSLError":
            return (
                f"The certificate of the S3 server at {where} is not trusted; see DSS_S3_CA_FILE."
            )
        return self._silence()

    def _silence(self) -> str:
        return f"The S3 server at {self._server.endpoint or 'AWS'} does not answer."

    def make(self) -> None:
        """Make the datastore of a new site: write MARK below the prefix.  The bucket must exist."""
        self.put_bytes(MARK, b"The files of a Distributed Segmentation Service.\n")

    def put(self, key: str, source: BinaryIO, has_ended: Callable[[], bool] = never) -> int:
        """Store ``source``, from its position to its end, as the file ``key``; returns the size in bytes.

        The file becomes visible when it is complete, and replaces an existing one.
        Raises WorkEnded before a part is sent if ``has_ended`` returns True; nothing is stored then.
        """
        first = source.read(PART_BYTES)
        if len(first) < PART_BYTES:
            _raise_if_ended(has_ended)
            return self.put_bytes(key, first)
        return self._put_parts(key, first, source, has_ended)

    def put_bytes(self, key: str, data: bytes) -> int:
        with file_errors(key):
            self._client.put_object(**self._of(key), Body=data, ContentMD5=_md5(data))
        return len(data)

    def _put_parts(
        self, key: str, first: bytes, source: BinaryIO, has_ended: Callable[[], bool]
    ) -> int:
        with file_errors(key):
            about = self._of(key)
            about["UploadId"] = self._client.create_multipart_upload(**about)["UploadId"]
            try:
                tags: list[dict[str, object]] = []
                size_bytes = 0
                for part in _parts(first, source):
                    _raise_if_ended(has_ended)
                    number = len(tags) + 1
                    sent = self._client.upload_part(
                        **about, PartNumber=number, Body=part, ContentMD5=_md5(part)
                    )
                    tags.append({"ETag": sent["ETag"], "PartNumber": number})
                    size_bytes += len(part)
                self._client.complete_multipart_upload(**about, MultipartUpload={"Parts": tags})
            except BaseException:
                with suppress(
                    Exception
                ):  # if the server is away, ``remove_abandoned`` removes the parts
                    self._client.abort_multipart_upload(**about)
                raise
        return size_bytes

    def copy(self, source: str, target: str) -> Stored:
        """Let the S3 server copy the file ``source`` to ``target``, replacing it.  Returns the facts about ``source``.

        Raises FileNotFoundError, and FileReplaced if ``source`` changes meanwhile.
        """
        found = self.find(source)
        if found is None:
            raise FileNotFoundError(source)
        origin = {"Bucket": self.place.bucket, "Key": self._key(source)}
        condition = {"CopySourceIfMatch": found.version}
        with file_errors(source):
            if found.size_bytes <= MOST_COPIED_BYTES:
                self._client.copy_object(**self._of(target), CopySource=origin, **condition)
            else:
                parts = copied_parts(COPIED_PART_BYTES)
                self._client.copy(origin, **self._of(target), ExtraArgs=condition, Config=parts)
        return found

    def find(self, key: str) -> Stored | None:
        """The facts about a file; None if there is none.

        Raises OSError (ENODEV) if the datastore itself is missing.  The server answers "not found" in both cases, so
        MARK is read as well.
        """
        try:
            with file_errors(key):
                found = self._client.head_object(**self._of(key))
        except FileNotFoundError:
            if self.problem():
                raise away() from None
            return None
        return Stored(
            key=key,
            size_bytes=found["ContentLength"],
            version=found["ETag"],
            changed_at=found["LastModified"],
        )

    def open(self, key: str) -> BufferedReader:
        """A seekable reader of the file.  Raises FileNotFoundError.

        Reading raises FileReplaced if another file has replaced this one, so that a reader never gets bytes of both,
        and FileNotFoundError if it was removed.
        """
        found = self.find(key)
        if found is None:
            raise FileNotFoundError(key)
        return self.open_found(found)

    def open_found(self, found: Stored) -> BufferedReader:
        """A seekable reader of the file and version ``found``.  Makes no request before the first read.

        Reading raises FileNotFoundError if the file was removed, FileReplaced if another file has replaced it.
        """
        return opened(self._client, self._of(found.key), found)

    def list(self, below: str) -> Iterator[Stored]:
        """The files whose keys begin with ``below``, in the order of their keys."""
        about = {"Bucket": self.place.bucket, "Prefix": self._key(below)}
        with file_errors(below):
            for page in self._client.get_paginator("list_objects_v2").paginate(**about):
                for found in page.get("Contents", ()):
                    yield Stored(
                        key=found["Key"].removeprefix(self.place.prefix),
                        size_bytes=found["Size"],
                        version=found["ETag"],
                        changed_at=found["LastModified"],
                    )

    def has(self, below: str) -> bool:
        """True if there is a file whose key begins with ``below``."""
        with file_errors(below):
            found = self._client.list_objects_v2(
                Bucket=self.place.bucket, Prefix=self._key(below), MaxKeys=1
            )
        return bool(found.get("Contents"))

    def remove(self, key: str) -> None:
        """Remove the file, if it is there."""
        with file_errors(key):
            self._client.delete_object(**self._of(key))

    def remove_below(self, below: str) -> None:
        self.remove_all(found.key for found in self.list(below))

    def remove_all(self, keys: Iterable[str]) -> None:
        """Remove these files.  If the server refuses to remove some of them, the others are removed nevertheless, and
        the first error is raised.  If it does not answer, the error is raised at once.
        """
        refusal: OSError | None = None
        # One by one: servers differ in what they ask of a request that removes several.
        for key in keys:
            try:
                self.remove(key)
            except OSError as error:
                if error.__cause__ is None or not code_of(error.__cause__):  # no answer
                    raise
                refusal = refusal or error
        if refusal is not None:
            raise refusal

    def remove_abandoned(self, older_than: timedelta = ABANDONED) -> int:
        """Remove the parts of uploads that began more than ``older_than`` ago and were never completed.  Returns the
        number of uploads.
        """
        about = {"Bucket": self.place.bucket, "Prefix": self.place.prefix}
        removed = 0
        with file_errors(self.place.prefix):
            for page in self._client.get_paginator("list_multipart_uploads").paginate(**about):
                latest = _answered_at(page) - older_than
                for found in page.get("Uploads", ()):
                    if found["Initiated"] <= latest:
                        self._client.abort_multipart_upload(
                            Bucket=self.place.bucket, Key=found["Key"], UploadId=found["UploadId"]
                        )
                        removed += 1
        return removed

    def _key(self, key: str) -> str:
        return f"{self.place.prefix}{key}"

    def _of(self, key: str) -> dict[str, object]:
        return {"Bucket": self.place.bucket, "Key": self._key(key)}


def _answer(answer: Future[str], ask: Callable[[], str]) -> None:
    try:
        answer.set_result(ask())
    except BaseException as error:
        answer.set_exception(error)


class BucketFile:
    """A file of a bucket, which need not exist.  ``open`` works like that of ``Path``, so readers accept it instead."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._bucket, self._key = bucket, key

    def open(self, _mode: Literal["rb"], /) -> BufferedReader:
        """A seekable reader of the file.  Raises FileNotFoundError."""
        return self._bucket.open(self._key)

    def open_found(self, found: Stored) -> BufferedReader:
        """A seekable reader of the file as ``facts`` has returned it.  Makes no request before the first read.

        Reading raises FileReplaced if another file has replaced it since, and FileNotFoundError if it was removed.
        """
        return self._bucket.open_found(found)

    def facts(self) -> Stored:
        """The facts about the file.  Raises FileNotFoundError."""
        found = self._bucket.find(self._key)
        if found is None:
            raise FileNotFoundError(self._key)
        return found


def _parts(first: bytes, source: BinaryIO) -> Iterator[bytes]:
    """``first``, then the rest of ``source`` in parts.  Later parts are larger, because S3 allows only 10,000 parts."""
    part, number = first, 1
    while part:
        yield part
        number += 1
        part = source.read(PART_BYTES << (number * 4 // MOST_PARTS))


def _answered_at(page: Mapping[str, Any]) -> datetime:
    """The time, by the S3 server's clock, of its answer ``page``.

    The server dates uploads by that clock.  This machine's clock, which may differ, is used if the answer has no date.
    """
    headers = page["ResponseMetadata"]["HTTPHeaders"]
    return parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)


def _raise_if_ended(has_ended: Callable[[], bool]) -> None:
    if has_ended():
        raise WorkEnded


def _md5(data: bytes) -> str:
    """The MD5 of ``data`` in base64, for a header by which the server refuses data that arrive damaged."""
    return b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
