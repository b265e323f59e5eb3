"""What ``dss download`` and ``dss open`` do with results: compared with checksums, not fetched twice, opened whole."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.recorder import Recorder, ok, recording, refusal
from support.waiting import wait_until

FILES = {"a.itksnap": b"<registry></registry>", "b.nii.gz": b"voxels"}
RESULTS = "GET /api/tickets/7/files/results"


def sums(files: dict[str, bytes]) -> bytes:
    rows = ", ".join(
        f'{{"name": "{name}", "sha256": "{hashlib.sha256(data).hexdigest()}"}}'
        for name, data in files.items()
    )
    return ok(f'{{"result": [{rows}]}}'.encode())


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A server with the results of ticket 7."""
    answers = {
        "GET /api/tickets/7/checksums": sums(FILES),
        f"{RESULTS} ": ok("".join(f"{n},{name}\r\n" for n, name in enumerate(FILES)).encode()),
    }
    answers |= {f"{RESULTS}/{n} ": ok(data) for n, data in enumerate(FILES.values())}
    with recording(answers) as recorder:
        yield recorder


@pytest.fixture
def itksnap(tmp_path: Path) -> Path:
    """A program of that name which notes how it was called."""
    program = tmp_path / "bin/itksnap"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/called.new\nmv {tmp_path}/called.new {tmp_path}/called\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    return tmp_path / "called"


def dss(
    recorder: Recorder, folder: Path, *words: str, **settings: str
) -> "subprocess.CompletedProcess[str]":
    own = {"DSS_SERVER": recorder.address, "DSS_TOKEN": "dss_x", "HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "dss_client", *words],
        cwd=folder,
        env={**os.environ, **own, **settings},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def fetched(recorder: Recorder) -> list[str]:
    return [r.line.split()[1] for r in recorder.requests if r.line.startswith(f"{RESULTS}/")]


def test_results_are_opened_in_itk_snap(recorder: Recorder, itksnap: Path, tmp_path: Path) -> None:
    done = dss(recorder, tmp_path, "open", "7", PATH=f"{tmp_path}/bin:{os.environ['PATH']}")

    assert done.returncode == 0, done.stderr
    wait_until(itksnap.exists, 30)
    assert itksnap.read_text(encoding="utf-8").split() == ["-w", "ticket_00000007/a.itksnap"]
    assert (tmp_path / "ticket_00000007/b.nii.gz").read_bytes() == b"voxels"


def test_damaged_results_are_not_opened(recorder: Recorder, itksnap: Path, tmp_path: Path) -> None:
    recorder.answers["GET /api/tickets/7/checksums"] = sums({**FILES, "b.nii.gz": b"other"})

    done = dss(recorder, tmp_path, "open", "7", PATH=f"{tmp_path}/bin:{os.environ['PATH']}")

    assert (done.returncode, done.stderr) == (
        2,
        "b.nii.gz has come damaged; download the ticket again.\n",
    )
    assert not itksnap.exists()


def test_without_itk_snap_the_page_is_opened(recorder: Recorder, tmp_path: Path) -> None:
    recorder.answers["GET /api/tickets/7/detail"] = ok(b'{"result": {"status": "failed"}}')

    done = dss(recorder, tmp_path, "open", "7", "--page", BROWSER="true")

    assert (done.returncode, done.stdout) == (0, f"{recorder.address}/tickets/7\n")


def test_a_second_download_fetches_only_what_is_missing_or_differs(
    recorder: Recorder, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.itksnap").write_bytes(FILES["a.itksnap"])
    (tmp_path / "out/b.nii.gz").write_bytes(b"half")

    dss(recorder, tmp_path, "download", "7", "out")

    assert fetched(recorder) == ["/api/tickets/7/files/results/1"]
    assert (tmp_path / "out/b.nii.gz").read_bytes() == b"voxels"


SHARED = {"out/ticket_00000008_results.itksnap": b"<registry></registry>", "out/b.nii.gz": b"8"}


def lay(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.mark.parametrize(("has_sums", "how"), [(True, "differs"), (False, "may differ")])
def test_a_file_of_another_ticket_is_not_replaced(
    recorder: Recorder, tmp_path: Path, has_sums: bool, how: str
) -> None:
    lay(tmp_path, SHARED)
    if not has_sums:
        recorder.answers["GET /api/tickets/7/checksums"] = refusal("404 Not Found")

    done = dss(recorder, tmp_path, "download", "7", "out")

    assert (done.returncode, fetched(recorder)) == (2, [])
    assert done.stderr == (
        f"b.nii.gz in the folder out belongs to the results of ticket 8 and {how} from that of ticket 7; "
        "name another folder (dss download 7 FOLDER, or --output of dss send).\n"
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "b.nii.gz",
        "ticket_00000008_results.itksnap",
    ]
    assert (tmp_path / "out/b.nii.gz").read_bytes() == b"8"


@pytest.mark.parametrize(
    "changes",
    [
        {"out/b.nii.gz": FILES["b.nii.gz"]},
        {"out/a.itksnap": FILES["a.itksnap"]},
        {"out/ticket_00000007_results.itksnap": b"", "out/ticket_00000008_results.itksnap": None},
    ],
    ids=["equal", "again", "own"],
)
def test_a_file_that_is_shared_or_own_is_fetched_as_ever(
    recorder: Recorder, tmp_path: Path, changes: dict[str, bytes | None]
) -> None:
    files = {**SHARED, **changes}
    lay(tmp_path, {name: data for name, data in files.items() if data is not None})

    dss(recorder, tmp_path, "download", "7", "out")

    assert (tmp_path / "out/b.nii.gz").read_bytes() == FILES["b.nii.gz"]
    assert (tmp_path / "out/a.itksnap").exists()


def test_a_file_that_both_tickets_name_is_not_replaced_by_a_repeated_download(
    recorder: Recorder, tmp_path: Path
) -> None:
    workspace = b'<registry><entry key="AbsolutePath" value="/dss/tickets/8/b.nii.gz"/></registry>'
    own = {"out/a.itksnap": FILES["a.itksnap"], "out/ticket_00000008_results.itksnap": workspace}
    lay(tmp_path, {**SHARED, **own})

    done = dss(recorder, tmp_path, "download", "7", "out")

    assert (done.returncode, fetched(recorder)) == (2, [])
    assert (tmp_path / "out/b.nii.gz").read_bytes() == b"8"


def test_a_download_is_not_begun_where_it_cannot_be_kept(
    recorder: Recorder, tmp_path: Path
) -> None:
    (tmp_path / "taken").touch()

    done = dss(recorder, tmp_path, "download", "7", "taken")

    assert (done.returncode, fetched(recorder)) == (2, [])
    assert done.stderr == "taken is a file; the results need a folder.\n"
