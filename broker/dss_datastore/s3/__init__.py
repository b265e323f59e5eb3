"""The datastore in a bucket of an S3 server.  Only ``client`` imports boto3, the extra ``s3``."""
