#!/bin/bash
# OpenShift and other hardened clusters run containers under a user number without an entry in /etc/passwd.  One expects `import monai` to
# work there, as it did up to 1.6.0.  MONAI 1.6.1 asks for the name of the user while it is imported and ends with
# "KeyError: getpwuid(): uid not found", before a program can catch or configure anything.
# Versions: monai 1.6.0 and 1.6.1 with torch 2.13.0.  Source: this run (as root, to become such a user).
# For a site: set USER or LOGNAME to any text in the container, or give the user number an entry in /etc/passwd.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
python3 -m venv --copies "$folder/venv"

import_as_nobody() { # its last line
  (cd / && setpriv --reuid 1000660000 --regid 0 --clear-groups env -i HOME="$folder" "$@" \
    "$folder/venv/bin/python" -c 'import monai; print("monai", monai.__version__, "is imported")' 2>&1 || true) | tail -n 1
}

for version in 1.6.0 1.6.1; do
  "$folder/venv/bin/pip" install -q monai==$version torch==2.13.0
  said[${version##*.}]=$(import_as_nobody)
  echo "monai $version: ${said[${version##*.}]}"
done
named=$(import_as_nobody USER=anything)
echo "monai 1.6.1 with USER=anything: $named"
[[ ${said[0]} == *"is imported" && ${said[1]} == *"getpwuid(): uid not found"* && $named == *"is imported" ]] \
  || { echo "The behaviour has changed."; exit 1; }
