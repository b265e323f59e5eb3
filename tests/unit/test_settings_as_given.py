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
