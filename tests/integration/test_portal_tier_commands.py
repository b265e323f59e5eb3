"""``dss-portal tiers``: an operator gives a class of users priority."""

import asyncio

import pytest
from typer.testing import CliRunner

from dss_portal.__main__ import main

pytestmark = pytest.mark.stack


async def run(database_url: str, *arguments: str) -> tuple[int, str]:
    environment = {"DSS_DATABASE_URL": database_url}
    result = await asyncio.to_thread(CliRunner().invoke, main, arguments, env=environment)
    return result.exit_code, result.output


async def test_the_priority_of_a_tier_is_set_and_listed(database_url: str) -> None:
    assert await run(database_url, "tiers", "priority", "poweruser", "30") == (0, "")

    code, listed = await run(database_url, "tiers", "list")

    assert code == 0
    priorities = {line.split("\t")[0]: line.split("\t")[3] for line in listed.splitlines()}
    assert priorities == {"guest": "0", "poweruser": "30", "xnat": "0"}


async def test_a_tier_that_does_not_exist_gets_none(database_url: str) -> None:
    code, said = await run(database_url, "tiers", "priority", "king", "30")

    assert code != 0
    assert "There is no tier 'king'" in said
