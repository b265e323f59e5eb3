"""Requests of a machine that signs in, and of the person who allows it."""

import json
import re

from quart.typing import TestClientProtocol as Client

from support.portals import post, text

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
