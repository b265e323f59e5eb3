# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""The REST interface of the old inference server, asked without a socket."""

import gc
import io
import warnings
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from werkzeug.exceptions import HTTPException
from werkzeug.test import Client

from dss_inference.facade.upload import receive
from dss_observability.tracing import current_traceparent
from support import facades
from support.facade_requests import as_file, image, sent, until
from support.facades import PLACE, TABLE, BrightBundle
from support.waiting import wait_until

bundle = facades.bundle
results = facades.results
submissions = facades.submissions
client = facades.client


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_an_image_comes_back_as_a_mask_in_nrrd_whatever_its_file_was_called(
    client: Client, tmp_path: Path, suffix: str
) -> None:
    endpoint = sent(client, as_file(tmp_path, suffix), "scan.dat").get_json()["Endpoint"]

    mask = until(client, endpoint, 200)

    (tmp_path / "mask.nrrd").write_bytes(mask.get_data())
    found, given = sitk.ReadImage(tmp_path / "mask.nrrd"), image()
    assert mask.get_data()[:4] == b"NRRD"
    assert (sitk.GetArrayFromImage(found) == (sitk.GetArrayFromImage(given) > -1)).all()
    assert found.GetSpacing() == pytest.approx(given.GetSpacing(), abs=1e-6)
    assert found.GetOrigin() == pytest.approx(given.GetOrigin())
    assert found.GetDirection() == pytest.approx(given.GetDirection())


def test_until_it_is_done_the_stage_is_told_with_a_status_that_is_not_200(
    client: Client, bundle: BrightBundle, tmp_path: Path
) -> None:
    bundle.go_on.clear()

    endpoint = sent(client, as_file(tmp_path, ".nrrd")).get_json()["Endpoint"]

    until(client, endpoint, 202)
    wait_until(lambda: client.get(endpoint).get_json().get("stage") == "pausing")
    assert client.get(endpoint).get_json() == {
        "state": "working",
        "fraction": 0.5,
        "stage": "pausing",
    }


def test_the_report_names_the_labels_and_the_device(client: Client, tmp_path: Path) -> None:
    endpoint = sent(client, as_file(tmp_path, ".nrrd")).get_json()["Endpoint"]

    report = until(client, f"{endpoint}/report", 200).get_json()

    assert report["labels"] == [{"value": 1, "name": "bright", "rgb": [1, 2, 3], "volume_ml": 4.5}]
    assert report["device"] == "cpu"
    assert set(report["stage_seconds"]) == {"looking"}


def test_reports_are_listed_and_handed_out_by_their_names(client: Client, tmp_path: Path) -> None:
    endpoint = sent(client, as_file(tmp_path, ".nrrd")).get_json()["Endpoint"]

    listed = until(client, f"{endpoint}/reports", 200).get_json()["reports"]

    (table,) = listed
    assert (table["name"], table["description"]) == ("findings.csv", "What is bright")
    assert table["Endpoint"] == f"{endpoint}/reports/findings.csv"
    handed_out = client.get(table["Endpoint"], buffered=True)
    assert (handed_out.get_data(), handed_out.mimetype) == (TABLE, "text/csv")
    whole = client.get(f"{endpoint}/report").get_json()
    assert whole["reports"] == listed
    assert whole["landmarks"][0]["position_mm"] == list(PLACE.position_mm)


@pytest.mark.parametrize("name", ["segmentation.nii.gz", "request.json", "..", "%2e%2e%2fstarts"])
def test_only_reports_are_handed_out_as_reports(client: Client, tmp_path: Path, name: str) -> None:
    endpoint = sent(client, as_file(tmp_path, ".nrrd")).get_json()["Endpoint"]
    until(client, endpoint, 200)

    answer = client.get(f"{endpoint}/reports/{name}")

    assert answer.status_code == 404
    assert "error" in answer.get_json()


def test_until_it_is_done_there_are_no_reports(
    client: Client, bundle: BrightBundle, tmp_path: Path
) -> None:
    bundle.go_on.clear()
    endpoint = sent(client, as_file(tmp_path, ".nrrd")).get_json()["Endpoint"]

    asked = [client.get(f"{endpoint}/{path}") for path in ("reports", "reports/findings.csv")]

    assert [answer.status_code for answer in asked] == [202, 202]


@pytest.mark.parametrize("given", [f"00-{'a' * 32}-{'b' * 16}-01", None])
def test_the_work_belongs_to_the_trace_of_whoever_asks(
    client: Client, bundle: BrightBundle, tmp_path: Path, given: str | None
) -> None:
    seen: list[str | None] = []
    bundle.before = lambda: seen.append(current_traceparent.get())

    data = {"itk_image": (io.BytesIO(as_file(tmp_path, ".nrrd")), "ct")}
    headers = {"traceparent": given} if given else {}
    answer = client.post("/lung_segmentation/inference", data=data, headers=headers)

    until(client, answer.get_json()["Endpoint"], 200)
    assert seen == [given]


def test_an_upload_that_breaks_off_leaves_no_file_open(tmp_path: Path) -> None:
    class BrokenOff(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(size) or self.end()

        def end(self) -> bytes:
            raise ConnectionResetError

    part = b'--x\r\nContent-Disposition: form-data; name="itk_image"; filename="ct"\r\n\r\nNRRD'
    environ: dict[str, Any] = {
        "wsgi.input": BrokenOff(part + bytes(100_000)),
        "CONTENT_TYPE": "multipart/form-data; boundary=x",
        "CONTENT_LENGTH": "200000",
    }
    gc.collect()

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises((HTTPException, OSError)):
            receive(environ, tmp_path, 1_000_000)
        gc.collect()

    assert (tmp_path / "upload-0").stat().st_size > 0
    assert warned == []


def test_other_fields_are_parameters_of_the_bundle(
    client: Client, bundle: BrightBundle, tmp_path: Path
) -> None:
    answer = sent(client, as_file(tmp_path, ".nrrd"), side="left")

    until(client, answer.get_json()["Endpoint"], 200)
    assert bundle.parameters == {"side": "left"}


def test_a_doubled_slash_is_understood(client: Client, tmp_path: Path) -> None:
    """An old dispatcher appends the path to an address that may end in a slash."""
    image_file = {"itk_image": (io.BytesIO(as_file(tmp_path, ".nrrd")), "ct.nrrd")}

    answer = client.post("http://localhost//lung_segmentation/inference", data=image_file)

    assert answer.status_code == 200
    until(client, f"http://localhost/{answer.get_json()['Endpoint']}", 200)


def test_the_overview_lists_the_bundles(client: Client) -> None:
    assert client.get("/").get_json() == {
        "bundles": [
            {
                "name": "lung-segmentation",
                "endpoint": "/lung-segmentation/inference",
                "device": "cpu",
            }
        ]
    }
    assert client.get("/healthz").status_code == 200
