"""Whatever happens on the provider's machine ends one ticket with a sentence, and never the publisher."""

import errno
import os
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dss_client.errors import Refused, Unreachable
from dss_provider import process_marks, results, serving
from dss_provider.child import DISK_FULL
from dss_provider.held import HeldTickets
from dss_provider.portal import Portal, PublisherAnnouncement
from dss_provider.serving import Offer, ServicePublisher
from dss_provider.ticket import MOST_VOLUMES, UNEXPECTED
from dss_provider.ticket_folders import remove_orphans, ticket_folder
from support.one_ticket_portal import Works


@pytest.fixture
def works(tmp_path: Path) -> Works:
    return Works(tmp_path)


def test_a_sound_result_is_sent_with_its_workspace_last(works: Works) -> None:
    assert works() == "success"

    assert works.portal.sent[-1].endswith(".itksnap")
    assert works.portal.ended == "success"


def raising(error: BaseException) -> Callable[..., object]:
    def build(*_: object) -> object:
        raise error

    return build


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), DISK_FULL),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), DISK_FULL),
        (RuntimeError("ITK: something odd"), UNEXPECTED),
        (MemoryError(), UNEXPECTED),
    ],
)
def test_a_surprise_fails_the_ticket_and_is_told_to_the_provider(
    works: Works, monkeypatch: pytest.MonkeyPatch, error: BaseException, sentence: str
) -> None:
    monkeypatch.setattr(results, "build", raising(error))

    assert works() == "failed"

    assert works.portal.lines[-1] == sentence
    assert type(error).__name__ in works.said[-2]
    assert sentence in works.said[-1]


def test_what_the_function_printed_is_for_its_provider_alone(works: Works) -> None:
    assert works("def segment(image):\n    print('my secret')\n    return 1 / 0") == "failed"

    assert "my secret" in works.said[-2]
    assert "my secret" not in " ".join(works.portal.lines)
    assert "ZeroDivisionError: division by zero (algorithm.py, line 5)" in works.portal.lines[-1]


def test_results_that_the_portal_refuses_fail_the_ticket_with_its_sentence(works: Works) -> None:
    works.portal.refusal = "The results cannot be accepted. It is no good."

    assert works() == "failed"

    assert works.portal.lines[-1] == works.portal.refusal
    assert works.said == [f"Ticket 1: {works.portal.refusal}"]


@pytest.mark.parametrize("page", ["<html><body>413 Too large</body></html>", "", '{"error": 413}'])
def test_a_page_of_a_proxy_is_not_written_into_the_log(works: Works, page: str) -> None:
    works.portal.refuses, works.portal.refusal = True, page

    assert works() == "failed"

    assert works.portal.lines[-1] == (
        "The portal, or a proxy in front of it, refused the results (status 400). "
        "Please tell the provider the ticket's number."
    )


def test_the_folder_of_a_ticket_goes_with_its_publisher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds images of a patient."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with ticket_folder() as mine:
        left = mine.with_name(f"dss-ticket-{process_marks.machine()}-{2**22 + 1}-77-abc")
        (left / "input").mkdir(parents=True)
        other = tmp_path / f"dss-ticket-{process_marks.machine()}-notes-of-abc"
        other.symlink_to(mine)
        remove_orphans()
        assert mine.is_dir()
        assert mine.stat().st_mode & 0o077 == 0
        assert not left.exists()
        remove_orphans(and_own=True)
        assert not mine.exists()


def test_publishers_of_two_machines_may_share_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a cluster: this machine does not know the processes of the other."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with ticket_folder() as mine:
        names = mine.name.replace(process_marks.machine(), "0a1b2c3d"), "dss-ticket-4711-77-abc"
        theirs = [tmp_path / name for name in names]
        for folder in theirs:
            folder.mkdir()
        remove_orphans(and_own=True)
        assert not mine.exists()

    assert all(folder.is_dir() for folder in theirs)


def test_machines_and_containers_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    here = process_marks.machine()
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    other = process_marks.machine()
    monkeypatch.setattr(Path, "readlink", lambda _: Path("pid:[1]"))

    assert len({here, other, process_marks.machine()}) == 3


def test_a_machine_that_tells_nothing_of_processes_loses_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(process_marks, "_began", lambda _: "")
    with ticket_folder() as other:
        remove_orphans()
        assert other.is_dir()


def test_of_many_labels_some_volumes_are_told(works: Works) -> None:
    assert works("def segment(image): return image.array + 1") == "success"

    told = [line for line in works.portal.lines if line.endswith(" ml")]
    assert len(told) == MOST_VOLUMES
    assert works.portal.lines[-1] == "Volumes of 10 more labels are not listed."


@pytest.fixture
def quick_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "AFTER_ERROR_S", 0.01)
    monkeypatch.setattr(serving, "POLL_S", 0.01)


class Queue(Portal):
    """A portal that gives one ticket; it is still claimed when it is asked for."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", "")
        self.given = False
        self.told: list[tuple[int, bool]] = []

    def announce(self, said: PublisherAnnouncement, *, ends: bool, asks: bool = False) -> int:
        self.told.append((said.parallel, ends))
        return 0

    def claim(self, githash: str, provider: str, instance: str, key: str) -> int | None:
        given, self.given = self.given, True
        return None if given else 7

    def status(self, ticket: int) -> str:
        return "claimed"


@pytest.mark.usefixtures("quick_pauses")
@pytest.mark.parametrize("error", [Unreachable("The portal is away."), OSError("no folder")])
def test_a_ticket_that_could_not_be_finished_is_gone_on_with(
    tmp_path: Path, error: Exception
) -> None:
    portal, tries, said = Queue(), [], list[str]()
    held = HeldTickets(tmp_path / "held.json")

    def work(number: int) -> str:
        tries.append(number)
        if len(tries) < 3:
            raise error
        return "success"

    publisher = ServicePublisher(
        Offer(githash="h", provider="LAB"), lambda: portal, work, held, said.append
    )
    thread = threading.Thread(target=publisher.run, args=(1, "me", 1))
    thread.start()
    thread.join(60)

    assert tries == [7, 7, 7]
    assert (portal.told[0], portal.told[-1]) == ((1, False), (1, True))
    assert said[-1] == "Ticket 7: success."
    assert held.before() == []
    held.close()


@pytest.mark.usefixtures("quick_pauses")
def test_tickets_of_an_earlier_run_wait_while_the_portal_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal, said, held = Queue(), list[str](), HeldTickets(tmp_path / "held.json")
    portal.given = True
    held.add(5)
    away = iter([Unreachable("The portal is away."), Unreachable("The portal is away.")])

    def status(_: int) -> str:
        if (error := next(away, None)) is not None:
            raise error
        return "claimed"

    monkeypatch.setattr(portal, "status", status)
    offer = Offer(githash="h", provider="LAB")
    publisher = ServicePublisher(offer, lambda: portal, lambda _: "success", held, said.append)
    thread = threading.Thread(target=publisher.run, args=(3, "me", 1))
    thread.start()
    thread.join(60)
    publisher.stop()

    assert "Ticket 5: success." in said
    assert held.before() == []
    held.close()


@pytest.mark.usefixtures("quick_pauses")
def test_a_proxy_that_answers_with_anything_does_not_end_the_publisher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal, said, held = Queue(), list[str](), HeldTickets(tmp_path / "held.json")
    answers = iter([UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text"), Refused(503, "busy")])
    claimed = portal.claim

    def claim(*words: str) -> int | None:
        if (error := next(answers, None)) is not None:
            raise error
        return claimed(*words)

    monkeypatch.setattr(portal, "claim", claim)
    offer = Offer(githash="h", provider="LAB")
    publisher = ServicePublisher(offer, lambda: portal, lambda _: "success", held, said.append)
    thread = threading.Thread(target=publisher.run, args=(1, "me", 1))
    thread.start()
    thread.join(60)

    assert said[-1] == "Ticket 7: success."
    assert "answered in its place" in said[0]
    held.close()


@pytest.mark.usefixtures("quick_pauses")
def test_an_outage_of_the_portal_is_told_once_and_its_end_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal, said, held = Queue(), list[str](), HeldTickets(tmp_path / "held.json")
    away = iter([Unreachable("No server answers at http://a.")] * 5)
    claimed = portal.claim

    def claim(*words: str) -> int | None:
        if (error := next(away, None)) is not None:
            raise error
        return claimed(*words)

    monkeypatch.setattr(portal, "claim", claim)
    offer = Offer(githash="h", provider="LAB")
    publisher = ServicePublisher(offer, lambda: portal, lambda _: "success", held, said.append)
    thread = threading.Thread(target=publisher.run, args=(1, "me", 1))
    thread.start()
    thread.join(60)

    assert said == [
        "No server answers at http://a. Trying again until it answers.",
        "The portal answers again.",
        "Ticket 7: claimed.",
        "Ticket 7: success.",
    ]
    held.close()
