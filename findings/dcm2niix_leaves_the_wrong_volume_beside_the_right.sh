#!/bin/bash
# CT protocols with two slice distances in one series (3 mm, then 6 mm) are valid DICOM.  One expects a converter to refuse them, or to write
# one volume whose geometry is right.  dcm2niix writes two files and exits with 0: the plain name holds all slices at the FIRST
# distance, so the far end lies centimetres from where the tags say; the resampled one, which is right, gets the suffix _Eq_1.
# Scripts that take OUTPUT.nii read the wrong one.  Versions: dcm2niix 1.0.20260724 (PyPI), pydicom 3.0.2, nibabel 5.4.2.
# Source: this run.  For a site: look for *_Eq_* after each conversion, or compare the extent with ImagePositionPatient.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q dcm2niix==1.0.20260724 pydicom==3.0.2 nibabel==5.4.2 numpy==2.4.6
mkdir "$folder/in" "$folder/out"
"$folder/venv/bin/python" - "$folder/in" <<'PY'
import sys
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

series, study, frame = generate_uid(), generate_uid(), generate_uid()
for number, z in enumerate([3.0 * i for i in range(10)] + [27.0 + 6.0 * i for i in range(1, 11)]):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.FrameOfReferenceUID = series, study, frame
    ds.Modality, ds.Manufacturer, ds.SeriesNumber, ds.InstanceNumber = "CT", "SIEMENS", 1, number + 1
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, z], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [1, 1], 3
    ds.Rows = ds.Columns = 16
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.RescaleSlope, ds.RescaleIntercept = "1", "0"
    ds.PixelData = np.full((16, 16), number, np.int16).tobytes()
    ds.save_as(Path(sys.argv[1]) / f"{number}.dcm", enforce_file_format=True)
PY
status=0
"$folder/venv/bin/dcm2niix" -z n -f x -o "$folder/out" "$folder/in" > "$folder/said" 2>&1 || status=$?
"$folder/venv/bin/python" - "$folder/out" "$status" <<'PY'
import sys
from pathlib import Path

import nibabel as nib


def reach(path: Path) -> float:
    """Distance from the first slice to the last, in mm."""
    image = nib.load(path)
    return float((image.shape[2] - 1) * image.header.get_zooms()[2])


files = {path.name: reach(path) for path in sorted(Path(sys.argv[1]).glob("*.nii"))}
print(f"dcm2niix 1.0.20260724, exit status {sys.argv[2]}; by the tags the slices reach over 87 mm")
for name, reached in files.items():
    print(f"{name}: {reached:.0f} mm")
plain, others = files.get("x.nii", 0.0), [v for name, v in files.items() if "_Eq" in name]
same = sys.argv[2] == "0" and abs(plain - 57) < 1 and others and abs(others[0] - 87) < 3.1
sys.exit(0 if same else "The behaviour has changed.")
PY
