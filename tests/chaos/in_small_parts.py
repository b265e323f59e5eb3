"""``python -m chaos.in_small_parts MODULE WORD...``: a program that sends even small files to an S3 server in parts.

It looks at every ticket's leftovers in each round, and leaves parts that were never completed to the test: moto says of
each that it was begun in 2010.
"""

import runpy
import sys
from datetime import timedelta

from dss_datastore.s3 import bucket
from dss_portal.bucket_datastore import BucketDatastore

PART_BYTES = 2048
NEVER = timedelta(days=20_000)


def shorten() -> None:
    bucket.PART_BYTES = PART_BYTES
    bucket.Bucket.remove_abandoned.__defaults__ = (NEVER,)
    defaults = BucketDatastore.__init__.__kwdefaults__
    assert defaults is not None
    defaults["checked_s"] = 0.0


if __name__ == "__main__":
    shorten()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
