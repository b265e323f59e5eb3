# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""How long the REST interface keeps images and results: withdrawals, removals, the next process."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from werkzeug.test import Client

from dss_inference.facade.request_store import RequestStore
from dss_inference.facade.routes import Facade
from dss_inference.facade.submissions import MOST_STARTS, Submissions
from support import facades
from support.facade_requests import TIMEOUT_S, as_file, sent, until
from support.facades import LARGEST_BYTES, BrightBundle
from support.waiting import wait_until


@dataclass
class Clock:
    s: float = 0.0

    def __call__(self) -> float:
        return self.s


bundle = facades.bundle
results = facades.results
submissions = facades.submissions
client = facades.client


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
    following.stop(TIMEOUT_S)


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
    clock = Clock()
    assert RequestStore(results.root, clock).purge(older_than_s=3600) == 0
    clock.s += 1800
    following = RequestStore(
        results.root, clock
    )  # of a process that begins where another was killed
    assert following.purge(older_than_s=3600) == 0
    clock.s += 3601

    assert following.purge(older_than_s=3600) == 1

    assert client.get(old).status_code == 404
    assert client.get(waiting).status_code == 202


def test_the_time_that_a_process_runs_goes_on_in_the_next(tmp_path: Path) -> None:
    clock = Clock()
    first = RequestStore(tmp_path, clock)
    first.create()
    first.purge(older_than_s=3600)
    clock.s += 1800
    assert first.purge(older_than_s=3600) == 0
    following = RequestStore(tmp_path, Clock())
    assert following.purge(older_than_s=3600) == 0

    assert RequestStore(tmp_path, Clock()).purge(older_than_s=1799) == 1


@pytest.mark.parametrize("moment", [0.0, 32503680000.0])
def test_a_step_of_the_clock_neither_removes_an_upload_nor_keeps_a_result(
    tmp_path: Path, moment: float
) -> None:
    """The times of files are those of a clock that was set meanwhile."""
    clock = Clock()
    store = RequestStore(tmp_path, clock)
    folder = store.folder(store.create())
    os.utime(folder, (moment, moment))

    assert store.purge(older_than_s=3600) == 0
    assert folder.exists()
    os.utime(folder, (moment, moment))
    clock.s += 3601

    assert store.purge(older_than_s=3600) == 1


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
