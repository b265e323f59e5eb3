import pytest
from tortoise.context import TortoiseContext
from tortoise.migrations.autodetector import MigrationAutodetector
from tortoise.transactions import in_transaction

from dss_portal import database
from dss_portal.accounts import store as accounts
from dss_portal.models import Tier

pytestmark = pytest.mark.stack


async def test_the_migrations_say_what_the_models_say(database_url: str) -> None:
    found = database.config(database_url)
    async with TortoiseContext() as context:
        await context.init(config=found)
        assert context.apps is not None

        changes = await MigrationAutodetector(context.apps, found["apps"]).changes()  # type: ignore[arg-type]

    assert [change.name for change in changes] == []


async def test_a_second_migration_has_nothing_to_do(database_url: str) -> None:
    assert await database.migrate_to_latest(database_url) == []


async def test_a_migrated_database_is_current(database_url: str) -> None:
    async with database.connected(database_url):
        assert await database.is_current()


async def test_a_database_that_lacks_a_migration_is_not_current(database_url: str) -> None:
    async with database.connected(database_url):
        async with in_transaction() as connection:
            await connection.execute_query("DELETE FROM tortoise_migrations")

        assert not await database.is_current()


async def test_the_tiers_of_the_old_system_are_there(database_url: str) -> None:
    async with database.connected(database_url):
        await accounts.make_tiers()
        found = {tier.name: tier.max_tickets for tier in await Tier.all()}

    assert found == {"guest": 10, "poweruser": 60, "xnat": 100_000}
