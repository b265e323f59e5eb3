"""A provider over HTTP says success: the ticket is one only after a checker's verdict on these very files."""

import json

import pytest

from dss_broker.broker import Delivery
from dss_broker.memory import MemoryBroker
from dss_broker.messages import CheckResults
from dss_broker.topology import RESULT_CHECKS
from dss_dispatch.result.check_requests import serve_checks
from dss_portal.models import Claim, Status, Ticket, TicketHistory, TicketLog
from dss_portal.settings import Settings
from support import verdicts
from support.builders import landmarks_xml, result_files, segmentation
from support.portals import DATASTORES, LONG_AGO, Portal, post, send_file, text
from support.verdicts import SENTENCE, Work

pytestmark = pytest.mark.stack

work = verdicts.work
patient = verdicts.patient


@pytest.fixture
def checked(portal: Portal) -> None:
    """A dispatcher's checker is at work."""
    serve_checks(portal.broker, portal.settings.shared_datastore())


@pytest.mark.usefixtures("checked")
async def test_a_sound_result_is_a_success_and_said_again_the_answer_is_the_same(
    work: Work,
) -> None:
    await work.give(result_files())

    assert await work.succeed() == (200, "success")
    assert await work.succeed() == (200, "success")

    assert await work.status() == "success"
    assert await TicketHistory.filter(ticket_id=work.ticket, status=Status.SUCCESS).count() == 1


@DATASTORES
@pytest.mark.usefixtures("checked")
async def test_the_picture_of_a_sound_result_is_attached_to_the_log_and_lies_in_no_area(
    work: Work,
) -> None:
    await work.give(result_files())
    for _ in range(2):
        assert await work.succeed() == (200, "success")

    ann = await work.portal.user()
    detail = json.loads(await text(ann, f"/api/tickets/{work.ticket}/detail?since=0"))["result"]
    (picture,) = [file for line in detail["log"] for file in line["attachments"]]
    shown = await ann.get(picture["url"].removeprefix(work.portal.settings.public_url))
    assert (picture["mime_type"], shown.headers["Content-Type"]) == ("image/png", "image/png")
    assert (await shown.get_data())[:8] == b"\x89PNG\r\n\x1a\n"
    assert "picture" not in await text(ann, f"/api/tickets/{work.ticket}/files/results")


@pytest.mark.usefixtures("checked")
async def test_what_is_odd_in_a_result_is_a_warning_in_the_log_once(work: Work) -> None:
    """The provider itself may have said it before."""
    empty = "The segmentation 'lungs.nii.gz' is empty: no voxel has a label."
    outside = "The landmark 'point' lies outside of the image."
    await work.give(
        result_files(segmented=segmentation(()), extra=landmarks_xml(("tip", "99 0 0")))
    )
    await post(work.provider, f"{work.base}/warning", message=outside)
    for _ in range(2):
        assert await work.succeed() == (200, "success")

    warnings = await TicketLog.filter(ticket_id=work.ticket, category="warning").order_by("id")
    assert [line.message for line in warnings] == [outside, empty]


@pytest.mark.usefixtures("checked")
async def test_a_success_without_a_file_is_refused_and_the_ticket_stays_claimed(work: Work) -> None:
    status, sentence = await work.succeed()

    assert (status, sentence[:29]) == (400, "The ticket has no results. Se")
    assert await work.status() == "claimed"


@DATASTORES
@pytest.mark.usefixtures("checked")
async def test_a_segmentation_of_another_size_is_refused_and_may_be_mended(work: Work) -> None:
    await work.give(result_files(segmented=segmentation(size=(12, 10, 9))))

    answer = await work.succeed()

    found = "The segmentation 'lungs.nii.gz' does not lie on its image: size (12, 10, 9) instead of (12, 10, 8)."
    assert answer == (400, SENTENCE.format(found))
    assert await work.status() == "claimed"
    await work.give(result_files())
    assert await work.succeed() == (200, "success")


@pytest.mark.usefixtures("checked")
async def test_a_refused_result_may_be_given_up(work: Work) -> None:
    await work.give({"lungs.nii.gz": b"voxels"})
    assert (await work.succeed())[0] == 400

    for _ in range(2):
        assert await post(work.provider, f"{work.base}/status", status="failed") == (200, "failed")

    assert await work.status() == "failed"
    assert (await work.succeed())[0] == 400


@pytest.mark.usefixtures("checked")
async def test_what_is_left_of_a_mended_result_does_no_harm(work: Work) -> None:
    """The Python client names each file by its content, and nobody can remove one."""
    await work.give({"layer_001_old.nii.gz": b"broken"})
    await work.give(result_files())

    assert await work.succeed() == (200, "success")


async def test_without_a_checker_the_ticket_stays_claimed_and_can_be_finished_later(
    work: Work, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await work.give(result_files())
    await Claim.filter(ticket_id=work.ticket).update(expires_at=LONG_AGO)

    with monkeypatch.context() as impatient:
        impatient.setitem(settings.__dict__, "check_results_s", 0.3)
        status, sentence = await work.succeed()

    assert (status, sentence[:35]) == (400, "The results could not be checked, s")
    assert await work.portal.sweep() == 0, "the lease was not renewed"
    assert await work.status() == "claimed"
    serve_checks(work.portal.broker, work.portal.settings.shared_datastore())
    assert await work.succeed() == (200, "success")


@pytest.mark.usefixtures("checked")
async def test_a_question_that_nobody_waits_for_any_more_is_not_looked_into(work: Work) -> None:
    """It may have waited in the queue for hours, and would be read for nothing."""
    old = CheckResults(
        ticket_id=work.ticket,
        claim_id="c",
        results_dir="nowhere",
        input_dir="nowhere",
        names=("a",),
        patience_s=-1,
    )
    conversation = work.portal.broker.request(old)
    await work.give(result_files())

    assert await work.succeed() == (200, "success")

    with pytest.raises(Exception, match="No reply"):
        conversation.next(0.1)
    assert isinstance(work.portal.broker, MemoryBroker)
    assert work.portal.broker.parked == []


@pytest.mark.usefixtures("patient")
async def test_a_question_that_no_checker_survives_ends_no_ticket(work: Work) -> None:
    def die(delivery: Delivery) -> None:
        raise RuntimeError(delivery.message_id)

    work.portal.broker.consume(RESULT_CHECKS, die)
    await work.give(result_files())

    status, _ = await work.succeed()

    assert isinstance(work.portal.broker, MemoryBroker)
    assert len(work.portal.broker.parked) == 1
    assert (status, await work.status()) == (400, "claimed")


async def test_the_check_can_be_turned_off(
    work: Work, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(settings.__dict__, "check_results", False)

    assert await work.succeed() == (200, "success")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("lung 10:42.nii.gz", "it has the character :"),
        ("what?.nii", "it has the character ?"),
        ("lungs.nii.", "it begins or ends with a blank, or ends with a dot"),
        ("NUL.nii", "Windows keeps this name for a device"),
    ],
)
async def test_a_result_that_not_everybody_can_store_is_refused_at_once(
    work: Work, name: str, why: str
) -> None:
    path = f"{work.base}/files/results"

    answer = await send_file(work.provider, path, name, b"x")

    assert answer == (400, f"Not every system can store the file '{name}': {why}. Rename it.")
    assert await text(work.provider, path) == ""


async def test_results_that_are_one_file_on_some_systems_are_refused(work: Work) -> None:
    path = f"{work.base}/files/results"
    await work.give({"Lungs.nii.gz": b"x"})

    answer = await send_file(work.provider, path, "lungs.NII.gz", b"y")

    assert answer[0] == 400
    assert "the same file on some systems" in answer[1]
    assert await text(work.provider, path) == "0,Lungs.nii.gz\r\n"


async def test_of_a_user_s_names_only_what_no_client_saves_is_refused(portal: Portal) -> None:
    await portal.announce_service()
    ann = await portal.user()
    number = (await post(ann, "/api/tickets", name="lung-segmentation"))[1]
    path = f"/api/tickets/{number}/files/input"

    assert (await send_file(ann, path, "scan 10:42.nii.gz", b"x"))[0] == 400
    assert await send_file(ann, path, "what? *a*.nii.gz", b"x") == (200, "success")
    assert await send_file(ann, path, "Scan.nii.gz", b"x") == (200, "success")
    assert await send_file(ann, path, "scan.nii.gz", b"x") == (200, "success")


@pytest.mark.usefixtures("checked")
async def test_more_files_than_a_question_can_name_are_refused(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dss_broker.codec.MAX_BODY_BYTES", 500)
    await work.give({**result_files(), "x" * 250: b"", "y" * 250: b""})

    status, sentence = await work.succeed()

    assert (status, sentence[:30]) == (400, "The results are too many files")
    assert await Ticket.exists(id=work.ticket, status=Status.CLAIMED)
