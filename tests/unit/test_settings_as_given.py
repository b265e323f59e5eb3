"""What an operator writes into the environment is understood, or refused with a sentence, before anything starts."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from dss_broker.settings import problems
from dss_dispatch.errors import ServiceInvalid
from dss_dispatch.service import builtin_services, load_service
from dss_dispatch.settings import Settings as DispatchSettings
from dss_dispatch.settings import service_url
from dss_inference.bundle_catalogue import installed_in
from dss_inference.settings import DeviceSettings
from dss_inference.settings import Settings as WorkerSettings
from dss_portal.settings import Settings as PortalSettings

EXAMPLE = Path(__file__).parents[2] / "infra/env.example"
PROGRAMS = (PortalSettings, DispatchSettings, WorkerSettings)


def _example(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in re.findall(
        r"^([A-Z_]+)=([^#\n]*)", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE
    ):
        monkeypatch.setenv(name, value.strip())
    monkeypatch.setenv("DSS_SECRET_KEY", "0123456789abcdef0123456789abcdef")


@pytest.mark.parametrize("kind", PROGRAMS)
def test_the_example_is_read_as_it_stands(
    monkeypatch: pytest.MonkeyPatch, kind: type[PortalSettings]
) -> None:
    _example(monkeypatch)

    assert kind().datastore == Path("/srv/dss/datastore")


def test_a_blank_folder_is_none_and_not_the_one_in_which_the_program_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _example(monkeypatch)

    assert DispatchSettings().service_changes is None
    assert WorkerSettings().bundles is None


@pytest.mark.parametrize("kind", PROGRAMS)
def test_a_blank_datastore_is_missing(
    monkeypatch: pytest.MonkeyPatch, kind: type[PortalSettings]
) -> None:
    _example(monkeypatch)
    monkeypatch.setenv("DSS_DATASTORE", "")

    with pytest.raises(ValidationError) as refused:
        kind()

    assert problems(refused.value)[0].startswith("DSS_DATASTORE: ")


def test_a_device_that_is_none_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSS_DEVICE", "tpu")

    with pytest.raises(ValidationError, match="'tpu' is neither auto, cpu nor cuda:N"):
        DeviceSettings()


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:11"])
def test_devices_of_torch_are_taken(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setenv("DSS_DEVICE", device)

    assert DeviceSettings().device == device


@pytest.mark.parametrize(
    "url", ["worker:8080", "http://[::1", "http://h:99999", "http:///x", "http://a b/", "ftp://h"]
)
def test_the_address_of_a_server_for_inference_is_one(url: str) -> None:
    with pytest.raises(ValueError, match="an address like http://worker:8080 is needed"):
        service_url("lung", {"LUNG_SERVICE_URL": url})


@pytest.mark.parametrize("url", ["", "http://worker:8080", "https://[::1]:8080/path"])
def test_good_addresses_of_servers_are_taken(url: str) -> None:
    assert service_url("lung", {"LUNG_SERVICE_URL": url}) == url


def test_changes_in_a_folder_that_is_not_there_are_not_forgotten(tmp_path: Path) -> None:
    folder = builtin_services()["lung-segmentation"]

    with pytest.raises(ServiceInvalid, match="DSS_SERVICE_CHANGES: there is no folder"):
        load_service(folder, tmp_path / "none")


def test_bundles_in_a_folder_that_is_not_there_are_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert installed_in(tmp_path / "none") == {}

    assert [record.getMessage() for record in caplog.records] == ["no folder of bundles"]


SITE = {
    "DSS_AMQP_URL": "amqp://user:password@rabbit:5672/dss",
    "DSS_DATABASE_URL": "postgres://user:password@postgres/dss",
    "DSS_DATASTORE": "/srv/dss",
    "DSS_SECRET_KEY": "k" * 32,
}
MAIL = {"DSS_SMTP_HOST": "mail", "DSS_SMTP_FROM": "dss@site.example"}
OTHERS = {
    "DSS_OIDC_ISSUER": {"DSS_OIDC_CLIENT_ID": "dss", "DSS_OIDC_CLIENT_SECRET": "s"},
    "DSS_SMTP_HOST": {"DSS_SMTP_FROM": "dss@site.example"},
}
"""What belongs to a setting."""

MANY = str(10**21)
NUMBERS = [
    (kind, f"DSS_{name.upper()}")
    for kind in PROGRAMS
    for name, field in kind.model_fields.items()
    if field.annotation in {int, float} and not name.endswith("_per_minute")
]


def _told(
    monkeypatch: pytest.MonkeyPatch, kind: type[PortalSettings], settings: dict[str, str]
) -> list[str]:
    for name, value in {**SITE, **settings}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as refused:
        kind()
    return problems(refused.value)


@pytest.mark.parametrize("value", ["inf", "nan", MANY, "-1", "5s", " "])
@pytest.mark.parametrize(("kind", "setting"), NUMBERS)
def test_a_number_that_no_program_can_use_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: type[PortalSettings], setting: str, value: str
) -> None:
    (line,) = _told(monkeypatch, kind, {setting: value})

    assert line.startswith(f"{setting}: ")


@pytest.mark.parametrize("host", ["..", "a" * 64, "[::1", "a b"])
@pytest.mark.parametrize(
    ("kind", "setting", "form"),
    [
        *((kind, "DSS_METRICS_BIND", "{}:9100") for kind in PROGRAMS),
        *((kind, "DSS_AMQP_URL", "amqp://{}:5672/dss") for kind in PROGRAMS),
        *((kind, "DSS_S3_ENDPOINT", "https://{}") for kind in PROGRAMS),
        (PortalSettings, "DSS_BIND", "{}:8080"),
        (PortalSettings, "DSS_PUBLIC_URL", "https://{}:443"),
        (PortalSettings, "DSS_OIDC_ISSUER", "https://{}:443"),
        (PortalSettings, "DSS_SMTP_HOST", "{}"),
        (WorkerSettings, "DSS_FACADE_BIND", "{}:8080"),
    ],
)
def test_a_host_that_cannot_be_looked_up_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: type[PortalSettings], setting: str, form: str, host: str
) -> None:
    (line,) = _told(monkeypatch, kind, {**OTHERS.get(setting, {}), setting: form.format(host)})

    assert line.startswith(f"{setting}: ")


@pytest.mark.parametrize("host", ["..", "a" * 64, "a b"])
def test_a_host_of_the_database_that_cannot_be_looked_up_is_refused(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    (line,) = _told(
        monkeypatch, PortalSettings, {"DSS_DATABASE_URL": f"postgres://u:p@{host}:5432/dss"}
    )

    assert line.startswith("DSS_DATABASE_URL: ")


@pytest.mark.parametrize("setting", ["DSS_SECRET_KEY", "DSS_DATABASE_URL"])
def test_a_secret_of_white_space_is_none(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    assert _told(monkeypatch, PortalSettings, {setting: " \t"}) == [f"{setting}: it is blank"]


@pytest.mark.parametrize(
    ("key", "found"),
    [("x", "1 character"), ("k" * 31, "31 characters"), (f"  {'k' * 31}\t", "31 characters")],
)
def test_a_key_that_could_be_guessed_is_refused_with_how_to_make_one(
    monkeypatch: pytest.MonkeyPatch, key: str, found: str
) -> None:
    (line,) = _told(monkeypatch, PortalSettings, {"DSS_SECRET_KEY": key})

    assert line == (
        f"DSS_SECRET_KEY: it has {found}, and at least 32 are needed, which nobody can guess; "
        "`openssl rand -hex 24` makes 48. All users sign in again after a change"
    )


FILES = [
    *((kind, "DSS_S3_CA_FILE") for kind in PROGRAMS),
    *((PortalSettings, f"DSS_{name}_FILE") for name in ("SMTP_CA", "SMTP_PASSWORD")),
    *((PortalSettings, f"DSS_{name}_FILE") for name in ("GIT_CA", "GIT_CREDENTIALS")),
]


@pytest.mark.parametrize(("kind", "setting"), FILES)
@pytest.mark.parametrize("path", ["/", "/none", "/" + "a" * 300, "/etc/hostname/x"])
def test_a_file_that_cannot_be_read_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: type[PortalSettings], setting: str, path: str
) -> None:
    (line,) = _told(
        monkeypatch, kind, {**MAIL, "DSS_SMTP_USER": "dss", **_mail_password(setting, path)}
    )

    assert line.startswith(f"{setting}: ")


def _mail_password(setting: str, path: str) -> dict[str, str]:
    """``setting`` with ``path``; and the mail server's password in a file that can be read, if ``setting`` is another."""
    return {"DSS_SMTP_PASSWORD_FILE": str(EXAMPLE), setting: path}


@pytest.mark.parametrize(("kind", "setting"), [f for f in FILES if f[1].endswith("_CA_FILE")])
def test_a_file_without_certificates_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: type[PortalSettings], setting: str
) -> None:
    (line,) = _told(monkeypatch, kind, {**MAIL, setting: str(EXAMPLE)})

    assert line == f"{setting}: {EXAMPLE} holds no certificate (PEM)"


def test_blanks_between_the_schemes_of_git_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    _example(monkeypatch)
    monkeypatch.setenv("DSS_GIT_SCHEMES", "https, ssh")

    assert PortalSettings().git_schemes == "https,ssh"


@pytest.mark.parametrize("schemes", ["https://", "https ssh", "ext", ",", "HTTPS"])
def test_a_scheme_that_git_has_not_is_refused(
    monkeypatch: pytest.MonkeyPatch, schemes: str
) -> None:
    (line,) = _told(monkeypatch, PortalSettings, {"DSS_GIT_SCHEMES": schemes})

    assert line.startswith("DSS_GIT_SCHEMES: ")
