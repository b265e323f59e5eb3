"""Odd bytes on the wire: what real clients send is understood, everything else gets a sentence."""

import logging

import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.accounts import store as accounts
from support.portals import Portal, new_ticket, post, text

pytestmark = pytest.mark.stack

MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.fixture
async def client(portal: Portal) -> Client:
    await portal.announce_service()
    return await portal.user()


def part(disposition: str, content: str) -> str:
    return f"--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n"


async def sent(client: Client, *parts: str) -> tuple[int, str]:
    """The answer, and the names of the files that the ticket has then."""
    path = f"/api/tickets/{await new_ticket(client)}/files/input"
    body = "".join(parts) + "--b--\r\n"
    answer = await client.post(path, data=body.encode(), headers=MULTIPART)
    return answer.status_code, await text(client, path)


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        (r'"D:\work\report.txt"', "report.txt"),
        (r'"C:\x\y.nii"', "y.nii"),
        (r'"\\server\share\new\table.nii"', "table.nii"),
        (r'"\\\\server\\share\\a.nii"', "a.nii"),
        ('"../../etc/a.nii"', "a.nii"),
        (r'"a\"b.nii"', '"a""b.nii"'),
        ('"a%22b.nii"', '"a""b.nii"'),
        ('"a;b.nii"', "a;b.nii"),
        ('"é☃.nii"', "é☃.nii"),
        ("plain.nii", "plain.nii"),
        ("\"x.nii\"; filename*=UTF-8''%C3%A9.nii", "é.nii"),
    ],
)
async def test_a_file_keeps_the_last_part_of_its_name(
    client: Client, name: str, stored: str
) -> None:
    assert await sent(client, part(f'name="myfile"; filename={name}', "x")) == (
        200,
        f"0,{stored}\r\n",
    )


async def test_of_two_files_in_one_form_the_last_counts(client: Client) -> None:
    ticket_id = await new_ticket(client)
    path = f"/api/tickets/{ticket_id}/files/input"
    parts = (
        part('name="myfile"; filename="a.nii"', "first"),
        part('name="other"; filename="c.nii"', "nothing"),
        part('name="myfile"; filename="b.nii"', "2nd"),
        part('name="submit"', "send"),
    )

    answer = await client.post(
        path, data=("".join(parts) + "--b--\r\n").encode(), headers=MULTIPART
    )

    assert answer.status_code == 200
    assert await text(client, path) == "0,b.nii\r\n"
    assert await text(client, f"{path}/0") == "2nd"


async def test_a_field_in_place_of_the_last_file_is_no_file(client: Client) -> None:
    parts = (part('name="myfile"; filename="a.nii"', "x"), part('name="myfile"', "text"))

    assert await sent(client, *parts) == (400, "")


@pytest.mark.parametrize(
    "around", [" {} ", '"{}"', "“{}”", "\r\n{}\r\n", "'{}'\t", "\ufeff{}", "{}\u200b"]
)
async def test_a_pasted_token_signs_in(portal: Portal, around: str) -> None:
    token = await accounts.new_login_token(await accounts.save_user("a@example.com"), life_s=60)

    status, _ = await post(portal.app.test_client(), "/api/login", token=around.format(token))

    assert status == 200


async def test_a_request_with_two_lengths_is_refused_and_its_connection_closed(
    portal: Portal,
) -> None:
    headers = {"Content-Length": "9", "Transfer-Encoding": "chunked"}

    answer = await portal.app.test_client().post("/api/login", data=b"token=abc", headers=headers)

    assert (answer.status_code, answer.headers["Connection"]) == (400, "close")
    assert "not both" in await answer.get_data(as_text=True)


async def test_a_refused_value_is_not_logged(
    portal: Portal, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    root = await portal.user("root@example.com", sysadmin=True)
    secret = "patient" * 100
    with caplog.at_level(logging.WARNING):
        answers = [
            await root.post("/api/admin/providers/p/users", form={"email": f"\ud800{secret}"[1:]}),
            await root.get(f"/admin/users?edit=%00{secret}"),
            await root.get(f"/admin/users?find=%00{secret}"),
        ]

    assert all(answer.status_code < 500 for answer in answers)
    records = [r for r in caplog.records if "takes no such value" in r.getMessage()]
    assert records
    assert all(r.exc_info is None and secret not in str(r.__dict__) for r in records)


async def test_odd_bytes_anywhere_are_no_500(portal: Portal, client: Client) -> None:
    ticket = f"/api/tickets/{await new_ticket(client)}"
    odd = (
        "%00",
        "%ff",
        "%ED%A0%80",
        "%F0%9F%98%80",
        "%0d%0a",
        "%",
        "%zz",
        "a" * 5000,
        "1e999",
        "[" * 500,
    )
    paths = [
        *(f"{ticket}/log?since={o}" for o in odd),
        *(f"{ticket}/detail?since={o}&format={o}" for o in odd),
        *(f"/api/oauth2cb?state={o}&code={o}" for o in odd),
        *(f"/tickets/{o}" for o in odd),
        *(f"/services?{o}" for o in odd),
        *(f"/static/{o}" for o in odd),
        *(f"/blobs/{o}" for o in odd),
        *(f"/admintickets?status={o}" for o in odd),
    ]
    for path in paths:
        answer = await client.get(path)
        assert answer.status_code < 500, path[:200]
    for name in (
        "Cookie",
        "Authorization",
        "Content-Type",
        "Origin",
        "Referer",
        "traceparent",
        "Range",
    ):
        for value in (
            "\xff\xfe",
            "bearer \xe9",
            "multipart/form-data; boundary=\xe9",
            "a" * 5000,
            "=",
        ):
            answer = await client.post("/api/login", data=b"token=x", headers={name: value})
            assert answer.status_code < 500, (name, value)


async def test_a_state_that_is_not_ascii_is_refused_in_a_sentence(portal: Portal) -> None:
    client = portal.app.test_client()
    async with client.session_transaction() as session:
        session["openid"] = ["state", "nonce", "verifier"]

    answer = await client.get("/api/oauth2cb?state=%C3%A9&code=x")

    assert answer.status_code == 400
    assert "This sign-in was not begun here" in await answer.get_data(as_text=True)
