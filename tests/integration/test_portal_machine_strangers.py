"""Strangers' links, other sites, old forms and guessed codes give nobody a machine's token."""

import pytest
from quart.typing import TestClientProtocol as Client

from support import machines
from support.machines import CALLBACK, answered, asked, begun, form_token
from support.portals import Portal, post, text

pytestmark = pytest.mark.stack

machine = machines.machine
ann = machines.ann


async def test_a_link_of_a_stranger_does_not_ask_for_an_answer(
    machine: Client, ann: Client
) -> None:
    """Its code must be typed, beside a warning."""
    told = await begun(machine)

    page = await text(ann, f"/device?code={told['user_code']}")

    assert "verification_uri_complete" not in told
    assert "Allow</button>" not in page
    assert "Type no code that somebody has sent you" in page


async def test_what_a_stranger_s_link_gets_goes_to_the_victim_s_own_machine(
    machine: Client, ann: Client
) -> None:
    """The stranger keeps the secret, and lacks what the victim's browser brings to 127.0.0.1."""
    told = await begun(machine, callback=CALLBACK)

    shown = await text(ann, f"/device?code={told['user_code']}")
    _, _, refresh = await answered(ann, told, "allow")

    assert "Allow</button>" in shown
    assert refresh.startswith(f"0; url={CALLBACK}?code=")
    for guess in ("", "guess"):
        assert await asked(machine, told, guess) == (400, {"error": "invalid_grant"})
    status, _ = await asked(machine, told, refresh.partition("code=")[2])
    assert status == 200


@pytest.mark.parametrize(
    "callback",
    [
        "https://evil.example.org/x",
        "http://127.0.0.1.evil.example.org:80/x",
        "http://127.0.0.1:80@evil.example.org/x",
        "http://localhost:80/x",
        "http://127.0.0.1/x",
        "http://127.0.0.1:80/x?y",
        "http://127.0.0.1:80/x\nSet-Cookie: a=b",
        "javascript:alert(1)",
    ],
)
async def test_no_answer_is_led_anywhere_but_to_the_machine_itself(
    machine: Client, callback: str
) -> None:
    status, body = await post(machine, "/api/device", machine="m", callback=callback)

    assert (status, body) == (
        400,
        "The callback must be an address like http://127.0.0.1:PORT/NAME.",
    )


async def test_other_sites_and_old_forms_cannot_answer(machine: Client, ann: Client) -> None:
    told = await begun(machine)
    form = {"code": told["user_code"], "answer": "allow"}

    without = await ann.post("/device/answer", form=form)
    foreign = await ann.post(
        "/device/answer",
        form={**form, "form_token": await form_token(ann)},
        headers={"Sec-Fetch-Site": "cross-site"},
    )

    assert (without.status_code, foreign.status_code) == (400, 403)
    assert await asked(machine, told) == (400, {"error": "authorization_pending"})


async def test_the_form_of_another_person_is_refused(
    portal: Portal, machine: Client, ann: Client
) -> None:
    told, eve = await begun(machine), await portal.user("eve@example.com")

    form = {"form_token": await form_token(eve), "code": told["user_code"], "answer": "allow"}
    answer = await ann.post("/device/answer", form=form)

    assert answer.status_code == 400


@pytest.mark.parametrize("path", ["/device", "/device/answer"])
@pytest.mark.usefixtures("machine")
async def test_guessing_codes_is_counted(portal: Portal, ann: Client, path: str) -> None:
    form = {"form_token": await form_token(ann), "code": "BBBBBBBB", "answer": "allow"}

    statuses = [
        (await ann.post(path, form=form)).status_code
        for _ in range(portal.settings.failed_logins_per_minute + 1)
    ]

    assert statuses[0] == 400
    assert statuses[-1] == 429


async def test_beginning_is_counted(machine: Client) -> None:
    statuses = [(await post(machine, "/api/device", machine="m"))[0] for _ in range(31)]

    assert statuses[-2:] == [200, 429]
