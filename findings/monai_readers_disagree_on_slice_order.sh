#!/bin/bash
# InstanceNumber numbers the slices of a DICOM series in any order a scanner likes; their place is ImagePositionPatient (PS3.3, C.7.6.2.1.1).
# One expects MONAI's readers to agree.  ITKReader sorts by position; PydicomReader sorts by InstanceNumber and takes the distance of
# its first two slices for the spacing, so a series that was numbered from the middle outwards comes out shuffled, with another affine.
# No exception is raised.  Versions: monai 1.6.1, torch 2.13.0, itk 5.4.7, pydicom 3.0.2.  Source: this run.
# For a site: use ITKReader for folders of plain slices, or sort the files by position first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q monai==1.6.1 torch==2.13.0 itk==5.4.7 pydicom==3.0.2 numpy==2.4.6
mkdir "$folder/in"
"$folder/venv/bin/python" - "$folder/in" <<'PY'
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from monai.data import ITKReader, PydicomReader
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

series = generate_uid()
order = [5, 4, 6, 3, 7, 2, 8, 1, 9, 0]  # the place of the slice with InstanceNumber 1, 2, ...
for number, place in enumerate(order, start=1):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    ds.SeriesInstanceUID, ds.Modality, ds.InstanceNumber = series, "CT", number
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 3.0 * place], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [1, 1], 3
    ds.Rows = ds.Columns = 8
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.RescaleSlope, ds.RescaleIntercept = "1", "0"
    ds.PixelData = np.full((8, 8), place, np.int16).tobytes()
    ds.save_as(Path(sys.argv[1]) / f"{number}.dcm", enforce_file_format=True)

found = {}
for reader in (ITKReader(), PydicomReader()):
    array, meta = reader.get_data(reader.read(sys.argv[1]))
    found[type(reader).__name__] = [int(value) for value in np.asarray(array)[4, 4]]
print("monai", version("monai"), "pydicom", version("pydicom"), "itk", version("itk"))
for name, slices in found.items():
    print(f"{name}: slices from place {slices}")
sorted_by_place = found["ITKReader"] in (list(range(10)), list(range(9, -1, -1)))
shuffled = found["PydicomReader"] not in (list(range(10)), list(range(9, -1, -1)))
sys.exit(0 if sorted_by_place and shuffled else "The behaviour has changed.")
PY
