#!/bin/bash
# A 12-bit CT in 16-bit words leaves four bits of each word unused; a reader must not rely on what they hold, neither zeros nor copies of
# the sign (PS3.5, 8.1.1).  One expects highdicom to drop them, as pydicom and SimpleITK do.  Image.get_frame takes BitsAllocated for
# BitsStored (0.28.2, highdicom/image.py, line 1044) and reads them as part of the value: -5 HU becomes 4091 HU, and an old overlay
# bit adds 4096.  pixel_array of the same object is right, so two calls of one library differ, without a word.
# Versions: highdicom 0.28.2, pydicom 3.0.2, SimpleITK 2.5.7.  Source: this run, and the line named above.
# For a site: where BitsStored is less than BitsAllocated, take pixel_array, or compare one frame of each scanner with it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q highdicom==0.28.2 pydicom==3.0.2 simpleitk==2.5.7 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from importlib.metadata import version

import highdicom
import numpy as np
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

folder = sys.argv[1]


def write(name: str, words: np.ndarray, signed: int) -> str:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.Modality, ds.Rows, ds.Columns = "CT", *words.shape
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [1, 1], 1
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, signed
    ds.RescaleSlope, ds.RescaleIntercept = "1", "0"
    ds.PixelData = words.astype("<u2").tobytes()
    ds.save_as(f"{folder}/{name}", enforce_file_format=True)
    return f"{folder}/{name}"


values = np.array([[-5, -1], [3, 2047]])
files = {
    "signed, unused bits zero": (write("signed.dcm", values & 0x0FFF, 1), [-5, -1, 3, 2047]),
    "unsigned, an overlay in bit 12": (write("overlay.dcm", abs(values) | np.array([[0x1000, 0], [0x1000, 0]]), 0), [5, 1, 3, 2047]),
}
print("highdicom", version("highdicom"), "pydicom", version("pydicom"), "SimpleITK", sitk.Version.VersionString())
same = True
for kind, (path, right) in files.items():
    image = highdicom.imread(path)
    frame = [int(value) for value in image.get_frame(1).ravel()]
    others = image.pixel_array.ravel().tolist(), sitk.GetArrayFromImage(sitk.ReadImage(path)).ravel().tolist()
    print(f"{kind}: highdicom get_frame {frame}; pixel_array {others[0]}; SimpleITK {others[1]}")
    same = same and others == (right, right) and frame != right and frame[3] == right[3]
sys.exit(0 if same else "The behaviour has changed.")
PY
