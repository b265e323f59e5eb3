"""Programs warn of a misspelt setting, but not of a setting of another program."""

import pytest

from dss_broker.reading_settings import misspelt, read_settings
from dss_portal.settings import DatabaseSettings
from dss_portal.settings import Settings as PortalSettings
from support.setting_classes import COMPOSE, KINDS


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("DSS_MAX_UPLOAD_BYTE", "DSS_MAX_UPLOAD_BYTES"),
        ("DSS_NOTIFY_NETWORK", "DSS_NOTIFY_NETWORKS"),
        ("DSS_TRUSTED_PROXYS", "DSS_TRUSTED_PROXIES"),
        ("DSS_SMTP_PASWORD_FILE", "DSS_SMTP_PASSWORD_FILE"),
        ("dss_public_ulr", "DSS_PUBLIC_URL"),
    ],
)
def test_a_misspelt_setting_is_told(given: str, meant: str) -> None:
    assert misspelt([given, "PATH"], PortalSettings) == [
        f"{given} is no setting and has no effect; did you mean {meant}?"
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_settings_of_other_programs_and_of_compose_are_left_alone(
    kind: type[PortalSettings],
) -> None:
    names = [f"DSS_{field.upper()}" for each in KINDS for field in each.model_fields]
    names += [f"dss_{field}" for field in kind.model_fields]  # small letters count as well
    others = ["DSS_TOKEN", "DSS_SERVER", *COMPOSE]

    assert misspelt([*names, *(f"{name}_FILE" for name in names), *others], kind) == []


def test_the_warning_comes_before_the_settings_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DSS_DATABASE_URL", raising=False)
    monkeypatch.setenv("DSS_DATABASE_URLS", "postgres://nobody@127.0.0.1/none")

    with pytest.raises(SystemExit, match="2"):
        read_settings(DatabaseSettings)

    first, second = capsys.readouterr().err.splitlines()
    assert (
        first == "DSS_DATABASE_URLS is no setting and has no effect; did you mean DSS_DATABASE_URL?"
    )
    assert second.startswith("DSS_DATABASE_URL: this setting is needed")
