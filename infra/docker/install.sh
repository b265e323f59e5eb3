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
  [ "$program" != client ] || EXTRAS="images,provider${EXTRAS:+,$EXTRAS}"
  /build/bin/python infra/dss_stack/images/one_program.py "$program" /src /one
  $pip install "/one${EXTRAS:+[$EXTRAS]}"
fi
/opt/dss/bin/python3 infra/dss_stack/images/contents.py "$program" "${DEVICE:-cpu}"
