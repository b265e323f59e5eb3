"""The datastore in which all programs of a site share the tickets' files: paths of files, access to them, writing them.

It is a folder that all programs mount, or a bucket of an S3 server (``s3``).
"""
