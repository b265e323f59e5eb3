"""The consumer's routes, as ITK-SNAP uses them."""

import asyncio
import json

import pytest

from support.portals import (
    DESCRIPTOR,
    Portal,
    eventually,
    new_ticket,
    post,
    submitted_ticket,
    text,
)

pytestmark = pytest.mark.stack


async def test_an_announced_service_is_listed_with_a_hash_of_forty_digits(portal: Portal) -> None:
    await portal.announce_service()
    client = await portal.user()

    name, githash, version, shortdesc = (await text(client, "/api/services")).strip().split(",")

    assert (name, version, shortdesc) == ("lung-segmentation", "1.0.0", "Lungs")
    assert len(githash) == 40
    assert json.loads(await text(client, f"/api/services/{githash}/detail")) == DESCRIPTOR


async def test_a_changed_descriptor_replaces_the_service_of_the_same_version(
    portal: Portal,
) -> None:
    await portal.announce_service()
    await portal.announce_service(shortdesc="Better lungs")

    listed = json.loads(await text(await portal.user(), "/api/services?format=json"))["result"]

    assert [service["shortdesc"] for service in listed] == ["Better lungs"]


async def test_a_ticket_by_name_goes_to_the_greatest_version(portal: Portal) -> None:
    await portal.announce_service(version="1.9.0")
    await portal.announce_service(version="1.10.0")
    portal.serve()
    client = await portal.user()
    hashes = {
        s["version"]: s["githash"]
        for s in json.loads(await text(client, "/api/services?format=json"))["result"]
    }

    await submitted_ticket(client)

    ready = (await portal.next_ready()).message
    assert ready.service_hash == hashes["1.10.0"]  # type: ignore[union-attr]  # a TicketReady


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"name": "nothing"}, "Unable to find service named nothing"),
        ({"githash": "a" * 40}, f"Service {'a' * 40} is not available"),
        ({}, "Unable to find service: neither name nor githash specified"),
    ],
)
async def test_a_ticket_for_an_unknown_service_is_refused(
    portal: Portal, form: dict[str, str], sentence: str
) -> None:
    assert await post(await portal.user(), "/api/tickets", **form) == (400, sentence)


async def test_the_quota_is_exact_among_32_at_the_same_time(portal: Portal) -> None:
    """The reference's weakness 10."""
    await portal.announce_service()
    client = await portal.user()

    answers = await asyncio.gather(
        *(post(client, "/api/tickets", name="lung-segmentation") for _ in range(32))
    )

    assert sum(status == 200 for status, _ in answers) == 10
    refused = {body.partition(".")[0] for status, body in answers if status != 200}
    assert refused == {"Maximum allowed number of open tickets (10) exceeded"}


async def test_a_form_that_is_not_encoded_is_understood(portal: Portal) -> None:
    """ITK-SNAP sends its forms raw."""
    client = await portal.user()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    answer = await client.post("/api/tickets", data="name=100% done é".encode(), headers=headers)

    sentence = await answer.get_data(as_text=True)
    assert sentence == "Unable to find service named 100% done é"


async def test_parameters_may_come_in_the_query_and_the_body_wins(portal: Portal) -> None:
    client = await portal.user()

    assert await post(client, "/api/tickets?name=query") == (
        400,
        "Unable to find service named query",
    )
    assert await post(client, "/api/tickets?name=query", name="body") == (
        400,
        "Unable to find service named body",
    )


async def test_a_submitted_ticket_is_announced_with_its_log_line(portal: Portal) -> None:
    await portal.announce_service()
    portal.serve()
    client = await portal.user()

    ticket_id = await submitted_ticket(client)

    assert (await portal.next_ready()).message.ticket_id == ticket_id  # type: ignore[union-attr]  # a TicketReady
    log = json.loads(await text(client, f"/api/tickets/{ticket_id}/log?format=json"))["result"]
    assert [(line["category"], line["message"]) for line in log] == [
        ("info", "Ticket received and queued for processing")
    ]


async def test_a_ticket_is_submitted_once_among_16_at_the_same_time(portal: Portal) -> None:
    """The reference's weakness 11."""
    await portal.announce_service()
    client = await portal.user()
    ticket_id = await new_ticket(client)

    answers = await asyncio.gather(
        *(post(client, f"/api/tickets/{ticket_id}/status", status="ready") for _ in range(16))
    )

    assert sorted(status for status, _ in answers) == [200] + [400] * 15
    assert (await text(client, f"/api/tickets/{ticket_id}/log")).count("\r\n") == 1


async def test_an_unsupported_status_is_refused(portal: Portal) -> None:
    await portal.announce_service()
    client = await portal.user()
    path = f"/api/tickets/{await new_ticket(client)}/status"

    assert await post(client, path, status="success") == (
        400,
        "Changing ticket status to success is not supported",
    )
    assert await post(client, path) == (400, "Missing 'status' parameter")


async def test_the_queue_position_counts_the_own_service_everywhere(portal: Portal) -> None:
    """The ancestors' fault 4."""
    await portal.announce_service()
    await portal.announce_service(name="other")
    ann = await portal.user("ann@example.com")
    bob = await portal.user("bob@example.com")
    other = await new_ticket(bob, "other")
    await post(bob, f"/api/tickets/{other}/status", status="ready")
    await submitted_ticket(bob)

    second = await submitted_ticket(ann)

    assert await text(ann, f"/api/tickets/{second}/queuepos") == "2"
    detail = json.loads(await text(ann, f"/api/tickets/{second}/detail"))["result"]
    assert (detail["status"], detail["progress"], detail["queue_position"]) == ("ready", 0.0, 2)


async def test_the_tickets_of_others_look_as_if_they_did_not_exist(portal: Portal) -> None:
    await portal.announce_service()
    ticket_id = await new_ticket(await portal.user("ann@example.com"))
    bob = await portal.user("bob@example.com")

    for what in ("status", "detail", "log", "progress", "queuepos", "delete", "files/input"):
        answer = await bob.get(f"/api/tickets/{ticket_id}/{what}")

        assert answer.status_code == 400
        assert (await answer.get_data(as_text=True)).startswith("Ticket 1 not found for user")
    assert await text(bob, "/api/tickets") == ""


async def test_an_admin_reads_the_tickets_of_others(portal: Portal) -> None:
    await portal.announce_service()
    ticket_id = await new_ticket(await portal.user("ann@example.com"))
    admin = await portal.user("admin@example.com", sysadmin=True)

    assert await text(admin, f"/api/tickets/{ticket_id}/status") == "init"


async def test_a_head_request_deletes_nothing(portal: Portal) -> None:
    """The reference's weakness 21."""
    await portal.announce_service()
    client = await portal.user()
    ticket_id = await new_ticket(client)

    answer = await client.head(f"/api/tickets/{ticket_id}/delete")

    assert answer.status_code == 405
    assert await text(client, f"/api/tickets/{ticket_id}/status") == "init"


async def test_a_page_of_another_site_deletes_nothing(portal: Portal) -> None:
    """The reference's weakness 21."""
    await portal.announce_service()
    client = await portal.user()
    ticket_id = await new_ticket(client)

    answer = await client.get(
        f"/api/tickets/{ticket_id}/delete",
        headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    )

    assert answer.status_code == 403
    assert await text(client, f"/api/tickets/{ticket_id}/status") == "init"


async def test_a_log_is_asked_for_from_the_last_line_on(portal: Portal) -> None:
    await portal.announce_service()
    client = await portal.user()
    ticket_id = await submitted_ticket(client)
    first = json.loads(await text(client, f"/api/tickets/{ticket_id}/detail"))["result"]["log"]

    since = f"/api/tickets/{ticket_id}/detail?since={first[-1]['id']}"
    rest = json.loads(await text(client, since))["result"]["log"]

    assert rest == []
    assert await text(client, f"/api/tickets/{ticket_id}/log?since=x") == (
        "'since' must be a whole number, not 'x'."
    )


async def test_an_unknown_address_or_method_is_answered_in_the_old_words(portal: Portal) -> None:
    client = await portal.user()

    missing = await client.get("/api/nothing")
    wrong = await client.put("/api/tickets")

    assert (missing.status_code, await missing.get_data()) == (404, b"not found")
    assert (wrong.status_code, await wrong.get_data()) == (405, b"method not allowed")
    assert wrong.headers["Allow"] == "GET, POST"


async def test_the_portal_is_ready_when_everything_is_there(portal: Portal) -> None:
    client = portal.app.test_client()

    assert await text(client, "/healthz") == "ok"
    assert await eventually(lambda: text(client, "/readyz"), lambda found: found == "ok")
