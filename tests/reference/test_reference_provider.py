"""The real Python client for providers and our emulation of ITK-SNAP meet at our portal."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dss_client.itksnap import ItkSnap
from dss_client.records import Detail
from support import reference_server
from support.builders import (
    LayerSpec,
    WorkspaceSpec,
    image,
    segmentation,
    workspace_xml,
    write_image,
)
from support.sites import Site

pytestmark = pytest.mark.stack

CLIENT = "itksnap-dss==0.2.0"
DAEMON = Path(__file__).with_name("python_provider.py")


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """What both sides have seen.  ``folder`` is the provider's, ``results`` are the user's files."""

    githash: str
    ticket: int
    told: dict[str, Any]
    folder: Path
    sent: Path
    seen: Detail
    results: list[Path]


@pytest.fixture(scope="module")
def meeting(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meeting]:
    """A ticket from ITK-SNAP's hands through the daemon's and back."""
    interpreter = reference_server.installed(CLIENT)
    site.offer(tmp_path_factory.mktemp("offer"), "hospital")
    token = site.stack.token("pat@example.com")
    site.stack.command("providers", "add-user", "hospital", "pat@example.com")
    folder = _work(tmp_path_factory.mktemp("daemon"))
    with ItkSnap(site.url) as user:
        user.login(site.stack.token("ann@example.com"))
        ticket = user.create_ticket("lung-segmentation")
        sent = write_image(folder / "scan.nii.gz", image())
        user.upload(ticket, sent)
        user.submit(ticket)
        told = _provided(interpreter, site.url, token, folder)
        yield Meeting(
            githash=user.services()[0].githash,
            ticket=ticket,
            told=told,
            folder=folder,
            sent=sent,
            seen=user.detail(ticket),
            results=user.download_results(ticket, folder / "results"),
        )


def test_the_client_reads_its_services(meeting: Meeting) -> None:
    assert meeting.told["services"] == [
        ["lung-segmentation", "1.0.0", meeting.githash, "hospital"],
    ]


def test_the_client_reads_what_waits_and_claims_it(meeting: Meeting) -> None:
    assert meeting.told["waiting"] == [[meeting.githash, "lung-segmentation", 1]]
    assert meeting.told["claimed"] == [[meeting.ticket, meeting.githash, "claimed"]]


def test_the_client_understands_that_nothing_waits(meeting: Meeting) -> None:
    assert meeting.told["nothing_waits"]
    assert meeting.told["nothing_to_claim"]


def test_the_input_reaches_the_provider_byte_for_byte(meeting: Meeting) -> None:
    received = meeting.folder / "input" / meeting.sent.name

    assert received.read_bytes() == meeting.sent.read_bytes()


def test_the_user_sees_the_provider_s_lines_and_the_note(meeting: Meeting) -> None:
    lines = [(line.category, line.message) for line in meeting.seen.log]

    assert lines[1:] == [
        ("info", "Ticket claimed by provider hospital instance gpu0"),
        ("info", "Ticket successfully downloaded, 100% é"),
        ("warning", "See the note"),
        ("info", "The picture shows three planes with the outlines of the labels."),
    ]


def test_the_user_gets_the_provider_s_results(meeting: Meeting) -> None:
    assert meeting.seen.status == "success"
    names = sorted(path.name for path in meeting.results)
    assert names[-1] == f"ticket_{meeting.ticket:08d}_results.itksnap"
    assert len(names) == 4  # one of them is left of the first try


def test_the_client_reads_why_a_result_is_refused_and_sends_a_better_one(meeting: Meeting) -> None:
    assert meeting.told["refusal"].startswith(
        "The results cannot be accepted. The segmentation 'lay"
    )
    assert "size (12, 10, 9) instead of (12, 10, 8)" in meeting.told["refusal"]


def _work(folder: Path) -> Path:
    """With results: the image and its segmentation, and one of another size."""
    main = LayerSpec(tags="CT", file_name="main.nii.gz", folder=str(folder))
    lungs = LayerSpec(role="SegmentationRole", file_name="lungs.nii.gz", folder=str(folder))
    write_image(folder / main.file_name, image())
    write_image(folder / lungs.file_name, segmentation())
    spec = WorkspaceSpec(layers=(main, lungs), labels={1: "left lung", 2: "right lung"})
    (folder / "result.itksnap").write_bytes(workspace_xml(spec))
    large = LayerSpec(role="SegmentationRole", file_name="large.nii.gz", folder=str(folder))
    write_image(folder / large.file_name, segmentation(size=(12, 10, 9)))
    spec = WorkspaceSpec(layers=(main, large), labels={1: "left lung", 2: "right lung"})
    (folder / "bad.itksnap").write_bytes(workspace_xml(spec))
    (folder / "note.txt").write_text("Two lungs.", encoding="utf-8")
    return folder


def _provided(interpreter: Path, url: str, token: str, folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [str(interpreter), str(DAEMON), url, token, str(folder)],
        env={"PATH": "/usr/bin:/bin", "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told
