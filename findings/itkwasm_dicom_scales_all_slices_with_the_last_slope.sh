#!/bin/bash
# In PET each slice has a rescale slope of its own, since each uses its 16 bits to the full (PS3.3, C.8.9.1 makes it an attribute of the
# image, not of the series).  One expects ITK compiled to WebAssembly to read such a series as ITK does.  itkwasm-dicom, and
# @itk-wasm/dicom of the same version, multiply every slice by the slope of the last one: activities are wrong by the ratio of
# the slopes, here by a factor of up to 2.6, with no warning.  CT series, whose slopes agree, are right.
# Versions: itkwasm-dicom 7.6.4 (itkwasm 1.0b201), SimpleITK 2.5.7, pydicom 3.0.2.  Source: this run.
# For a site: compare the slopes of a series before it is read so, and take another reader if they differ.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q itkwasm-dicom==7.6.4 itkwasm==1.0b201 simpleitk==2.5.7 pydicom==3.0.2 numpy==2.4.6
mkdir "$folder/in"
"$folder/venv/bin/python" - "$folder/in" <<'PY'
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from itkwasm_dicom import read_image_dicom_file_series
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage, generate_uid

series, stored, slopes = generate_uid(), 1100, (0.5125, 0.7375, 1.3125)
files = []
for number, slope in enumerate(slopes, start=1):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = PositronEmissionTomographyImageStorage
    meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = generate_uid(), ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.SeriesInstanceUID, ds.Modality, ds.InstanceNumber = series, "PT", number
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 3.0 * number], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [4, 4], 3
    ds.Rows = ds.Columns = 8
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.RescaleSlope, ds.RescaleIntercept = str(slope), "0"
    ds.PixelData = np.full((8, 8), stored, np.int16).tobytes()
    files.append(Path(sys.argv[1]) / f"{number}.dcm")
    ds.save_as(files[-1], enforce_file_format=True)

by_itk = sitk.GetArrayFromImage(sitk.ReadImage([str(file) for file in files]))
by_wasm = np.asarray(read_image_dicom_file_series(input_images=files)[0].data)
print(*(f"{name} {version(name)}" for name in ("itkwasm-dicom", "itkwasm", "simpleitk", "pydicom")))
print(f"the stored value {stored} times the slopes {slopes}: {[stored * slope for slope in slopes]}")
for name, volume in (("SimpleITK", by_itk), ("itkwasm-dicom", by_wasm)):
    print(f"{name}: {[round(float(value), 2) for value in volume[:, 4, 4]]}")
right = np.allclose(by_itk[:, 4, 4], stored * np.array(slopes))
last = np.allclose(by_wasm[:, 4, 4], stored * slopes[-1])
sys.exit(0 if right and last else "The behaviour has changed.")
PY
