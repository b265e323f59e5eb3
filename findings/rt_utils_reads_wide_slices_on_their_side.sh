#!/bin/bash
# Slices that are not square are usual for spines, breasts and whole bodies.  rt-utils takes a mask of (rows, columns, slices),
# and one expects get_roi_mask_by_name to give one back.  It makes an array of (columns, rows, slices) and draws rows and columns
# into it unturned: of 12 rows and 20 columns only the columns 0 ... 11 fit, so a structure further to the side is empty or cut,
# with no exception.  The file itself is right.  Square slices hide the fault.
# Versions: rt-utils 1.2.7, pydicom 3.0.2.  Source: this run; rt_utils/image_helper.py, create_empty_slice_mask.
# For a site: compare the shape of each mask with Rows and Columns, or read structures of such series with plastimatch.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q rt-utils==1.2.7 pydicom==3.0.2 numpy==2.4.6
mkdir "$folder/in"
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from rt_utils import RTStructBuilder

folder = Path(sys.argv[1])
study, series, frame = generate_uid(), generate_uid(), generate_uid()
for number in range(4):
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
    ds.Rows, ds.Columns = 12, 20
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.RescaleSlope, ds.RescaleIntercept = "1", "0"
    ds.PixelData = bytes(2 * ds.Rows * ds.Columns)
    ds.save_as(folder / "in" / f"{number:02}.dcm", enforce_file_format=True)

print("rt-utils", version("rt-utils"), "pydicom", version("pydicom"), "for slices of 12 rows and 20 columns")
builder = RTStructBuilder.create_new(dicom_series_path=str(folder / "in"))
written = {"columns 3 to 6": np.zeros((12, 20, 4), bool), "columns 9 to 14": np.zeros((12, 20, 4), bool), "columns 14 to 17": np.zeros((12, 20, 4), bool)}
for (name, mask), (first, last) in zip(written.items(), [(3, 6), (9, 14), (14, 17)]):
    mask[2:6, first : last + 1] = True
    builder.add_roi(mask=mask, name=name)
builder.save(str(folder / "rt.dcm"))
again = RTStructBuilder.create_from(str(folder / "in"), str(folder / "rt.dcm"))
read = {name: again.get_roi_mask_by_name(name) for name in written}
for name, mask in read.items():
    print(f"{name}: {written[name].sum()} voxels of {written[name].shape} written, {mask.sum()} of {mask.shape} read")
counts = [int(mask.sum()) for mask in read.values()]
shapes = {mask.shape for mask in read.values()}
sys.exit(0 if shapes == {(20, 12, 4)} and counts[0] == 64 and 0 < counts[1] < 96 and counts[2] == 0 else "The behaviour has changed.")
PY
