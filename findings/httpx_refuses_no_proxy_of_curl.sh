#!/bin/bash
# NO_PROXY is shared by many programs; curl (7.86 and later) takes networks such as fd00::/8 and bracketed addresses such as [::1] in it.
# One expects a client library to skip an entry that it does not know.  httpx raises InvalidURL as soon as a Client is made, for any
# address, even one on loopback, so every program that uses it ends before its first request.
# Versions: httpx 0.28.1.  Source: this run; the manual of curl, "ENVIRONMENT".
# For a site: make the client with trust_env=False and choose the proxy oneself, or keep such entries out of NO_PROXY.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q httpx==0.28.1
"$folder/venv/bin/python" - <<'PY'
import os
import sys

import httpx

found = {}
for entry in ("localhost", "fd00::/8", "[::1]"):
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = entry
    try:
        httpx.Client().close()
        found[entry] = "made"
    except Exception as error:
        found[entry] = f"{type(error).__name__}: {error}"
print(f"httpx {httpx.__version__}")
for entry, what in found.items():
    print(f"NO_PROXY={entry}: {what}")
worked = found["localhost"] == "made"
raised = all(found[entry].startswith("InvalidURL") for entry in ("fd00::/8", "[::1]"))
sys.exit(0 if worked and raised else "The behaviour has changed.")
PY
