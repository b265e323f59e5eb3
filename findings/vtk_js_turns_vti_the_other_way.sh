#!/bin/bash
# VTK writes the direction matrix of an image into a .vti file row by row, and one expects vtk.js to place the same file as VTK does.
# vtk.js keeps its matrices column by column and takes the nine numbers of the file over as they stand: the matrix is transposed,
# an image that is turned by 20 degrees to the left appears turned by 20 degrees to the right.  Axial images do not show it.
# No exception, no warning.  Versions: vtk 9.7.2, @kitware/vtk.js 37.4.3, Node 20.  Source: this run.
# For a site: transpose with setDirection after reading a .vti in a browser, or send straight images only.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q vtk==9.7.2
cd "$folder"
echo '{"type": "module"}' > package.json
npm install --silent --no-audit --no-fund --ignore-scripts @kitware/vtk.js@37.4.3
"$folder/venv/bin/python" - <<'PY'
import math

import vtk

image = vtk.vtkImageData()
image.SetDimensions(5, 6, 7)
image.SetOrigin(10, 20, 30)
cosine, sine = math.cos(math.radians(20)), math.sin(math.radians(20))
image.SetDirectionMatrix(cosine, -sine, 0, sine, cosine, 0, 0, 0, 1)
image.AllocateScalars(vtk.VTK_SHORT, 1)
writer = vtk.vtkXMLImageDataWriter()
writer.SetFileName("turned.vti")
writer.SetInputData(image)
writer.SetDataModeToAscii()
writer.Write()
reader = vtk.vtkXMLImageDataReader()
reader.SetFileName("turned.vti")
reader.Update()
place = [0.0, 0.0, 0.0]
reader.GetOutput().TransformIndexToPhysicalPoint((4, 0, 0), place)
print(f"vtk {vtk.vtkVersion.GetVTKVersion()}: voxel (4, 0, 0) at {[round(x, 3) for x in place]}")
PY
cat > read.js <<'JS'
import { readFileSync } from 'node:fs'
import vtkXMLImageDataReader from '@kitware/vtk.js/IO/XML/XMLImageDataReader.js'

const reader = vtkXMLImageDataReader.newInstance()
const file = readFileSync('turned.vti')
reader.parseAsArrayBuffer(file.buffer.slice(file.byteOffset, file.byteOffset + file.length))
const place = [...reader.getOutputData().indexToWorld([4, 0, 0])]
const version = JSON.parse(readFileSync('node_modules/@kitware/vtk.js/package.json')).version
console.log(`vtk.js ${version}: voxel (4, 0, 0) at ${place.map((x) => x.toFixed(3)).join(', ')}`)
const sine = Math.sin((20 * Math.PI) / 180)
const mirrored = Math.abs(place[1] - (20 - 4 * sine)) < 1e-6
process.exitCode = mirrored ? 0 : 1
if (process.exitCode) console.log('The behaviour has changed.')
JS
node read.js
