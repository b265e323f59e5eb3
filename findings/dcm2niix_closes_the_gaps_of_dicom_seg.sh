#!/bin/bash
# A DICOM segmentation stores the slices that hold a structure and leaves the empty ones out; each frame has its own position (PS3.3,
# C.8.20).  dcm2niix reads such a file as an image, and one expects it to fill the empty slices or to refuse.  It stacks the frames
# that are there: a lesion on slices 7 and 8 lands directly above one on slices 1 and 2, and with one bit for each segment (BINARY) the
# segments become time points of one and the same place.  Exit status 0; what it warns of has nothing to do with it.
# Versions: dcm2niix 1.0.20260724, highdicom 0.28.2, pydicom 3.0.2, nibabel 5.4.2.  Source: this run.
# For a site: read segmentations with highdicom, or with segimage2itkimage of dcmqi, never with a converter of images.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q dcm2niix==1.0.20260724 highdicom==0.28.2 pydicom==3.0.2 nibabel==5.4.2 numpy==2.4.6
PATH="$folder/venv/bin:$PATH" "$folder/venv/bin/python" -W ignore - "$folder" <<'PY'
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

folder, thickness = Path(sys.argv[1]), 3.0
study, series, frame_of_reference = generate_uid(), generate_uid(), generate_uid()


def ct_slice(number: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame_of_reference
    ds.PatientName, ds.PatientID, ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "Phantom^", "1", "CT", 1, number + 1
    for empty in ("PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"):
        setattr(ds, empty, "")
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, thickness * number], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness, ds.Rows, ds.Columns = [2, 2], thickness, 16, 20
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.PixelData = bytes(2 * 16 * 20)
    return ds


def segment(number: int) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=number, segment_label=f"lesion {number}", algorithm_type="MANUAL",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure, segmented_property_type=codes.SCT.Lesion,
    )


labels = np.zeros((10, 16, 20), np.uint8)
labels[1:3, 4:8, 4:8], labels[7:9, 4:8, 10:14] = 1, 2
slices = [ct_slice(number) for number in range(10)]
print(*(f"{name} {version(name)}" for name in ("dcm2niix", "highdicom", "pydicom", "nibabel")))
print(f"given: label 1 from {1 * thickness} to {2 * thickness} mm, label 2 from {7 * thickness} to {8 * thickness} mm")
found = {}
for kind in ("LABELMAP", "BINARY"):
    segmentation = hd.seg.Segmentation(
        source_images=slices, pixel_array=labels, segmentation_type=kind, segment_descriptions=[segment(1), segment(2)],
        series_instance_uid=generate_uid(), series_number=2, sop_instance_uid=generate_uid(), instance_number=1,
        manufacturer="m", manufacturer_model_name="m", software_versions="1", device_serial_number="1",
    )
    (folder / kind).mkdir()
    segmentation.save_as(folder / kind / "segmentation.dcm")
    status = subprocess.run(["dcm2niix", "-f", "out", folder / kind], capture_output=True).returncode
    image = nib.load(next((folder / kind).glob("out*.nii")))
    voxels = np.asarray(image.dataobj)
    heights = {int(n): image.affine[2, 2] * np.unique(np.argwhere(voxels == n)[:, 2]) + image.affine[2, 3] for n in np.unique(voxels) if n}
    found[kind] = (status, image.shape, {n: (float(z.min()), float(z.max())) for n, z in heights.items()})
    print(f"{kind}: exit status {status}, {segmentation.NumberOfFrames} frames, NIfTI of {image.shape}, millimetres by value {found[kind][2]}")
moved = {"LABELMAP": (0, (20, 16, 4), {1: (3.0, 6.0), 2: (9.0, 12.0)}), "BINARY": (0, (20, 16, 2, 2), {1: (3.0, 6.0)})}
sys.exit(0 if found == moved else "The behaviour has changed.")
PY
