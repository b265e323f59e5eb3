"""Signing in by a token, as ITK-SNAP does, and the cookie that it keeps."""

import asyncio
import json
import re

import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.accounts import store as accounts
from dss_portal.models import LoginToken, Session
from support.portals import (
    Portal,
    post,
    text,
)

pytestmark = pytest.mark.stack


async def test_a_stranger_is_told_that_he_is_not_logged_in(portal: Portal) -> None:
    for path in ("/api/login", "/api/services", "/api/tickets", "/api/tickets/1/detail"):
        answer = await portal.app.test_client().get(path)

        assert answer.status_code == 401
        assert await answer.get_data() == b"You are not logged in!"


async def test_a_login_is_greeted_with_the_words_that_itksnap_compares(portal: Portal) -> None:
    client = await portal.user("ann@example.com")

    assert await text(client, "/api/login") == "logged in as ann@example.com \n"
    found = json.loads(await text(client, "/api/login?format=json"))
    assert found == {"result": {"email": "ann@example.com"}}


async def test_a_login_token_works_once_among_32_at_the_same_time(portal: Portal) -> None:
    """The reference's weakness 9."""
    token = await accounts.new_login_token(await accounts.save_user("a@example.com"), life_s=60)

    async def attempt() -> int:
        return (await post(portal.app.test_client(), "/api/login", token=token))[0]

    answers = await asyncio.gather(*(attempt() for _ in range(32)))

    assert sorted(answers) == [200] + [401] * 31


async def test_an_expired_token_is_refused(portal: Portal) -> None:
    token = await accounts.new_login_token(await accounts.save_user("a@example.com"), life_s=-1)

    answer = await post(portal.app.test_client(), "/api/login", token=token)

    assert answer == (401, "unauthorized")


async def test_a_wrong_token_ends_the_present_session(portal: Portal) -> None:
    client = await portal.user()

    await post(client, "/api/login", token="wrong")

    assert await text(client, "/api/login") == "You are not logged in!"


async def test_the_cookie_is_one_that_itksnap_can_keep(portal: Portal) -> None:
    token = await accounts.new_login_token(await accounts.save_user("a@example.com"), life_s=60)

    answer = await portal.app.test_client().post("/api/login", form={"token": token})

    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("webpy_session_id=")
    assert "HttpOnly" in cookie
    assert "Max-Age=31536000" in cookie
    assert "Domain" not in cookie
    assert "Secure" not in cookie


async def test_the_cookie_is_written_by_the_login_only(portal: Portal) -> None:
    client = await portal.user()

    answer = await client.get("/api/tickets")

    assert "Set-Cookie" not in answer.headers


async def test_no_secret_is_kept_in_clear(portal: Portal) -> None:
    """The reference's weakness 25."""
    token = await accounts.new_login_token(await accounts.save_user("a@example.com"), life_s=60)
    await portal.user()

    kept = [t.sha256 for t in await LoginToken.all()] + [s.sha256 for s in await Session.all()]

    assert token not in kept
    assert all(len(value) == 64 for value in kept)


async def test_a_token_is_read_only_after_the_terms_are_accepted(portal: Portal) -> None:
    client = await portal.user()
    assert await text(client, "/api/token") == "Unauthorized access"

    await post(client, "/acceptterms", cb="on")

    token = await text(client, "/api/token")
    assert len(token) == 48
    assert await post(portal.app.test_client(), "/api/login", token=token) == (
        200,
        "logged in as ann@example.com \n",
    )


SERVER = "http://127.0.0.1:8080"


async def _led_to(client: Client, path: str, **headers: str) -> str:
    """The path to which a request for a page is redirected; "" if it is answered."""
    return (
        (await client.get(path, headers=headers)).headers.get("Location", "").removeprefix(SERVER)
    )


async def _signed_in(client: Client, email: str = "ann@example.com") -> str:
    """Sign in at the page and accept the terms if they are asked for; the page to which this leads."""
    token = await accounts.new_login_token(await accounts.save_user(email), life_s=60)
    answer = await client.post("/token", form={"token": token})
    path = answer.headers["Location"].removeprefix(SERVER)
    if "/acceptterms" in await text(client, path):
        form_token = re.search(r'name="form_token" value="([^"]+)"', await text(client, path))
        assert form_token
        await client.post("/acceptterms", form={"cb": "on", "form_token": form_token[1]})
    return await _led_to(client, path)


@pytest.mark.parametrize(
    "path",
    [
        "/tickets/2",
        "/tickets?page=2",
        "/tickets/2/view",
        "/send?ticket=7",
        "/account",
        "/services",
        "/admin",
        "/admin/dead-letters",
        "/admin/tickets/7/detail",
        "/device?code=BCDF-GHJK",
    ],
)
async def test_a_sign_in_leads_back_to_the_page_that_asked_for_it_once(
    portal: Portal, path: str
) -> None:
    client = portal.app.test_client()
    assert await _led_to(client, path) in {"/token", "/"}

    assert await _signed_in(client) == path

    assert await _led_to(client, "/tickets") == ""
    assert path == "/device?code=BCDF-GHJK" or "Your token" in await text(client, "/token")


async def test_a_sign_in_leads_back_to_no_other_site_and_to_nothing_but_pages(
    portal: Portal,
) -> None:
    client = portal.app.test_client()

    await client.get("//evil.example/tickets")
    await client.get("/tickets/2", headers={"Sec-Fetch-Dest": "empty"})  # a script's request
    await client.head("/tickets/2")
    await client.post("/tickets/2/delete")
    await client.get("/tickets?" + "x" * 2000)

    assert await _signed_in(client) == ""
    assert "Your token" in await text(client, "/token")


async def test_declined_terms_forget_the_page_that_asked_for_a_sign_in(portal: Portal) -> None:
    client = portal.app.test_client()
    await client.get("/tickets/2")
    token = await accounts.new_login_token(await accounts.save_user("a@example.com"), life_s=60)
    await client.post("/token", form={"token": token})
    form_token = re.search(r'name="form_token" value="([^"]+)"', await text(client, "/token"))
    assert form_token

    declined = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
    await client.post("/acceptterms", form={"form_token": form_token[1]}, headers=declined)

    assert await text(client, "/api/login") == "You are not logged in!"
    assert await _signed_in(client, "b@example.com") == ""
