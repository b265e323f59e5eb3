#!/bin/bash
# dcmqi writes a label map as DICOM SEG and reads it back; one expects the same map.  By default itkimage2segimage numbers the segments
# 1, 2, 3 ... whatever their labels are, and leaves empty slices out; segimage2itkimage then writes segment numbers as labels, into a
# volume that spans only the slices with segments.  Labels 2, 5, 7 of 12 slices come back as 1, 2, 3 of 6 slices, exit status 0, so
# arrays that are compared by index, and tables of labels, are silently wrong.  --useLabelIDAsSegmentNumber alone refuses gaps.
# Versions: dcmqi 1.5.7 (PyPI), SimpleITK 2.5.7, pydicom 3.0.2.  Source: this run; its --help; dcmqi's issues 462 and 513 (on the grid).
# For a site: write with --segmentationType labelmap --useLabelIDAsSegmentNumber --skip 0, or resample and map the labels by meta.json.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q dcmqi==1.5.7 simpleitk==2.5.7 pydicom==3.0.2 numpy==2.4.6
mkdir "$folder/in"
"$folder/venv/bin/python" - "$folder" <<'PY'
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

folder = Path(sys.argv[1])
study, series, frame = generate_uid(), generate_uid(), generate_uid()
for number in range(12):
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
    ds.Rows = ds.Columns = 16
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.RescaleSlope, ds.RescaleIntercept = "1", "0"
    ds.PixelData = np.full((16, 16), number, np.int16).tobytes()
    ds.save_as(folder / "in" / f"{number:02}.dcm", enforce_file_format=True)

array = np.zeros((12, 16, 16), np.uint8)
array[3:5, 2:6, 2:6], array[7:9, 8:12, 8:12], array[7, 2:4, 2:4] = 2, 5, 7
labels = sitk.GetImageFromArray(array)
labels.SetSpacing((1, 1, 2))
sitk.WriteImage(labels, str(folder / "labels.nii.gz"))


def code(value: str, meaning: str) -> dict[str, str]:
    return {"CodeValue": value, "CodingSchemeDesignator": "SCT", "CodeMeaning": meaning}


segments = [
    {
        "labelID": label,
        "SegmentLabel": f"lesion {label}",
        "SegmentDescription": f"lesion {label}",
        "SegmentAlgorithmType": "MANUAL",
        "SegmentedPropertyCategoryCodeSequence": code("49755003", "Morphologically Abnormal Structure"),
        "SegmentedPropertyTypeCodeSequence": code("52988006", "Lesion"),
    }
    for label in (2, 5, 7)
]
(folder / "meta.json").write_text(json.dumps({"ContentCreatorName": "Reader", "SeriesNumber": "2", "InstanceNumber": "1", "segmentAttributes": [segments]}))


def there_and_back(*options: str) -> tuple[list[int], int]:
    """Labels and number of slices after labels.nii.gz went through DICOM SEG."""
    out = folder / f"out{len(options)}"
    out.mkdir()
    tools = Path(sys.executable).parent
    to_seg = ["--inputImageList", folder / "labels.nii.gz", "--inputDICOMDirectory", folder / "in", "--inputMetadata", folder / "meta.json"]
    subprocess.run([tools / "itkimage2segimage", *to_seg, "--outputDICOM", out / "seg.dcm", *options], check=True, capture_output=True)
    back = ["--inputDICOM", out / "seg.dcm", "--outputDirectory", out, "--outputType", "nii", "--mergeSegments"]
    subprocess.run([tools / "segimage2itkimage", *back], check=True, capture_output=True)
    read = sitk.GetArrayFromImage(sitk.ReadImage(str(next(out.glob("*.nii.gz")))))
    return np.unique(read[read > 0]).tolist(), len(read)


plain = there_and_back()
careful = there_and_back("--segmentationType", "labelmap", "--useLabelIDAsSegmentNumber", "--skip", "0")
print("dcmqi 1.5.7; written: labels [2, 5, 7] on 12 slices")
print(f"read back: labels {plain[0]} on {plain[1]} slices; as a labelmap with labels for numbers and empty slices: {careful[0]} on {careful[1]}")
sys.exit(0 if plain == ([1, 2, 3], 6) and careful == ([2, 5, 7], 12) else "The behaviour has changed.")
PY
