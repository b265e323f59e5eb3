"""Chooses the portal's datastore by its settings: a folder on a shared volume, or a bucket of an S3 server."""

from dss_portal.bucket_datastore import BucketDatastore
from dss_portal.datastore import Datastore
from dss_portal.settings import Settings


def datastore_of(settings: Settings) -> Datastore:
    """The datastore that the settings choose.  Raises ValueError with a sentence if its scratch folder cannot be
    written, or boto3 is not installed.
    """
    if settings.datastore is not None:
        return Datastore(settings.datastore, settings.max_upload_bytes)
    return BucketDatastore(*settings.s3_parts(), settings.max_upload_bytes)
