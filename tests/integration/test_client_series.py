"""DICOM series that the command line lists and sends."""

import json
from pathlib import Path

import pytest

from support import dss_commands
from support.builders import image, write_image
from support.dicom_series import TILTED, plane, stack, write
from support.dss_commands import dss
from support.recorder import Recorder, refusal

recorder = dss_commands.recorder
place = dss_commands.place
scan = dss_commands.scan


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A CT of 10 slices, and a PET of 20 that is tilted."""
    pet = {"Modality": "PT", "SeriesInstanceUID": "1.2.3", "SeriesNumber": 4}
    tilted = [
        plane((0, 0, 3.0 * k), k, TILTED, tags=pet, name=f"pet{k:03d}.dcm") for k in range(1, 21)
    ]
    return write(tmp_path / "study", [*stack(10), *tilted])


def test_what_is_in_a_folder_is_listed_without_a_server(study: Path) -> None:
    done = dss("images", str(study))

    assert done.exit_code == 0
    assert "3  CT        10 slices  16 x 16  axial  THORAX" in done.output
    assert "4  PT        20 slices  16 x 16  oblique axial  THORAX" in done.output
    assert "An image of 16 x 16 x 10 voxels of 1 x 1 x 3 mm." in done.output
    assert "resampled from a gantry tilt of 15.0 degrees" in done.output
    assert done.output.endswith("Without --series, series 3 is taken.\n")


def test_what_is_in_a_folder_is_listed_for_programs(study: Path) -> None:
    (study / "CT.0005.dcm").unlink()

    done = dss("images", str(study), "--json")

    ct, pet = json.loads(done.stdout)
    assert (ct["series"], ct["refused"], ct["size"], ct["slices"]) == ("3", True, None, 9)
    assert ct["sentence"].startswith("Slices are missing: 1 slice between InstanceNumber 4")
    assert (pet["series"], pet["modality"], pet["description"]) == ("4", "PT", "THORAX")
    assert (pet["refused"], pet["size"], pet["phases"]) == (False, [16, 31, 20], 1)
    assert any("gantry tilt of 15.0 degrees" in note for note in pet["notes"])
    assert [ct["chosen"], pet["chosen"]] == [True, False], (
        "what dss send takes, although it refuses it"
    )


def test_an_image_is_listed_for_programs(scan: str) -> None:
    done = dss("images", scan, "--json")

    (found,) = json.loads(done.stdout)
    assert (found["role"], found["tags"]) == ("Main image", [])
    assert len(found["size"]) == len(found["spacing_mm"]) == 3


def test_a_folder_that_cannot_be_listed_is_a_sentence_for_programs_too(tmp_path: Path) -> None:
    done = dss("images", str(tmp_path / "missing"), "--json")

    assert (done.exit_code, done.stdout) == (2, "")
    assert "missing" in done.stderr


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(study: Path) -> None:
    done = dss("send", str(study), "--dry-run", "--series", "4", "--server", "http://127.0.0.1:1")

    assert done.exit_code == 0
    assert "16 x 31 x 20 voxels would be sent." in done.output
    assert "resampled from a gantry tilt of 15.0 degrees" in done.output


def test_a_series_that_cannot_be_sent_is_one_sentence_and_exit_status_2(study: Path) -> None:
    (study / "CT.0005.dcm").unlink()

    done = dss("send", str(study), "--dry-run")

    assert done.exit_code == 2
    assert "Slices are missing: 1 slice between InstanceNumber 4" in done.output


def test_a_series_of_what_is_no_dicom_is_refused(scan: str) -> None:
    done = dss("send", scan, "--dry-run", "--series", "4")

    assert (done.exit_code, "is no DICOM folder" in done.output) == (2, True)


def test_a_series_that_is_sent_is_the_chosen_one_and_its_notes_are_shown(
    recorder: Recorder, place: list[str], study: Path
) -> None:
    recorder.answers["POST /api/tickets/1/files"] = refusal("413 Too Large")

    done = dss("send", str(study), "--service", "lungs", "--series", "4", *place)

    assert "DICOM series 4 (PT) of 20 slices" in done.output
    assert "resampled from a gantry tilt of 15.0 degrees" in done.output


def test_images_beside_a_series_are_said_not_to_be_sent(
    recorder: Recorder, place: list[str], study: Path
) -> None:
    """Of a folder with nine scans and a DICOM folder, one was sent without a word of --each."""
    write_image(study / "head.nii.gz", image())

    done = dss("send", str(study), "--service", "lungs", "--no-wait", *place)

    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert f"Not sent: 1 other image in {study}. With --each, each becomes a ticket." in said
