import asyncio
import uuid
from datetime import UTC, datetime

import asyncpg
import pytest
from tortoise import Tortoise
from tortoise.context import TortoiseContext
from tortoise.migrations.api import migrate
from tortoise.migrations.autodetector import MigrationAutodetector
from tortoise.transactions import in_transaction

from dss_portal import database
from dss_portal.accounts import store as accounts
from dss_portal.database import schema
from dss_portal.models import (
    ApiToken,
    Claim,
    ProviderAccess,
    ResumableUpload,
    Session,
    Ticket,
    Tier,
    User,
)
from dss_stack.postgres import PostgresCluster

pytestmark = pytest.mark.stack

NEWER = (
    "INSERT INTO tortoise_migrations (app, name, applied_at) VALUES ('portal', '9999_newer', now())"
)


async def test_the_migrations_say_what_the_models_say(database_url: str) -> None:
    found = database.config(database_url)
    async with TortoiseContext() as context:
        await context.init(config=found)
        assert context.apps is not None

        changes = await MigrationAutodetector(context.apps, found["apps"]).changes()  # type: ignore[arg-type]  # tortoise's own hints are narrower than its code

    assert [change.name for change in changes] == []


async def test_a_second_migration_has_nothing_to_do(database_url: str) -> None:
    assert await database.migrate_to_latest(database_url) == []


async def test_a_migrated_database_is_current(database_url: str) -> None:
    async with database.connected(database_url):
        assert await schema.problem() == ""


async def test_a_database_that_lacks_a_migration_is_not_current(database_url: str) -> None:
    async with database.connected(database_url):
        async with in_transaction() as connection:
            await connection.execute_query("DELETE FROM tortoise_migrations")

        assert await schema.problem() == schema.NOT_MIGRATED


async def test_an_older_portal_starts_on_a_schema_that_is_newer(database_url: str) -> None:
    """As `helm rollback` does it: the older program's `migrate` runs first, and undoes nothing."""
    async with database.connected(database_url), in_transaction() as connection:
        await connection.execute_query(NEWER)

    assert await database.migrate_to_latest(database_url) == []

    async with database.connected(database_url):
        assert await schema.problem() == ""
        assert await schema.require_usable() == ["9999_newer"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("ALTER TABLE ticket DROP COLUMN claim_id CASCADE", "ticket.claim_id is missing"),
        ("ALTER TABLE ticket ADD site text NOT NULL", "ticket.site needs a value"),
        ("DROP TABLE opening", "opening.expires_at is missing"),
    ],
)
async def test_a_program_says_if_it_cannot_work_with_a_newer_schema(
    database_url: str, change: str, why: str
) -> None:
    async with database.connected(database_url):
        async with in_transaction() as connection:
            await connection.execute_query(NEWER)
            await connection.execute_query(change)

        with pytest.raises(schema.SchemaTooNew) as told:
            await schema.require_usable()

    assert str(told.value).startswith(f"The database's schema is too new for this program ({why}")
    assert str(told.value).endswith(
        "): install the release that has the migration 9999_newer, or restore a backup from before it."
    )


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE ticket ADD site text",
        "ALTER TABLE ticket ADD site text NOT NULL DEFAULT ''",
        "CREATE TABLE site (name text NOT NULL)",
    ],
)
async def test_a_program_works_with_a_newer_schema_that_asks_nothing_of_it(
    database_url: str, change: str
) -> None:
    async with database.connected(database_url):
        async with in_transaction() as connection:
            await connection.execute_query(NEWER)
            await connection.execute_query(change)

        assert await schema.require_usable() == ["9999_newer"]


async def test_the_tiers_of_the_old_system_are_there(database_url: str) -> None:
    async with database.connected(database_url):
        await accounts.make_tiers()
        found = {tier.name: tier.max_tickets for tier in await Tier.all()}

    assert found == {"guest": 10, "poweruser": 60, "xnat": 100_000}


async def test_an_upgrade_keeps_the_tickets_and_knows_since_when_they_wait(
    postgres: PostgresCluster,
) -> None:
    """From the first schema, with rows as the first program wrote them."""
    base = postgres.database_url.rpartition("/")[0]
    name = f"old_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(f"{base}/postgres")
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        await _migrate_to(f"{base}/{name}", "0001_initial")
        await _fill(f"{base}/{name}")

        assert await database.migrate_to_latest(f"{base}/{name}") == [
            "0002_queue",
            "0003_outbox_trace",
            "0004_claim_order_and_ticket_trace",
            "0005_history_by_time",
            "0006_outbox_tries",
            "0007_uploads",
            "0008_liveness",
            "0009_one_account_for_an_address",
            "0010_service_created",
            "0011_terms_on_record",
            "0012_changes",
            "0013_waiting_index",
            "0014_shown_results",
            "0015_openings",
            "0016_notifications",
            "0017_runs",
            "0018_resumable_uploads",
            "0019_few_statements",
            "0020_machine_sign_ins",
            "0021_provided_uploads",
            "0022_silences",
            "0023_uploads_read",
            "0024_publishers",
            "0025_places_of_files",
            "0026_disabled_users",
            "0027_input_folders",
            "0028_places_of_dispatchers",
            "0029_waiting_columns",
            "0030_outbox_set_aside",
            "0031_ticket_keys",
            "0032_publisher_versions",
            "0033_tallies",
        ]

        async with database.connected(f"{base}/{name}"):
            tickets = {t.status.value: t for t in await Ticket.all()}
            guest = await Tier.get(name="guest")
            assert (guest.priority_minutes, guest.max_files) == (0, 1000)
            assert await schema.problem() == ""
        assert tickets["ready"].queued_at == datetime(2026, 2, 1, tzinfo=UTC)  # the last time
        assert tickets["claimed"].claimed_at == datetime(2026, 3, 2, tzinfo=UTC)
        assert tickets["claimed"].queued_at == datetime(2026, 3, 1, tzinfo=UTC)
        assert (tickets["init"].queued_at, tickets["init"].claimed_at) == (None, None)
    finally:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.close()


async def test_portals_of_before_write_rows_beside_those_of_now(postgres: PostgresCluster) -> None:
    """During a rollout both run; the older ones do not know the newer columns, so the database fills them in."""
    base = postgres.database_url.rpartition("/")[0]
    name = f"old_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(f"{base}/postgres")
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        await _migrate_to(f"{base}/{name}", "0001_initial")
        await _fill(f"{base}/{name}")
        await _migrate_to(f"{base}/{name}", "0019_few_statements")
        await _write_as_before(f"{base}/{name}", "a")

        await database.migrate_to_latest(f"{base}/{name}")
        await _write_as_before(f"{base}/{name}", "b")

        async with database.connected(f"{base}/{name}"):
            claims = await Claim.all()
            uploads = await ResumableUpload.all()
        assert [claim.silence_s for claim in claims] == [0.0, 0.0]
        assert {(u.area, u.claim_id, u.description, u.mime_type) for u in uploads} == {
            ("input", "", "", "")
        }
        assert len(uploads) == 2
    finally:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.close()


_MIGRATION_WAITS = """
SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'ticket_log'::regclass
"""


async def test_a_migration_that_meets_portals_in_a_deadlock_is_tried_again(
    postgres: PostgresCluster,
) -> None:
    """A portal has written a log line and wants the ticket, which the migration has locked before it wants the log."""
    base = postgres.database_url.rpartition("/")[0]
    name = f"busy_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(f"{base}/postgres")
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        await _migrate_to(f"{base}/{name}", "0011_terms_on_record")
        portal = await asyncpg.connect(f"{base}/{name}")
        await portal.execute("SET deadlock_timeout = '20s'")  # so that the migration is ended
        async with asyncio.TaskGroup() as group, portal.transaction():
            await portal.execute("LOCK TABLE ticket_log IN ROW EXCLUSIVE MODE")
            migrating = group.create_task(database.migrate_to_latest(f"{base}/{name}"))
            while not await portal.fetchval(_MIGRATION_WAITS):  # noqa: ASYNC110 - PostgreSQL knows
                await asyncio.sleep(0.01)
            await portal.execute("LOCK TABLE ticket IN ROW EXCLUSIVE MODE")
        await portal.close()

        assert migrating.result()[0] == "0012_changes"
        async with database.connected(f"{base}/{name}"):
            assert await schema.problem() == ""
    finally:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.close()


async def test_two_accounts_of_one_address_become_one(postgres: PostgresCluster) -> None:
    base = postgres.database_url.rpartition("/")[0]
    name = f"twice_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(f"{base}/postgres")
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        await _migrate_to(f"{base}/{name}", "0008_liveness")
        await _fill(f"{base}/{name}")
        await _fill_twice(f"{base}/{name}")

        await database.migrate_to_latest(f"{base}/{name}")

        async with database.connected(f"{base}/{name}"):
            users = {u.email: (u.id, u.sysadmin, u.disabled, u.tier_id) for u in await User.all()}
            assert users == {
                "ann@example.com": (1, True, False, "xnat"),
                "bob@example.com": (4, False, True, "guest"),
                "carl@example.com": (6, False, False, "guest"),
            }
            assert {ticket.user_id for ticket in await Ticket.all()} == {1}
            rights = await ProviderAccess.all().order_by("provider_id")
            assert [(r.provider_id, r.user_id, r.admin) for r in rights] == [
                (1, 1, True),
                (2, 1, False),
            ]
            assert [token.user.id for token in await ApiToken.all().select_related("user")] == [1]
            assert [session.user_id for session in await Session.all()] == [6]
    finally:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.close()


async def _fill_twice(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            """
            INSERT INTO tier (name, max_tickets, max_stored_bytes) VALUES ('xnat', 1000, 1000);
            INSERT INTO user_account (id, email, tier_id, sysadmin, disabled, created_at) VALUES
                (2, 'Ann@example.com', 'xnat', true, false, now()),
                (3, 'ANN@EXAMPLE.com', 'guest', false, false, now()),
                (4, 'Bob@example.com', 'guest', false, false, now()),
                (5, 'bob@example.com', 'guest', false, true, now()),
                (6, 'Carl@Example.com', 'guest', false, false, now());
            INSERT INTO ticket (id, user_id, service_id, status, created_at) VALUES
                (4, 2, 1, 'init', now()), (5, 3, 1, 'ready', now());
            INSERT INTO provider (id, name) VALUES (1, 'lab'), (2, 'other');
            INSERT INTO provider_access (provider_id, user_id, admin) VALUES
                (1, 1, false), (1, 2, true), (2, 3, false);
            INSERT INTO turn (service, user_id, at) VALUES
                ('lung', 1, now()), ('lung', 2, now()), ('heart', 3, now());
            INSERT INTO api_token (sha256, user_id, name, scopes, created_at)
                VALUES ('t', 2, '', 'tickets', now());
            INSERT INTO session (sha256, user_id, created_at) VALUES
                ('a', 1, now()), ('b', 2, now()), ('c', 6, now());
            INSERT INTO login_token (sha256, user_id, expires_at) VALUES ('d', 3, now());
            """
        )
    finally:
        await connection.close()


async def _migrate_to(url: str, step: str) -> None:
    try:
        await migrate(config=database.config(url), app_labels=["portal"], target=f"portal.{step}")
    finally:
        await Tortoise.close_connections()


async def _write_as_before(url: str, key: str) -> None:
    """Rows with the columns of 0019."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            f"""
            INSERT INTO claim (id, ticket_id, provider, instance, granted_at, lease_s, expires_at)
                VALUES ('{key}', 3, 'dss', 'one', now(), 60, now());
            INSERT INTO resumable_upload (id, ticket_id, name, length_bytes, heard_at)
                VALUES ('{key}', 1, 'scan.nii.gz', 9, now());
            """
        )
    finally:
        await connection.close()


async def _fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            """
            INSERT INTO tier (name, max_tickets, max_stored_bytes) VALUES ('guest', 10, 1000);
            INSERT INTO user_account (id, email, tier_id, created_at)
                VALUES (1, 'ann@example.com', 'guest', now());
            INSERT INTO service (id, githash, name, version, shortdesc, descriptor)
                VALUES (1, 'h', 'lung', '1', 'Lungs', '{}');
            INSERT INTO ticket (id, user_id, service_id, status, created_at) VALUES
                (1, 1, 1, 'init', now()), (2, 1, 1, 'ready', now()), (3, 1, 1, 'claimed', now());
            INSERT INTO ticket_history (ticket_id, status, at) VALUES
                (1, 'init', '2026-01-01Z'), (2, 'ready', '2026-01-01Z'),
                (2, 'ready', '2026-02-01Z'), (3, 'ready', '2026-03-01Z'),
                (3, 'claimed', '2026-03-02Z');
            """
        )
    finally:
        await connection.close()
