"""A notification whose portal is killed while it is sent."""

from pathlib import Path

import pytest

from support.receivers import http_receiver
from support.sites import ROOT, Site, claim, finish, new_ticket, serve
from support.stacks import Stack
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]

SERVICE = "told-lungs"


def test_a_notification_of_a_portal_that_was_killed_comes_again_with_the_same_key(
    own_stack: Stack, tmp_path: Path
) -> None:
    own_stack.settings["DSS_NOTIFY_NETWORKS"] = "127.0.0.1/32"
    own_stack.start("portal")
    wait_until(own_stack.portal_ready, 60, own_stack.logs)
    site = Site(stack=own_stack)
    with (
        http_receiver() as receiver,
        site.program(ROOT, "--sysadmin") as root,
        site.program("jane@example.com") as jane,
        site.program("told@example.com") as provider,
    ):
        serve(site, root, tmp_path, SERVICE)
        site.sql(
            "INSERT INTO notification_channel (user_id, kind, address) "
            "SELECT id, 'ntfy', $1 FROM user_account WHERE email = 'jane@example.com'",
            receiver.url,
        )
        number = new_ticket(jane, SERVICE)
        assert claim(provider, "told", SERVICE) == number
        receiver.delay_s = 10
        finish(provider, number, "failed")
        wait_until(lambda: len(receiver.asked) == 1)

        own_stack.kill("portal")
        receiver.delay_s = 0
        site.sql("UPDATE notification SET taken_until = now()")  # as if its lease were over
        own_stack.start_one("portal")

        wait_until(lambda: len(receiver.asked) == 2, 60, own_stack.logs)
        wait_until(lambda: site.sql("SELECT 1 FROM notification") == [])
    first, second = receiver.keys()
    assert first == second
