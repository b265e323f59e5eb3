#!/bin/bash
# A mask that is stored as RTSTRUCT is read again by another program; one expects about the same volume.  rt-utils draws its outlines
# through the CENTRES of the outermost voxels, half a voxel inside the structure on each side, and plastimatch fills what lies
# within: 8x8 voxels come back as 7x7, 3x3 as 2x2, and 2x2 lesions or vessels one voxel wide vanish.  rt-utils fills its own
# outlines with their rims, so a test of rt-utils against itself sees nothing; some outlines have one point or two.
# Versions: rt-utils 1.2.7, plastimatch 1.10.0 (PyPI), pydicom 3.0.2.  Source: this run.
# For a site: keep the mask or a DICOM SEG for measurements, and compare volumes after each way through RTSTRUCT.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q rt-utils==1.2.7 plastimatch==1.10.0 pydicom==3.0.2 simpleitk==2.5.7 numpy==2.4.6
mkdir "$folder/in"
"$folder/venv/bin/python" - "$folder" <<'PY'
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from rt_utils import RTStructBuilder

folder = Path(sys.argv[1])
study, series, frame = generate_uid(), generate_uid(), generate_uid()
for number in range(8):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
    ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = "1", "Test", "", ""
    ds.StudyDate = ds.StudyTime = ds.StudyID = ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.Manufacturer, ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "Test", "CT", 1, number + 1
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 2 * number], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness, ds.PositionReferenceIndicator = [1, 1], 2, ""
    ds.Rows = ds.Columns = 24
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.RescaleSlope, ds.RescaleIntercept = "1", "0"
    ds.PixelData = bytes(2 * ds.Rows * ds.Columns)
    ds.save_as(folder / "in" / f"{number:02}.dcm", enforce_file_format=True)

builder = RTStructBuilder.create_new(dicom_series_path=str(folder / "in"))
masks = {"one_wide": np.zeros((24, 24, 8), bool)}
masks["one_wide"][5, 2:22, 2:5] = True
for side in (2, 3, 5, 8):
    mask = np.zeros((24, 24, 8), bool)
    mask[4 : 4 + side, 4 : 4 + side, 2:5] = True
    masks[f"side_{side}"] = mask
for name, mask in masks.items():
    builder.add_roi(mask=mask, name=name)
builder.save(str(folder / "rt.dcm"))
plastimatch = Path(sys.executable).parent / "plastimatch"
subprocess.run(
    [plastimatch, "convert", "--input", folder / "rt.dcm", "--referenced-ct", folder / "in", "--output-prefix", folder / "out", "--prefix-format", "nii.gz"],
    check=True,
    capture_output=True,
)
again = RTStructBuilder.create_from(str(folder / "in"), str(folder / "rt.dcm"))
print("rt-utils", version("rt-utils"), "plastimatch", version("plastimatch"), "pydicom", version("pydicom"))
left = {}
for name, mask in masks.items():
    read = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "out" / f"{name}.nii.gz")))
    left[name] = int((read > 0).sum()) // 3
    print(f"{name}: {mask.sum() // 3} voxels a slice written; rt-utils reads {again.get_roi_mask_by_name(name).sum() // 3}, plastimatch {left[name]}")
sys.exit(0 if left == {"one_wide": 0, "side_2": 0, "side_3": 4, "side_5": 16, "side_8": 49} else "The behaviour has changed.")
PY
