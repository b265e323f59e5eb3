#!/bin/bash
# A gzip file may consist of several members, one after the other, and is read as if they were one (RFC 1952, 2.2).  bgzip and pgzip write
# .nii.gz so, and gunzip, Python, nibabel and SimpleITK read them.  nifti-reader-js's decompress() decodes the first member only, and
# into a buffer as long as the LAST member says: slices are missing, what is there may be cut again, and readImage hands the
# rest out without an exception.  decompressAsync() of the same package is right.
# Versions: nifti-reader-js 0.8.0 with fflate 0.8.3, Node 20; @cornerstonejs/nifti-volume-loader 5.0.13 uses its 0.6.9, which does the same.
# Source: this run.  For a site: take decompressAsync, or pack such files again with gzip, and compare the length with dim and bitpix.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"type": "module"}' > package.json
npm install --silent --no-audit --no-fund --ignore-scripts nifti-reader-js@0.8.0 fflate@0.8.3
cat > read.js <<'JS'
import zlib from 'node:zlib'
import { readFileSync } from 'node:fs'
import * as nifti from 'nifti-reader-js'

const [columns, rows, slices] = [64, 64, 16]
const file = Buffer.alloc(352 + columns * rows * slices * 2)
file.writeInt32LE(348, 0) // sizeof_hdr
const dim = [3, columns, rows, slices, 1, 1, 1, 1]
dim.forEach((n, i) => file.writeInt16LE(n, 40 + 2 * i))
file.writeInt16LE(4, 70) // datatype: int16
file.writeInt16LE(16, 72) // bitpix
dim.forEach((_, i) => file.writeFloatLE(1, 76 + 4 * i)) // pixdim
file.writeFloatLE(352, 108) // vox_offset
file.write('n+1\0', 344, 'latin1')
for (let at = 352; at < file.length; at += 2) file.writeInt16LE(7, at)
const half = 352 + columns * rows * 2 * 10 // ten slices, then six
const packed = Buffer.concat([zlib.gzipSync(file.subarray(0, half)), zlib.gzipSync(file.subarray(half))])
const input = packed.buffer.slice(packed.byteOffset, packed.byteOffset + packed.length)

const filled = (buffer) => {
  const image = nifti.readImage(nifti.readHeader(buffer), buffer)
  return new Int16Array(image.slice(0, image.byteLength & ~1)).filter((value) => value === 7).length / (columns * rows)
}
const version = (name) => JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version
const zlibAgrees = zlib.gunzipSync(packed).equals(file)
const direct = filled(nifti.decompress(input))
const later = filled(await nifti.decompressAsync(input))
console.log(`nifti-reader-js ${version('nifti-reader-js')}, fflate ${version('fflate')}, Node ${process.versions.node}`)
console.log(`gunzip of Node gives the file back: ${zlibAgrees}; slices by decompress(): ${direct.toFixed(1)} of 16; by decompressAsync(): ${later}`)
process.exitCode = zlibAgrees && later === 16 && direct > 0 && direct < 10 ? 0 : 1
if (process.exitCode) console.log('The behaviour has changed.')
JS
node read.js
