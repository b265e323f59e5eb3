#!/bin/bash
# One expects a series reader to give every slice in its own values, since DICOM lets RescaleSlope and RescaleIntercept differ
# from slice to slice (PS3.3, C.11.1; usual for PET).  SimpleITK's ImageSeriesReader takes the pixel type of the first slice
# for all: a first slice with slope 1 makes the volume an integer one, and the fractions of every later slice are cut off.
# No exception, no warning.  Versions: SimpleITK 2.5.7 (ITK 5.4), pydicom 3.0.2.  Source: this run.
# For a site: read such series slice by slice, or convert each slice to floating point before they are stacked.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q simpleitk==2.5.7 pydicom==3.0.2 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

folder, series = Path(sys.argv[1]), generate_uid()


def write(number: int, slope: str, intercept: str) -> str:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    ds.SeriesInstanceUID, ds.Modality, ds.InstanceNumber = series, "CT", number
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [1, 1], 1
    ds.Rows = ds.Columns = 4
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.RescaleSlope, ds.RescaleIntercept = slope, intercept
    ds.PixelData = np.full((4, 4), 1, np.int16).tobytes()
    path = folder / f"{number}.dcm"
    ds.save_as(path, enforce_file_format=True)
    return str(path)


files = [write(0, "1", "0"), write(1, "0.5", "0.25")]
reader = sitk.ImageSeriesReader()
reader.SetFileNames(files)
image = reader.Execute()
alone = float(sitk.GetArrayFromImage(sitk.ReadImage(files[1])).max())
stacked = float(sitk.GetArrayFromImage(image)[1].max())
print(f"SimpleITK {sitk.Version.VersionString()}, pydicom {pydicom.__version__}")
print(f"second slice alone: {alone}; in the series: {stacked}, as {image.GetPixelIDTypeAsString()}")
sys.exit(0 if (alone, stacked) == (0.75, 0.0) else "The behaviour has changed.")
PY
