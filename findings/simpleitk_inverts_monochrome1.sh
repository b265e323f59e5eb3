#!/bin/bash
# MONOCHROME1 only says how an image is shown: the lowest value is white (PS3.3, C.7.6.3.1.2).  One expects a reader to hand out the
# stored values, as pydicom does.  SimpleITK (GDCM) turns the values themselves over: what is stored as -8 ... 7 is read as
# 7 ... -8, so a CT or X-ray with MONOCHROME1 has wrong Hounsfield units or intensities, without a warning.
# Versions: SimpleITK 2.5.7 (ITK 5.4), pydicom 3.0.2.  Source: this run.
# For a site: look at PhotometricInterpretation before values are measured, or read the pixels with pydicom.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q simpleitk==2.5.7 pydicom==3.0.2 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/x.dcm" <<'PY'
import sys

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

meta = FileMetaDataset()
meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
meta.MediaStorageSOPInstanceUID = generate_uid()
ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
ds.Modality, ds.Rows, ds.Columns = "CT", 4, 4
ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
ds.PixelSpacing, ds.SamplesPerPixel, ds.PhotometricInterpretation = [1, 1], 1, "MONOCHROME1"
ds.BitsAllocated = ds.BitsStored = 16
ds.HighBit, ds.PixelRepresentation = 15, 1
ds.PixelData = np.arange(-8, 8, dtype=np.int16).tobytes()
ds.save_as(sys.argv[1], enforce_file_format=True)
read = sitk.GetArrayFromImage(sitk.ReadImage(sys.argv[1])).ravel().tolist()
stored = pydicom.dcmread(sys.argv[1]).pixel_array.ravel().tolist()
print(f"SimpleITK {sitk.Version.VersionString()}, pydicom {pydicom.__version__}")
print(f"pydicom:   {stored}\nSimpleITK: {read}")
sys.exit(0 if read == stored[::-1] and stored[0] == -8 else "The behaviour has changed.")
PY
