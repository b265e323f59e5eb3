#!/bin/sh
# make.sh VERSION: dist/dss-VERSION.tar, with all that a site without a network needs.  `make bundle` runs it, after the images.
#
#   images.tar    our images and those of the servers       wheels/   the programs as wheels, and podman-compose
#   chart/        the Helm chart, packed                     sbom/     a bill of materials of each image of ours
#   site/         compose.yaml with what it mounts           install.sh, SHA256SUMS
#   images.env    the names of these images, for compose.yaml
#
# EXTRA_IMAGES names further ones, such as grafana/grafana:12.1.1 for the profile dashboards.
set -eu
version=$1
engine=${ENGINE:-podman}
python=${PYTHON:-python3}
here=dist/bundle
out=$here/dss-$version
rm -rf "$here"
mkdir -p "$out/wheels" "$out/chart" "$out/site"

images=
for image in "${RABBITMQ_IMAGE:-rabbitmq:4}" "${POSTGRES_IMAGE:-postgres:17}" "${PROMETHEUS_IMAGE:-prom/prometheus:v3.5.0}" "${ALERTMANAGER_IMAGE:-prom/alertmanager:v0.28.1}" ${EXTRA_IMAGES:-}; do
  image=${DSS_REGISTRY:-}$image
  $engine image inspect "$image" > /dev/null 2>&1 || $engine pull "$image"
  images="$images $image"
done
for program in portal dispatch inference client; do
  images="$images ${DSS_REGISTRY:-}dss-$program:$version"
done
echo "DSS_VERSION=$version" > "$out/images.env"
for name in DSS_REGISTRY RABBITMQ_IMAGE POSTGRES_IMAGE PROMETHEUS_IMAGE ALERTMANAGER_IMAGE; do
  eval "value=\${$name:-}"
  [ -z "$value" ] || echo "$name=$value" >> "$out/images.env"
done
case "$engine" in
  *podman*) $engine save --quiet --multi-image-archive --output "$out/images.tar" $images ;;
  *) $engine save --output "$out/images.tar" $images ;;
esac

"$python" -m venv "$here/venv"
pin=$(grep '^torch==' requirements.lock)
case "${TORCH_CPU:-}" in
  "") ;;
  *://*) "$here/venv/bin/pip" --quiet download --no-deps --index-url "$TORCH_CPU" --dest "$out/wheels" "$pin" ;;
  *) "$here/venv/bin/pip" --quiet download --no-deps --no-index --find-links "$TORCH_CPU" --dest "$out/wheels" "$pin" ;;
esac
"$here/venv/bin/pip" --quiet wheel --constraint requirements.lock --find-links "$out/wheels" --wheel-dir "$out/wheels" \
  ".[portal,dispatch,inference,client,s3]" "podman-compose==1.6.0"
rm -rf "$here/venv"

tar --dereference --create --gzip --file "$out/chart/dss-$version.tgz" --directory infra/helm dss
cp -R dist/sbom "$out/sbom"
# What git knows, so that no file of the builder's own goes along; without git, all but the places of secrets.
parts="Makefile pyproject.toml requirements.lock LICENSE SECURITY.md CHANGELOG.md README.md infra observability"
if git ls-files -z -- $parts > "$here/listed" 2> /dev/null && [ -s "$here/listed" ]; then
  tar --create --file "$here/site.tar" --null --files-from "$here/listed"
else
  tar --create --file "$here/site.tar" --exclude=infra/secrets --exclude=infra/.env --exclude=infra/bundles --exclude=infra/backup --exclude=__pycache__ $parts
fi
tar --extract --file "$here/site.tar" --directory "$out/site"
mv "$out/site/infra/compose/alertmanager.yml" "$out/site/infra/compose/alertmanager.example.yml"
cp infra/bundle/install.sh "$out/"
echo "$version" > "$out/VERSION"
(cd "$out" && find . -type f ! -name SHA256SUMS -print0 | sort -z | xargs -0 sha256sum > SHA256SUMS)

tar --create --file "dist/dss-$version.tar" --directory "$here" "dss-$version"
rm -rf "$here"
(cd dist && sha256sum "dss-$version.tar" > "dss-$version.tar.sha256")
ls -l "dist/dss-$version.tar"
