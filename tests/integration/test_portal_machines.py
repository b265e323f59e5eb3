"""Sign-ins of command lines, as a machine, the person and a stranger meet them."""

import json
import re

import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.accounts import store as accounts
from dss_portal.device_sign_in import store
from dss_portal.models import ApiToken, MachineSignIn
from support import machines
from support.machines import CALLBACK, answered, asked, begun, form_token
from support.portals import LONG_AGO, Portal, post, text

pytestmark = pytest.mark.stack
OURS = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}

machine = machines.machine
ann = machines.ann


async def test_an_allowed_machine_gets_a_token_once(machine: Client, ann: Client) -> None:
    told = await begun(machine)

    before = await asked(machine, told)
    await answered(ann, told, "allow")
    status, given = await asked(machine, told)
    again = await asked(machine, told)

    assert before == (400, {"error": "authorization_pending"})
    assert status == 200
    bearer = {"Authorization": f"Bearer {given['access_token']}"}
    who = await machine.get("/api/login", headers=bearer)
    assert await who.get_data(as_text=True) == "logged in as ann@example.com \n"
    assert (await machine.get("/api/pro/services", headers=bearer)).status_code == 401
    assert again == (400, {"error": "expired_token"})


async def test_a_refused_machine_is_told_so(machine: Client, ann: Client) -> None:
    told = await begun(machine)

    await answered(ann, told, "refuse")

    assert await asked(machine, told) == (400, {"error": "access_denied"})
    assert await ApiToken.all().count() == 0


async def test_nothing_is_given_when_the_time_is_over(machine: Client, ann: Client) -> None:
    told = await begun(machine)
    await answered(ann, told, "allow")
    await MachineSignIn.all().update(expires_at=LONG_AGO)

    assert await asked(machine, told) == (400, {"error": "expired_token"})
    await store.forget_expired()
    assert await MachineSignIn.all().count() == 0


async def test_an_answer_that_comes_too_late_or_twice_is_a_sentence(
    machine: Client, ann: Client
) -> None:
    told = await begun(machine)
    await answered(ann, told, "refuse")

    status, page, _ = await answered(ann, told, "allow")

    assert status == 400
    assert "does not wait for an answer any more" in page
    assert await asked(machine, told) == (400, {"error": "access_denied"})


async def test_the_page_names_the_machine_and_what_it_could_do(
    machine: Client, ann: Client
) -> None:
    name = "<script>alert(1)</script>\x1b[2J" + "x" * 200
    await begun(machine, scope="tickets provider")
    status, body = await post(machine, "/api/device", machine=name, scope="tickets provider")
    told = json.loads(body)

    form = {"form_token": await form_token(ann), "code": told["user_code"].lower()}
    page = await (await ann.post("/device", form=form)).get_data(as_text=True)

    assert status == 200
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page
    assert "\x1b" not in page
    assert "x" * 81 not in page
    assert "ann@example.com" in page
    assert "claim and work on tickets" in page
    assert "manage providers" not in page


async def test_a_refusal_goes_back_to_the_machine_at_once(machine: Client, ann: Client) -> None:
    told = await begun(machine, callback=CALLBACK)

    _, _, refresh = await answered(ann, told, "refuse")

    assert refresh == f"0; url={CALLBACK}?error=access_denied"
    assert await asked(machine, told) == (400, {"error": "access_denied"})


async def test_users_see_and_end_their_own_machines_only(
    portal: Portal, machine: Client, ann: Client
) -> None:
    told = await begun(machine)
    await answered(ann, told, "allow")
    _, given = await asked(machine, told)
    bearer = {"Authorization": f"Bearer {given['access_token']}"}
    (row,), eve = await ApiToken.all(), await portal.user("eve@example.com")

    other = await eve.post(f"/device/{row.id}/out", form={"form_token": await form_token(eve)})
    between = (await machine.get("/api/login", headers=bearer)).status_code
    listed = await text(ann, "/device")
    await ann.post(f"/device/{row.id}/out", form={"form_token": await form_token(ann)})

    assert "dss login on ann@laptop" in listed
    assert "ann@laptop" not in await text(eve, "/device")
    assert (other.status_code, between) == (400, 200)
    assert (await machine.get("/api/login", headers=bearer)).status_code == 401


async def test_a_machine_signs_itself_out(machine: Client, ann: Client) -> None:
    told = await begun(machine)
    await answered(ann, told, "allow")
    _, given = await asked(machine, told)
    bearer = {"Authorization": f"Bearer {given['access_token']}"}

    assert (await machine.post("/api/device/revoke", headers=bearer)).status_code == 200
    assert (await machine.post("/api/device/revoke", headers=bearer)).status_code == 401
    assert (await ann.post("/api/device/revoke")).status_code == 401


async def test_a_disabled_user_s_machine_gets_nothing(
    portal: Portal, machine: Client, ann: Client
) -> None:
    told = await begun(machine)
    await answered(ann, told, "allow")
    await accounts.disable_user("ann@example.com")

    assert await asked(machine, told) == (400, {"error": "access_denied"})


async def test_a_site_without_an_issuer_says_so(portal: Portal) -> None:
    status, body = await post(portal.app.test_client(), "/api/device", machine="m")

    assert (status, body) == (400, "This server has no sign-in service; use a token.")


async def test_a_person_who_must_sign_in_first_comes_back_to_the_code(
    portal: Portal, machine: Client
) -> None:
    told = await begun(machine, callback=CALLBACK)
    person = portal.app.test_client()
    token = await accounts.new_login_token(await accounts.save_user("bob@example.com"), 60)

    first = await person.get(f"/device?code={told['user_code']}")
    signed = await person.post("/token", form={"token": token}, headers=OURS)
    terms = await text(person, "/token")
    guard = re.search(r'name="form_token" value="([^"]+)"', terms)
    assert guard
    await person.post("/acceptterms", form={"cb": "on", "form_token": guard[1]}, headers=OURS)
    back = await person.get("/token")

    assert first.headers["Location"].endswith("/token")
    assert signed.status_code == 303
    assert "Terms of use" in terms
    assert back.headers["Location"].endswith(f"/device?code={told['user_code']}")
    assert "Allow</button>" in await text(person, f"/device?code={told['user_code']}")
