# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""What the REST interface refuses, and what it says of it."""

import io
import os
from pathlib import Path

import pytest
from werkzeug.test import Client

from dss_inference.errors import InferenceError
from dss_inference.facade.request_store import RequestStore
from dss_inference.facade.submissions import MOST_UNFINISHED
from dss_inference.worker.request_handler import UNEXPECTED
from support import facades
from support.facade_requests import as_file, sent, until
from support.facades import LARGEST_BYTES, BrightBundle

bundle = facades.bundle
results = facades.results
submissions = facades.submissions
client = facades.client


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
