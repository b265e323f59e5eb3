#!/bin/sh
# restore.sh: from /backup into a site without data.  `make site-restore` runs it in PostgreSQL's image, before the programs are started.
set -eu
export PGHOST=postgres PGUSER=dss PGDATABASE=dss
PGPASSWORD=$(cat /run/secrets/postgres_password)
export PGPASSWORD
refuse() {
  echo "$1 Nothing was restored."
  exit 1
}

for file in dss.dump datastore.tar; do
  [ -s "/backup/$file" ] || refuse "There is no $file in the folder BACKUP."
done
tries=0
until tables=$(psql --no-psqlrc --quiet --tuples-only --no-align --command "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'" 2> /tmp/said); do
  tries=$((tries + 1))
  [ $tries -lt 300 ] || refuse "PostgreSQL does not answer: $(cat /tmp/said)"
  sleep 1
done
[ "$tables" = 0 ] || refuse "The database of this site is not empty; a restore needs a site without data."
[ -z "$(ls -A /datastore)" ] || refuse "The datastore of this site is not empty; a restore needs a site without data."

tar --extract --numeric-owner --same-permissions --file /backup/datastore.tar --directory /datastore
pg_restore --single-transaction --no-owner --dbname dss /backup/dss.dump
echo "The database and the datastore are restored; start the site now."
