"""What the database says of a row that it refuses is logged without the row."""

import traceback

import pytest
from tortoise.connection import get_connection
from tortoise.exceptions import IntegrityError

from dss_portal.models import User
from support.portals import Portal, submitted_ticket

pytestmark = pytest.mark.stack

SECRET = "jane.doe@example.com"
WITHOUT_TIME = """
INSERT INTO ticket_log (ticket_id, at, category, message) VALUES ($1, NULL, 'info', $2)
"""


async def test_an_address_that_is_there_already_is_not_logged(portal: Portal) -> None:
    await portal.user(SECRET)

    with pytest.raises(IntegrityError) as caught:
        await User.create(email=SECRET, tier_id="guest")

    assert SECRET not in logged(caught.value)


async def test_a_row_that_breaks_a_rule_is_not_logged(portal: Portal) -> None:
    """PostgreSQL's detail would be the whole row: the sentence for the user."""
    await portal.announce_service()
    ticket_id = await submitted_ticket(await portal.user())

    with pytest.raises(IntegrityError) as caught:
        await get_connection("default").execute_query(WITHOUT_TIME, [ticket_id, SECRET])

    assert SECRET not in logged(caught.value)
    assert "DETAIL" not in logged(caught.value)


def logged(error: Exception) -> str:
    return "".join(traceback.format_exception(error))
