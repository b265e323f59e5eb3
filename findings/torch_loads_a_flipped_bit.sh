#!/bin/bash
# A file of torch.save is a ZIP archive with a CRC-32 for each tensor.  One expects torch.load to look at it, as unzip does, and to refuse a file
# that was damaged on its way.  It does not: a tensor in which one bit has flipped is loaded without a word (also with
# weights_only=True), and a network computes with it.  Python's zipfile finds the damage at once.
# Versions: torch 2.13.0.  Source: this run.
# For a site: check a hash of the weights, or the archive itself (zipfile.ZipFile(path).testzip()), before they are used.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/weights.pt" <<'PY'
import sys
import zipfile
from pathlib import Path

import torch

path = Path(sys.argv[1])
torch.save({"weight": torch.ones(1000)}, path)
data = bytearray(path.read_bytes())
at = data.index(torch.ones(1000).numpy().tobytes())
data[at + 2003] ^= 0x40
path.write_bytes(data)
loaded = torch.load(path, weights_only=True)["weight"]
wrong = int((loaded != 1).sum())
print(f"torch {torch.__version__}")
print(f"values that are wrong after torch.load: {wrong}, for instance {loaded[loaded != 1].tolist()}")
print(f"zipfile says that this member is damaged: {zipfile.ZipFile(path).testzip()}")
damaged = zipfile.ZipFile(path).testzip()
sys.exit(0 if wrong == 1 and damaged else "The behaviour has changed.")
PY
