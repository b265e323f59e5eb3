"""Sign-in by a real OpenID Connect provider, every redirect of it."""

import os
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.accounts import store as accounts
from dss_portal.accounts.openid import OpenIdIssuer
from dss_portal.models import User
from dss_portal.web import context
from support.issuers import SECRET, issuing
from support.portals import Portal, text
from support.stacks import free_port

pytestmark = pytest.mark.stack

FROM_AFAR = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
CALLBACK = "http://127.0.0.1:8080/api/oauth2cb"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """The address of a provider."""
    with issuing(CALLBACK) as address:
        yield address


@pytest.fixture
def client(portal: Portal, issuer: str) -> Client:
    """A browser at a portal that knows the issuer."""
    context.install(
        portal.app, replace(portal.components, openid=OpenIdIssuer(issuer, "dss", SECRET, CALLBACK))
    )
    return portal.app.test_client()


async def _begun(client: Client) -> str:
    answer = await client.get("/signin")
    assert answer.status_code == 303
    return answer.headers["Location"]


def _at_the_issuer(address: str, who: str) -> str:
    """Sign in as ``who`` and consent; where the issuer then sends the browser."""
    with httpx.Client(follow_redirects=False, trust_env=False) as browser:
        answer = browser.get(address)
        while not str(answer.headers.get("Location", "")).startswith(CALLBACK):
            if answer.is_redirect:
                answer = browser.get(str(answer.next_request and answer.next_request.url))
                continue
            prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
            form = re.search(r'action="([^"]+)"', answer.text)
            assert prompt, answer.text
            assert form
            fields = {"prompt": prompt[1], "login": who, "password": "any"}
            answer = browser.post(str(answer.url.join(form[1])), data=fields)
        return str(answer.headers["Location"])


def _path(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}"


async def test_who_the_issuer_vouches_for_is_signed_in(client: Client) -> None:
    back = _at_the_issuer(await _begun(client), "Ann@example.com")

    answer = await client.get(_path(back), headers=FROM_AFAR)

    assert answer.status_code == 303
    assert answer.headers["Location"] == "http://127.0.0.1:8080/"
    assert await text(client, "/api/login") == "logged in as ann@example.com \n"
    user = await User.get(email="ann@example.com")
    assert (user.tier_id, user.sysadmin) == ("guest", False)


async def test_the_issuer_s_sign_in_leads_back_to_the_page_that_asked_for_it_once(
    client: Client,
) -> None:
    await client.get("/tickets/2")
    back = _at_the_issuer(await _begun(client), "Ann@example.com")

    answer = await client.get(_path(back), headers=FROM_AFAR)

    assert answer.headers["Location"] == "http://127.0.0.1:8080/tickets/2"
    assert (await client.get("/tickets/2")).headers["Location"].endswith("/token")
    terms = await text(client, "/token")
    assert "<button>Accept</button>" in terms
    form_token = re.search(r'name="form_token" value="([^"]+)"', terms)
    assert form_token
    await client.post("/acceptterms", form={"cb": "on", "form_token": form_token[1]})
    answer = await client.get("/token")
    assert answer.headers["Location"] == "http://127.0.0.1:8080/tickets/2"
    assert "Your token" in await text(client, "/token")


async def test_the_request_carries_state_nonce_and_a_challenge(client: Client) -> None:
    asked = parse_qs(urlsplit(await _begun(client)).query)

    assert asked["code_challenge_method"] == ["S256"]
    assert all(asked[name][0] for name in ("state", "nonce", "code_challenge"))
    assert asked["redirect_uri"] == [CALLBACK]


async def test_a_sign_in_that_was_begun_elsewhere_is_refused(
    portal: Portal, client: Client
) -> None:
    """The reference's weakness 29."""
    back = _at_the_issuer(await _begun(client), "mallory@example.com")
    victim = portal.app.test_client()

    answer = await victim.get(_path(back))

    assert answer.status_code == 400
    assert await text(victim, "/api/login") == "You are not logged in!"


async def test_a_code_works_once(client: Client) -> None:
    back = _path(_at_the_issuer(await _begun(client), "ann@example.com"))
    await client.get(back)

    assert (await client.get(back)).status_code == 400


async def test_a_refusal_of_the_issuer_is_a_sentence(client: Client) -> None:
    state = parse_qs(urlsplit(await _begun(client)).query)["state"][0]

    answer = await client.get(f"/api/oauth2cb?error=access_denied&state={state}")

    assert answer.status_code == 401
    assert await answer.get_data(as_text=True) == "The sign-in service did not let you in."


async def test_an_invented_code_is_refused(client: Client) -> None:
    state = parse_qs(urlsplit(await _begun(client)).query)["state"][0]

    answer = await client.get(f"/api/oauth2cb?code=invented&state={state}")

    assert answer.status_code == 401


@pytest.mark.parametrize("says", ["unverified", "silent", "text"])
async def test_an_unconfirmed_address_is_refused(client: Client, says: str) -> None:
    """Else any user of the issuer could take over the account of a sysadmin here."""
    email = f"{says}@example.com"
    await accounts.save_user(email, sysadmin=True)
    back = _at_the_issuer(await _begun(client), email)

    answer = await client.get(_path(back))

    assert answer.status_code == 401
    assert await answer.get_data(as_text=True) == (
        "The sign-in service did not give a confirmed e-mail address."
    )
    assert await text(client, "/api/login") == "You are not logged in!"


async def test_an_unconfirmed_address_makes_no_account(client: Client) -> None:
    await client.get(_path(_at_the_issuer(await _begun(client), "unverified@example.com")))

    assert not await User.exists(email="unverified@example.com")


async def test_the_issuer_s_spelling_leads_to_the_account_that_an_admin_made(
    client: Client,
) -> None:
    made = await accounts.save_user("Ann.Lee@Example.com")

    await client.get(_path(_at_the_issuer(await _begun(client), "ANN.LEE@example.com")))

    assert await text(client, "/api/login") == "logged in as ann.lee@example.com \n"
    assert await User.all().count() == 1
    assert (await User.get(email="ann.lee@example.com")).id == made.id


async def test_a_disabled_user_stays_out(client: Client) -> None:
    await accounts.save_user("ann@example.com")
    await accounts.disable_user("ann@example.com")
    back = _at_the_issuer(await _begun(client), "ann@example.com")

    assert (await client.get(_path(back))).status_code == 401


async def test_a_proxy_that_is_not_for_the_issuer_does_not_count(
    portal: Portal, issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library httpx itself would end with an error for the kind of the proxy, or for the network in NO_PROXY."""
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy:1080")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,fd00::/8")
    excepted = OpenIdIssuer(issuer, "dss", SECRET, CALLBACK, os.environ)
    context.install(portal.app, replace(portal.components, openid=excepted))
    client = portal.app.test_client()

    back = _at_the_issuer(await _begun(client), "ann@example.com")

    assert (await client.get(_path(back))).status_code == 303


async def test_an_issuer_that_is_away_is_a_sentence(portal: Portal) -> None:
    away = OpenIdIssuer(f"http://127.0.0.1:{free_port()}", "dss", SECRET, CALLBACK)
    context.install(portal.app, replace(portal.components, openid=away))

    answer = await portal.app.test_client().get("/signin")

    assert answer.status_code == 502
    assert "cannot be reached" in await answer.get_data(as_text=True)


async def test_a_portal_without_an_issuer_says_so(portal: Portal) -> None:
    answer = await portal.app.test_client().get("/signin")

    assert answer.status_code == 400
    assert await answer.get_data(as_text=True) == (
        "This server has no sign-in service; use a token."
    )


@pytest.fixture
def odd_issuer(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an issuer that describes itself in the parameter, in which HERE is its address."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(request.param.replace("HERE", address).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield address
        server.shutdown()


@pytest.mark.parametrize(
    ("odd_issuer", "words"),
    [
        ("[]", "cannot be reached"),
        ('"HERE"', "cannot be reached"),
        ('{"issuer": "http://elsewhere"}', "names another issuer"),
        ('{"issuer": "HERE", "token_endpoint": 5, "jwks_uri": "HERE"}', "does not say its auth"),
    ],
    indirect=["odd_issuer"],
)
async def test_an_issuer_that_describes_itself_wrongly_is_a_sentence(
    portal: Portal, odd_issuer: str, words: str
) -> None:
    odd = OpenIdIssuer(odd_issuer, "dss", SECRET, CALLBACK)
    context.install(portal.app, replace(portal.components, openid=odd))

    answer = await portal.app.test_client().get("/signin")

    assert answer.status_code == 502
    assert words in await answer.get_data(as_text=True)
