"""The datastore in a bucket of an S3 server.

The keys are the paths that the files have on a shared folder.  A file is received in the portal's scratch folder, where
facts about the sender's machine are removed from it.  Then it is sent under a temporary key.  It becomes visible by a
copy within the server, which is made while the ticket's row is locked.  The modules are divided as those of
``dss_portal.datastore``.
"""

from dss_portal.bucket_datastore.parts import BucketParts
from dss_portal.bucket_datastore.publishing import BucketPublishing
from dss_portal.bucket_datastore.receiving import BucketReceiving
from dss_portal.bucket_datastore.removing import BucketRemoving


class BucketDatastore(BucketReceiving, BucketParts, BucketPublishing, BucketRemoving):
    """The portal's access to the files of tickets in a bucket.  Methods raise OSError (ENODEV) while the S3 server is
    not available.
    """
