"""The settings of the datastore: a folder that all programs mount, or a bucket of an S3 server."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from dss_broker.settings import NOT_SET, Bytes, is_web_address, no_certificates
from dss_datastore.access import SharedDatastore
from dss_datastore.folder import FolderDatastore
from dss_datastore.s3.bucket import Bucket, Place
from dss_datastore.s3.client import Server
from dss_datastore.s3.datastore import S3Datastore
from dss_datastore.s3.scratch import Scratch

_PART = r"[A-Za-z0-9_-][\w.-]*"
_ADDRESS = re.compile(
    rf"s3://([a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9])(?:/((?:{_PART}/)*(?:{_PART})?))?", re.ASCII
)
_ENDPOINT = re.compile(r"https?://[^\s/?#@]+/?")
_DEFAULT_SCRATCH_BYTES = 64 << 30


def _bucket_address(url: str) -> str:
    if url and not _ADDRESS.fullmatch(url):
        raise ValueError(f"{_shown(url)} is no address like s3://bucket or s3://bucket/prefix")
    return url


def _endpoint(url: str) -> str:
    if url and not (_ENDPOINT.fullmatch(url) and is_web_address(url)):
        raise ValueError(f"{_shown(url)} is no address like https://s3.example.org")
    return url


def _shown(url: str) -> str:
    """``url`` for an error message; if it may contain keys, as some tools write them, words that do not show it."""
    return "what was given, with keys or a query," if {"@", "?"} & set(url) else f"'{url}'"


def _trusted(path: Path | None) -> Path | None:
    if path is not None and (why := no_certificates(path)):
        raise ValueError(why)
    return path


class DatastoreSettings(BaseSettings):
    """The settings of the datastore, read from environment variables ``DSS_*``.

    Raises ValidationError unless exactly one of ``datastore`` and ``datastore_url`` is set, ``scratch`` is set with
    ``datastore_url``, and all values are valid.
    """

    model_config = SettingsConfigDict(env_prefix="DSS_", frozen=True, env_ignore_empty=True)

    datastore_url: Annotated[str, AfterValidator(_bucket_address)] = Field(
        "", description="instead of DSS_DATASTORE: s3://bucket/prefix, without a shared volume"
    )
    datastore: Path | None = Field(
        None, validate_default=True, description="folder that all programs of the site share"
    )
    s3_endpoint: Annotated[str, AfterValidator(_endpoint)] = Field(
        "", description="address of the S3 server; blank is AWS"
    )
    s3_region: str = Field(
        "", pattern=r"^([A-Za-z0-9-]{1,63})?$", description="region of the bucket"
    )
    s3_ca_file: Annotated[Path | None, AfterValidator(_trusted)] = Field(
        None, description="certificates (PEM) of the authority of an own S3 server"
    )
    scratch: Path | None = Field(
        None,
        validate_default=True,
        description="with DSS_DATASTORE_URL: folder for files on their way from and to the S3 server",
    )
    scratch_bytes: Bytes = Field(
        _DEFAULT_SCRATCH_BYTES, description="most bytes of fetched files in DSS_SCRATCH"
    )

    @field_validator("datastore")
    @classmethod
    def _one_of_two(cls, folder: Path | None, info: ValidationInfo) -> Path | None:
        url = info.data.get("datastore_url")
        if folder is None and url == "":
            raise ValueError(NOT_SET)
        if folder is not None and not folder.is_absolute():
            raise ValueError(
                f"'{str(folder)[:80]}' is no path that begins with /, which all programs of the site read alike; "
                "DSS_DATASTORE_URL names a bucket."
            )
        if folder is not None and url:
            raise ValueError("DSS_DATASTORE_URL is set, too; only one of them may be.")
        return folder

    @field_validator("scratch")
    @classmethod
    def _needed_for_s3(cls, folder: Path | None, info: ValidationInfo) -> Path | None:
        if folder is None and info.data.get("datastore_url"):
            raise ValueError("DSS_DATASTORE_URL needs this folder, and it is not set.")
        return folder

    @property
    def is_s3(self) -> bool:
        return bool(self.datastore_url)

    def bucket(self) -> Bucket:
        """The bucket that ``datastore_url`` names.  Makes no connection.

        Raises ValueError if no address is set or boto3's own settings are wrong, ModuleNotFoundError if boto3 is not
        installed, each with a sentence.
        """
        found = _ADDRESS.fullmatch(self.datastore_url)
        if found is None:
            raise ValueError("no DSS_DATASTORE_URL is set")
        prefix = (found[2] or "").strip("/")
        server = Server(endpoint=self.s3_endpoint, region=self.s3_region, ca_file=self.s3_ca_file)
        return Bucket(server, Place(bucket=found[1], prefix=f"{prefix}/" if prefix else ""))

    def own_scratch(self) -> Scratch:
        """Make this process's scratch folder in DSS_SCRATCH, and remove those of processes that have ended.

        Raises OSError if DSS_SCRATCH cannot be written, ValueError if it is not set.
        """
        if self.scratch is None:
            raise ValueError("no DSS_SCRATCH is set")
        return Scratch(self.scratch, self.scratch_bytes)

    def shared_datastore(self) -> SharedDatastore:
        """The datastore as a dispatcher or worker uses it: the shared folder, or the bucket with a scratch folder.

        Raises ValueError with a sentence if the scratch folder cannot be written, boto3 is not installed, or its own
        settings are wrong.
        """
        if self.datastore is not None:
            return FolderDatastore(self.datastore)
        return S3Datastore(*self.s3_parts())

    def s3_parts(self) -> tuple[Bucket, Scratch]:
        """The bucket and the scratch folder of a datastore in S3.  Raises ValueError as ``shared_datastore`` does, and
        if no DSS_DATASTORE_URL is set.
        """
        try:
            return self.bucket(), self.own_scratch()
        except ModuleNotFoundError as error:
            raise ValueError(str(error)) from error
        except OSError as error:
            raise ValueError(
                f"DSS_SCRATCH: {self.scratch} cannot be written ({error.strerror or error})."
            ) from error
