"""A publisher compares its service.json with what the portal lists, or says that it could not."""

import json
from pathlib import Path

import pytest

from dss_broker.dispatch_section import Modality
from dss_client.errors import Refused
from dss_provider.folder import ServiceFolder, load
from dss_provider.new_folder import make
from dss_provider.portal import Portal
from dss_provider.serving import Offer, differences

OFFER = Offer(githash="1a", provider="LAB")


class _Answers(Portal):
    """A portal that gives ``texts`` by the path of the request, and refuses other paths."""

    def __init__(self, texts: dict[str, str], status: int) -> None:
        super().__init__("http://127.0.0.1:9", "")
        self._texts, self._status = texts, status

    def _get(self, path: str) -> bytes:
        if path not in self._texts:
            raise Refused(self._status, "no")
        return self._texts[path].encode()


@pytest.fixture
def service(tmp_path: Path) -> ServiceFolder:
    make(tmp_path / "own", Modality.ANY)
    return load(tmp_path / "own")


@pytest.mark.parametrize(
    "path", ["api/pro/services/1a/detail", "api/services/1a/detail"], ids=["now", "earlier release"]
)
def test_other_texts_are_named_and_the_same_ones_are_not(service: ServiceFolder, path: str) -> None:
    same = dict(service.descriptor.published)
    other = same | {"shortdesc": "Lungs"}

    assert differences(service, _Answers({path: json.dumps(same)}, 404), OFFER) == ()
    (warning,) = differences(service, _Answers({path: json.dumps(other)}, 404), OFFER)

    assert "the portal lists own 1.0.0 with another shortdesc than service.json has" in warning


@pytest.mark.parametrize(
    ("texts", "status"),
    [({}, 401), ({}, 404), ({"api/pro/services/1a/detail": "<html>"}, 200)],
)
def test_a_comparison_that_fails_is_said(
    service: ServiceFolder, texts: dict[str, str], status: int
) -> None:
    (warning,) = differences(service, _Answers(texts, status), OFFER)

    assert warning.startswith("Warning: the portal does not tell with which texts it lists own")
