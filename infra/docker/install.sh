#!/bin/sh
# install.sh PROGRAM: into /opt/dss, with the versions of requirements.lock.  `torch` prepares for `inference`.
set -eu
program=$1
pip="/build/bin/pip --python /opt/dss/bin/python3"
cd /src

if [ "$program" = torch ]; then
  pin=$(grep '^torch==' requirements.lock)
  case "$TORCH_CPU" in
    "") $pip install "$pin" ;;
    *://*) $pip install --no-deps --index-url "$TORCH_CPU" "$pin" ;;
    *) $pip install --no-deps --no-index --find-links "$TORCH_CPU" "$pin" ;;
  esac
else
  [ "$program" = client ] && own=images,provider || own=s3
  EXTRAS="$own${EXTRAS:+,$EXTRAS}"
  /build/bin/python infra/dss_stack/images/one_program.py "$program" /src /one
  $pip install "/one${EXTRAS:+[$EXTRAS]}"
fi
# botocore describes some 400 services in 28 MB; S3 and sign-in to it need these.
for folder in /opt/dss/lib/python3*/site-packages/botocore/data/*/; do
  case "$(basename "$folder")" in
    s3 | sts | sso | sso-oidc | signin) ;;
    *) rm -rf "$folder" ;;
  esac
done
/opt/dss/bin/python3 infra/dss_stack/images/contents.py "$program" "${DEVICE:-cpu}"
