import pytest

from dss_portal.database.server_version import too_old


@pytest.mark.parametrize("number", [130000, 150014, 170002, 200001])
def test_a_postgresql_from_13_on_is_taken(number: int) -> None:
    assert too_old(number) == ""


@pytest.mark.parametrize(
    ("number", "version"), [(120022, "12.22"), (100005, "10.5"), (90624, "9.6.24")]
)
def test_an_older_one_is_named_as_its_makers_name_it(number: int, version: str) -> None:
    assert too_old(number) == (
        f"DSS_DATABASE_URL leads to PostgreSQL {version}, which is too old: PostgreSQL 13 or newer is needed."
    )
