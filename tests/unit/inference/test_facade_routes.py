# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""The REST interface of the old inference server, asked without a socket."""

import gc
import io
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
from werkzeug.exceptions import HTTPException
from werkzeug.test import Client, TestResponse

from dss_inference.errors import InferenceError
from dss_inference.facade.request_store import RequestStore
from dss_inference.facade.routes import Facade
from dss_inference.facade.submissions import MOST_STARTS, MOST_UNFINISHED, Submissions
from dss_inference.facade.upload import receive
from dss_inference.worker.request_handler import UNEXPECTED
from dss_observability.tracing import current_traceparent
from support.facades import PLACE, TABLE, BrightBundle
from support.waiting import wait_until

PATIENCE_S = 20
LARGEST_BYTES = 100_000


@pytest.fixture
def bundle() -> BrightBundle:
    made = BrightBundle()
    made.go_on.set()
    return made


@pytest.fixture
def results(tmp_path: Path) -> RequestStore:
    return RequestStore(tmp_path / "output")


@pytest.fixture
def submissions(bundle: BrightBundle, results: RequestStore) -> Iterator[Submissions]:
    made = Submissions([bundle], results, instance="node1", keep_s=3600)
    made.start()
    yield made
    bundle.go_on.set()
    made.stop(PATIENCE_S)


@pytest.fixture
def client(submissions: Submissions) -> Client:
    return Client(Facade(submissions, LARGEST_BYTES))


def image() -> sitk.Image:
    voxels = np.arange(-30, 30, dtype=np.int16).reshape(3, 4, 5)
    made = sitk.GetImageFromArray(voxels)
    made.SetSpacing((0.7, 0.8, 2.5))
    made.SetOrigin((-33.5, 12.25, 7.0))
    made.SetDirection((-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
    return made


def as_file(folder: Path, suffix: str) -> bytes:
    path = folder / f"made{suffix}"
    sitk.WriteImage(image(), path)
    return path.read_bytes()


def sent(client: Client, content: bytes, name: str = "ct", **others: str) -> TestResponse:
    data = {"itk_image": (io.BytesIO(content), name), **others}
    return client.post("/lung_segmentation/inference", data=data)


def until(client: Client, endpoint: str, status: int) -> TestResponse:
    deadline = time.monotonic() + PATIENCE_S
    while (answer := client.get(endpoint, buffered=True)).status_code != status:
        assert time.monotonic() < deadline, answer.get_data()
        time.sleep(0.01)
    return answer


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


def test_what_the_bundle_refuses_is_told_as_it_stands(
    client: Client, bundle: BrightBundle, tmp_path: Path
) -> None:
    def refuse() -> None:
        raise InferenceError("The image has 2 dimensions; a CT volume has 3.")

    bundle.before = refuse

    endpoint = sent(client, as_file(tmp_path, ".nrrd")).get_json()["Endpoint"]

    assert until(client, endpoint, 422).get_json() == {
        "error": "The image has 2 dimensions; a CT volume has 3."
    }


def test_an_unforeseen_error_is_told_without_its_details(
    client: Client, bundle: BrightBundle, tmp_path: Path
) -> None:
    def surprise() -> None:
        raise ValueError("/secret/path")

    bundle.before = surprise

    endpoint = sent(client, as_file(tmp_path, ".nrrd")).get_json()["Endpoint"]

    assert until(client, endpoint, 500).get_json() == {"error": UNEXPECTED}


def test_a_detached_header_cannot_name_another_file_of_the_machine(client: Client) -> None:
    nrrd = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 3 3 3\ndata file: /etc/passwd\n\n"
    meta = b"ObjectType = Image\nNDims = 3\nDimSize = 3 3 3\nElementDataFile = /etc/passwd\n"

    answers = [sent(client, nrrd), sent(client, meta)]

    for answer in answers:
        assert answer.status_code == 422
        assert "keeps its voxels in another file" in answer.get_json()["error"]


@pytest.mark.parametrize("content", [b"", b"%PDF-1.4 and so on", b"\x00" * 400])
def test_what_is_no_image_is_refused_at_once_and_leaves_nothing(
    client: Client, results: RequestStore, content: bytes
) -> None:
    answer = sent(client, content)

    assert answer.status_code == 422
    assert "NIfTI, NRRD or MetaImage" in answer.get_json()["error"]
    assert [path for path in results.root.iterdir() if path.is_dir()] == []


def test_a_request_without_the_field_says_which_one_is_needed(client: Client) -> None:
    answer = client.post("/lung_segmentation/inference", data={"image": (io.BytesIO(b"x"), "x")})

    assert answer.status_code == 422
    assert "'itk_image'" in answer.get_json()["error"]


def test_a_body_that_is_too_large_is_refused_and_leaves_nothing(
    client: Client, results: RequestStore
) -> None:
    answer = sent(client, b"NRRD" + os.urandom(LARGEST_BYTES))

    assert answer.status_code == 413
    assert str(LARGEST_BYTES) in answer.get_json()["error"]
    assert [path for path in results.root.iterdir() if path.is_dir()] == []


def test_an_unknown_bundle_is_answered_with_what_there_is(client: Client) -> None:
    answer = client.post("/heart/inference", data={"itk_image": (io.BytesIO(b"x"), "x")})

    assert answer.status_code == 404
    assert answer.get_json()["error"] == "There is no 'heart'; there is: lung-segmentation."


@pytest.mark.parametrize("endpoint", ["/results/" + "0" * 32, "/results/..", "/results/x/report"])
def test_a_result_that_is_not_there_is_said_to_be_gone(client: Client, endpoint: str) -> None:
    answer = client.get(endpoint)

    assert answer.status_code == 404
    assert "error" in answer.get_json()


def test_too_many_waiting_images_are_put_off(
    client: Client, bundle: BrightBundle, tmp_path: Path
) -> None:
    bundle.go_on.clear()
    content = as_file(tmp_path, ".nrrd")
    endpoints = [sent(client, content).get_json()["Endpoint"] for _ in range(MOST_UNFINISHED)]

    answer = sent(client, content)

    assert answer.status_code == 503
    for endpoint in endpoints:
        client.delete(endpoint)


def test_a_withdrawn_image_stops_and_leaves_nothing(
    client: Client, bundle: BrightBundle, results: RequestStore, tmp_path: Path
) -> None:
    bundle.go_on.clear()
    endpoint = sent(client, as_file(tmp_path, ".nrrd")).get_json()["Endpoint"]
    wait_until(lambda: bundle.runs)

    assert client.delete(endpoint).status_code == 204

    until(client, endpoint, 404)
    assert [path for path in results.root.iterdir() if path.is_dir()] == []


def test_a_finished_result_can_be_removed(client: Client, tmp_path: Path) -> None:
    endpoint = sent(client, as_file(tmp_path, ".nrrd")).get_json()["Endpoint"]
    until(client, endpoint, 200)

    client.delete(endpoint)

    until(client, endpoint, 404)


def test_the_next_process_has_the_results_and_goes_on_with_what_was_left(
    client: Client,
    submissions: Submissions,
    bundle: BrightBundle,
    results: RequestStore,
    tmp_path: Path,
) -> None:
    done = sent(client, as_file(tmp_path, ".nrrd")).get_json()["Endpoint"]
    mask = until(client, done, 200).get_data()
    bundle.go_on.clear()
    left = sent(client, as_file(tmp_path, ".nrrd")).get_json()["Endpoint"]
    wait_until(lambda: bundle.runs == 2)
    assert not submissions.stop(0)

    other = BrightBundle()
    other.go_on.set()
    following = Submissions([other], RequestStore(results.root), instance="node1", keep_s=3600)
    following.start()
    again = Client(Facade(following, LARGEST_BYTES))

    assert again.get(done, buffered=True).get_data() == mask
    assert until(again, left, 200).get_data()[:4] == b"NRRD"
    assert other.runs == 1
    following.stop(PATIENCE_S)


def test_an_image_that_ends_the_service_again_and_again_is_given_up(
    client: Client,
    submissions: Submissions,
    bundle: BrightBundle,
    results: RequestStore,
    tmp_path: Path,
) -> None:
    bundle.go_on.clear()
    endpoint = sent(client, as_file(tmp_path, ".nrrd")).get_json()["Endpoint"]
    submissions.stop(0)

    for _ in range(MOST_STARTS):
        submissions = Submissions([bundle], results, instance="node1", keep_s=3600)
        submissions.start()
        submissions.stop(0)

    answer = Client(Facade(submissions, LARGEST_BYTES)).get(endpoint)
    assert answer.status_code == 422
    assert "not tried again" in answer.get_json()["error"]


def test_old_results_are_removed_and_waiting_ones_kept(
    client: Client, bundle: BrightBundle, results: RequestStore, tmp_path: Path
) -> None:
    old = sent(client, as_file(tmp_path, ".nrrd")).get_json()["Endpoint"]
    until(client, old, 200)
    bundle.go_on.clear()
    waiting = sent(client, as_file(tmp_path, ".nrrd")).get_json()["Endpoint"]
    for endpoint in (old, waiting):
        os.utime(results.root / endpoint.rpartition("/")[2], (0, 0))

    assert results.purge(older_than_s=3600) == 1

    assert client.get(old).status_code == 404
    assert client.get(waiting).status_code == 202


def test_a_result_removed_while_the_old_ones_are_looked_for_disturbs_nothing(
    results: RequestStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    exists = RequestStore.exists

    def exists_no_longer(self: RequestStore, result_id: str) -> bool:
        found = exists(self, result_id)
        self.remove(result_id)
        return found

    results.create()
    monkeypatch.setattr(RequestStore, "exists", exists_no_longer)

    assert results.purge(older_than_s=-1) == 0


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
