"""The limits of a test's user."""

from datetime import UTC, datetime, timedelta

from dss_portal.models import Tier


def ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


async def allow(**limits: int) -> None:
    await Tier.filter(name="guest").update(**limits)
