"""``dss send`` with files as odd as disks hold them: each is sent, or refused in a sentence, and nothing else happens."""

import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dss_submission.layer import Layer
from dss_submission.workspace import write_workspace
from support.builders import image, write_image
from support.recorder import Recorder, ok, recording

HASH = "a" * 40
SERVICE = f'{{"name": "lungs", "githash": "{HASH}", "version": "1.0.0", "shortdesc": ""}}'
TAGS = (
    '{"tags": [{"name": "CT", "type": "MainImage", "required": true},'
    ' {"name": "PET", "type": "OtherImage", "required": false}]}'
)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A server that takes every ticket."""
    answers = {
        "POST /api/tickets ": ok(b"7"),
        "POST /api/tickets/7/": ok(b"success"),
        "GET /api/tickets/7/delete": ok(b"success"),
        "GET /api/services?": ok(f'{{"result": [{SERVICE}]}}'.encode()),
        "GET /api/services/": ok(TAGS.encode()),
        "GET /api/services/estimates": ok(b'{"result": []}'),
    }
    with recording(answers) as recorder:
        yield recorder


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_image(tmp_path / "scan.nii.gz", image())


def send(
    recorder: Recorder, folder: Path, *words: str | bytes, prefix: tuple[str, ...] = ()
) -> "subprocess.CompletedProcess[bytes]":
    command = [*prefix, sys.executable, "-m", "dss_client", "send", *words]
    options = ["--service", "lungs", "--no-wait", "--output", str(folder / "out")]
    own = {"DSS_SERVER": recorder.address, "DSS_TOKEN": "dss_x", "HOME": str(folder)}
    return subprocess.run(
        [*command, *options],
        cwd=folder,
        env={**os.environ, **own},
        capture_output=True,
        check=False,
    )


NAMES = [b"two\nlines\x1b[31m.nii.gz", b"caf\xe9.nii.gz", b"caf\xe9.nii", b"x" * 248 + b".nii.gz", b"-x.nii.gz", b" .nii.gz"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_sent_whatever_it_is_called(
    recorder: Recorder, scan: Path, tmp_path: Path, name: bytes
) -> None:
    path = Path(os.fsdecode(bytes(tmp_path) + b"/" + name))
    if name.endswith(b".gz"):
        scan.rename(path)
    else:
        write_image(scan.with_suffix(""), image()).rename(path)

    done = send(recorder, tmp_path, os.fsencode("./" + path.name))

    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout + done.stderr


def test_a_batch_has_a_row_for_a_name_that_is_not_utf_8(
    recorder: Recorder, scan: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    path = bytes(tmp_path) + b"/in/caf\xe9.nii.gz"
    scan.rename(os.fsdecode(path))

    first = send(recorder, tmp_path, "in", "--each")
    again = send(recorder, tmp_path, "in", "--each")

    assert (first.returncode, again.returncode) == (0, 0), again.stderr
    table = (tmp_path / "out/results.csv").read_text(encoding="utf-8", errors="surrogateescape")
    (row,) = csv.DictReader(table.splitlines())
    assert (os.fsencode(row["source"]), row["ticket"], row["status"]) == (path, "7", "submitted")
    assert len([r for r in recorder.requests if r.line.startswith("POST /api/tickets ")]) == 1


def test_a_folder_of_images_without_dicom_says_what_to_do(
    recorder: Recorder, scan: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    scan.rename(tmp_path / "in/one.nii.gz")

    done = send(recorder, tmp_path, "in")

    assert done.returncode == 2
    assert done.stderr.decode() == (
        "in is no DICOM folder. It has 1 other image file, such as one.nii.gz: name one, or take --each for all.\n"
    )


def test_the_error_of_one_image_of_several_names_it(
    recorder: Recorder, scan: Path, tmp_path: Path
) -> None:
    (tmp_path / "pet.nii.gz").write_bytes(scan.read_bytes()[:40])

    done = send(recorder, tmp_path, "scan.nii.gz", "--tag", "PET=pet.nii.gz")

    assert done.returncode == 2
    assert done.stderr.decode().startswith("pet.nii.gz: The image file is damaged: ")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that all users may enter.  pytest's own is closed again by each pytest that starts on this machine."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_what_may_not_be_read_is_told_in_a_sentence(recorder: Recorder, open_folder: Path) -> None:
    drop = ("setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps=-all")
    nobody = drop if os.geteuid() == 0 else ()  # root reads everything
    scan, home, locked = (open_folder / name for name in ("scan.nii.gz", "home", "locked"))
    home.mkdir()
    if nobody:
        os.chown(home, 65534, 65534)
    write_image(scan, image()).chmod(0)
    locked.mkdir(0)

    alone = send(recorder, home, str(scan), prefix=nobody)
    below = send(recorder, home, str(locked), prefix=nobody)
    several = send(recorder, home, str(scan), str(locked), prefix=nobody)

    assert alone.stderr.decode() == f"{scan}: Permission denied.\n"
    assert below.stderr.decode().startswith("The folder locked cannot be opened")
    assert f"scan: not sent. {scan}: Permission denied.\n" in several.stdout.decode()
    assert [done.returncode for done in (alone, below, several)] == [2, 2, 1]


def dry_run(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "dss_client", "send", *words, "--dry-run"]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_dry_run_reads_all_images_of_a_workspace_and_of_tags(scan: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "pet.nii.gz", image() + 7)
    layer = Layer(path=scan, size=(4, 4, 4))
    write_workspace(3, layer, ["CT"], [("PET", Layer(path=tmp_path / "pet.nii.gz", size=(4,)))])

    of_workspace = dry_run(tmp_path, "ticket_00000003.itksnap")
    of_tags = dry_run(tmp_path, "scan.nii.gz", "--tag", "PET=pet.nii.gz")

    size = dry_run(tmp_path, "scan.nii.gz").splitlines()[-1].removesuffix(" would be sent.")
    assert f"2 images would be sent.\nMain image (CT): {size}\n" in of_workspace
    assert f"Further image (PET): {size}\n" in of_workspace
    assert f"Main image: {size}\nFurther image (PET): {size}\n" in of_tags


def test_each_file_that_is_not_sent_is_named_on_the_screen_and_in_the_table(
    recorder: Recorder, scan: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    scan.rename(tmp_path / "in/scan.nii.gz")
    (tmp_path / "in/pic.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    first = send(recorder, tmp_path, "in", "--each")
    send(recorder, tmp_path, "in", "--each")

    assert first.returncode == 0
    assert b"MetaImage or DICOM: pic.png." in first.stderr
    table = (tmp_path / "out/results.csv").read_text(encoding="utf-8")
    rows = [(row["name"], row["status"]) for row in csv.DictReader(table.splitlines())]
    assert rows == [("scan", "submitted"), ("pic.png", "left out")]


def test_a_file_s_name_is_only_in_the_name_that_the_owner_sees(
    recorder: Recorder, scan: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    scan.rename(tmp_path / "in/Doe_John.nii.gz")

    telling = {}
    for name in (None, "Knees", ""):
        sent = len(recorder.requests)
        send(recorder, tmp_path, "in", "--each", *(["--name", name] if name is not None else []))
        (tmp_path / "out/results.csv").unlink()
        found = [r for r in recorder.requests[sent:] if b"Doe_John" in r.body + r.line.encode()]
        telling[name] = [(r.line.split()[1].rpartition("/")[2], r.body) for r in found]

    assert telling == {
        None: [("title", b"title=Doe_John")],
        "Knees": [("title", b"title=Knees+Doe_John")],
        "": [],
    }
