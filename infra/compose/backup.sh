#!/bin/sh
# backup.sh: the database and the datastore's volume into /backup.  `make site-backup` runs it in PostgreSQL's image, while the site is at work.
#
# The database first: files are complete before it names them, and do not change.  A backup that fails leaves the previous one as it was.
set -eu
umask 077
export PGHOST=postgres PGUSER=dss PGDATABASE=dss
PGPASSWORD=$(cat /run/secrets/postgres_password)
export PGPASSWORD
cd /backup
[ -z "$(ls -A /datastore)" ] && echo "The datastore's volume is empty. If the files are in a bucket, back it up after this (docs/pages/operators/s3.md)."

pg_dump --format custom --file dss.dump.new
pg_restore --list dss.dump.new > /dev/null
status=0
tar --create --numeric-owner --file datastore.tar.new --directory /datastore . || status=$?
[ $status -le 1 ] || { echo "The datastore was not backed up."; exit 1; } # 1: a file changed or was deleted meanwhile
tar --list --file datastore.tar.new > /dev/null
sync
# The newer files go with the older database, too, but not the other way round.
mv datastore.tar.new datastore.tar
mv dss.dump.new dss.dump
ls -l /backup
