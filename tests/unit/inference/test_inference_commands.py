# mypy: allow-untyped-calls
"""``dss-inference`` as one types it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from typer.testing import CliRunner

from dss_inference.__main__ import main
from dss_phantom.__main__ import main as phantom_program
from dss_phantom.chest import Phantom
from dss_phantom.files import write_phantom

pytestmark = pytest.mark.slow

RUN = ("bundle", "run")


def said(*words: str, code: int = 0) -> str:
    answer = CliRunner().invoke(main, list(words))
    assert answer.exit_code == code, answer.output
    return answer.output


def test_the_bundles_are_listed() -> None:
    assert said("bundle", "list").split()[:2] == ["lung-segmentation", "nodule-detection"]


def test_a_phantom_has_the_size_and_orientation_asked_for(tmp_path: Path) -> None:
    words = ["--size", "30", "28", "26", "--spacing", "12", "12", "12", "--orientation", "RAS"]

    said("phantom", str(tmp_path / "new"), *words)

    ct = sitk.ReadImage(tmp_path / "new" / "ct.nii.gz")
    assert ct.GetSize() == (30, 28, 26)
    assert ct.GetDirection()[::4] == (-1.0, -1.0, 1.0)
    assert (
        len(json.loads((tmp_path / "new" / "truth.json").read_text(encoding="utf-8"))["labels"])
        == 2
    )


def test_a_wrong_orientation_is_refused_in_a_sentence(tmp_path: Path) -> None:
    answer = CliRunner().invoke(phantom_program, [str(tmp_path), "--orientation", "XYZ"])

    assert answer.exit_code == 2
    assert "'XYZ' is no orientation" in answer.output


def test_a_phantom_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "ct.nii.gz").mkdir()

    words = ["--size", "16", "16", "16", "--spacing", "20", "20", "20"]
    answer = CliRunner().invoke(phantom_program, [str(tmp_path), *words])

    assert answer.exit_code == 2
    assert answer.stderr == (
        f"{tmp_path} cannot take the files of a phantom: ct.nii.gz was not written.\n"
    )


def test_an_image_is_segmented_by_hand(tmp_path: Path, chest: Phantom) -> None:
    write_phantom(chest, tmp_path)

    answer = said(
        *RUN, "lung-segmentation", str(tmp_path / "ct.nii.gz"), "-o", str(tmp_path / "out")
    )

    assert "1  left lung" in answer
    assert "in all, on" in answer
    assert (tmp_path / "out" / "segmentation.nii.gz").exists()


def test_what_is_no_image_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "ct.nii.gz").write_text("no image", encoding="utf-8")

    answer = said(
        *RUN, "lung-segmentation", str(tmp_path / "ct.nii.gz"), "-o", str(tmp_path), code=1
    )

    assert "The file is not a NIfTI file, whatever its name says" in answer
    assert "Traceback" not in answer


def test_an_unknown_bundle_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "ct.nii.gz").touch()

    answer = said(*RUN, "hearts", str(tmp_path / "ct.nii.gz"), "-o", str(tmp_path), code=2)

    assert "there is: lung-segmentation" in answer


def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DSS_AMQP_URL", raising=False)

    assert "DSS_AMQP_URL" in said("serve", code=2)


def test_the_server_itself_loads_no_torch() -> None:
    program = "import sys, dss_inference.worker.server; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
