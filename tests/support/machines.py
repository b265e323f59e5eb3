"""Requests of a machine that signs in, and of the person who allows it."""

import json
import re
from dataclasses import replace

import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.accounts.openid import OpenIdIssuer
from dss_portal.web import context
from support.portals import Portal, post, text

CALLBACK = "http://127.0.0.1:4711/a-name"


async def begun(machine: Client, **form: str) -> dict[str, str]:
    status, body = await post(machine, "/api/device", machine="ann@laptop", **form)
    assert status == 200, body
    told: dict[str, str] = json.loads(body)
    return told


async def asked(
    machine: Client, told: dict[str, str], code: str = ""
) -> tuple[int, dict[str, str]]:
    secret = told["device_code"]
    status, body = await post(machine, "/api/device/token", device_code=secret, code=code)
    return status, json.loads(body)


async def form_token(person: Client) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', await text(person, "/device"))
    assert found
    return found[1]


async def answered(person: Client, told: dict[str, str], answer: str) -> tuple[int, str, str]:
    form = {"form_token": await form_token(person), "code": told["user_code"], "answer": answer}
    found = await person.post("/device/answer", form=form)
    page = await found.get_data(as_text=True)
    return found.status_code, page, found.headers.get("Refresh", "")


@pytest.fixture
def machine(portal: Portal) -> Client:
    """A command line at a portal with an issuer, which these tests do not ask."""
    issuer = OpenIdIssuer(
        "http://127.0.0.1:9", "dss", "secret", "http://127.0.0.1:8080/api/oauth2cb"
    )
    context.install(portal.app, replace(portal.components, openid=issuer))
    return portal.app.test_client()


@pytest.fixture
async def ann(portal: Portal, machine: Client) -> Client:
    return await portal.user()
