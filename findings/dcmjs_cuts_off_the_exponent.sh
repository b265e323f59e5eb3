#!/bin/bash
# A DICOM decimal string has 16 characters at most (PS3.5, 6.2), so a writer rounds: one expects 6.1232339957e-17 for the cosine of a right
# angle in floating point.  dcmjs cuts the text after 16 characters, and the exponent with it: the file says 6.12323399573676, and the
# orientation of a coronal series is no orientation any more.  Only a line of its log tells of a truncation.  A position of
# -3.3e-8 mm becomes -3.3 mm, too.  Cornerstone's adapters (5.14.0, used by OHIF) write their DICOM with dcmjs.
# Versions: dcmjs 0.52.2, Node 20, read with pydicom 3.0.2 as well.  Source: this run.
# For a site: round numbers to ten decimals before denaturalizeDataset, and check that the rows of an orientation have length 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pydicom==3.0.2
cd "$folder"
echo '{"type": "module"}' > package.json
npm install --silent --no-audit --no-fund --ignore-scripts dcmjs@0.52.2
cat > write.js <<'JS'
import dcmjs from 'dcmjs'
import { readFileSync, writeFileSync } from 'node:fs'

const { DicomDict, DicomMetaDictionary } = dcmjs.data
const [classUID, instanceUID] = ['1.2.840.10008.5.1.4.1.1.2', DicomMetaDictionary.uid()]
const [cosine, sine] = [Math.cos(Math.PI / 2), Math.sin(Math.PI / 2)]
const file = new DicomDict(DicomMetaDictionary.denaturalizeDataset({
  MediaStorageSOPClassUID: classUID,
  MediaStorageSOPInstanceUID: instanceUID,
  TransferSyntaxUID: '1.2.840.10008.1.2.1',
  ImplementationClassUID: DicomMetaDictionary.uid(),
}))
file.dict = DicomMetaDictionary.denaturalizeDataset({
  SOPClassUID: classUID,
  SOPInstanceUID: instanceUID,
  Modality: 'CT',
  ImageOrientationPatient: [1, 0, 0, 0, cosine, -sine],
  ImagePositionPatient: [-100.5, -1 / 3e7, 20],
})
writeFileSync('written.dcm', Buffer.from(file.write()))
const version = JSON.parse(readFileSync('node_modules/dcmjs/package.json')).version
console.log(`dcmjs ${version}, Node ${process.versions.node}; given: orientation 1, 0, 0, 0, ${cosine}, ${-sine}; y of the position ${-1 / 3e7}`)
JS
node write.js
"$folder/venv/bin/python" - <<'PY'
import sys

import pydicom

dataset = pydicom.dcmread("written.dcm")
orientation, position = dataset.ImageOrientationPatient, dataset.ImagePositionPatient
print(f"pydicom {pydicom.__version__} reads: orientation {list(map(str, orientation))}, position {list(map(str, position))}")
sys.exit(0 if 6 < orientation[4] < 7 and -4 < position[1] < -3 else "The behaviour has changed.")
PY
