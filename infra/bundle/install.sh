#!/bin/sh
# sh install.sh FOLDER: the site of this bundle, in containers, without a network.
#
# FOLDER gets compose.yaml and what it mounts.  Over a site that is there already it is an upgrade, and the install.sh of an older bundle a
# rollback: settings (infra/.env, infra/compose/alertmanager.yml), secrets and data stay.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
engine=${ENGINE:-podman}
[ $# = 1 ] || { echo "The folder of the site is needed: sh install.sh /srv/dss"; exit 2; }
for program in "$engine" make python3; do
  command -v "$program" > /dev/null || { echo "There is no $program here, which the installation needs."; exit 1; }
done
(cd "$here" && sha256sum --quiet --check SHA256SUMS) || { echo "The bundle is damaged; copy it anew. Nothing was installed."; exit 1; }
version=$(cat "$here/VERSION")

"$engine" load --quiet --input "$here/images.tar"
mkdir -p "$1"
cp -R "$here/site/." "$1/"
cd "$1"
[ -e infra/compose/alertmanager.yml ] || cp infra/compose/alertmanager.example.yml infra/compose/alertmanager.yml
compose=${COMPOSE:-podman-compose}
if ! command -v "${compose%% *}" > /dev/null; then
  python3 -m venv --clear tools
  tools/bin/pip install --quiet --no-index --find-links "$here/wheels" podman-compose
  compose=$PWD/tools/bin/podman-compose
fi

# The names of the bundle's images replace those in .env, whose mode stays: it may hold a secret.
names=$(sed 's/=.*//' "$here/images.env" | paste -s -d '|' -)
touch infra/.env
cp -p infra/.env infra/.env.new
grep -E -v "^($names)=" infra/.env > infra/.env.new || [ $? = 1 ]
cat "$here/images.env" >> infra/.env.new
mv infra/.env.new infra/.env
set -a
. "$here/images.env"
set +a

make --no-print-directory site-secrets ENGINE="$engine"
files=infra/compose.yaml
# Without this file the programs of a site whose files are in a bucket would look for them in a volume.
! grep -q '^DSS_DATASTORE_URL=["'\'']\{0,1\}s3:' infra/.env || files="$files --file infra/compose.s3.yaml"
$compose --file $files up --detach
echo "DSS $version is installed in $1.  The first user and a ticket: cd $1 && make first-ticket COMPOSE='$compose' COMPOSE_FILE='$files'"
