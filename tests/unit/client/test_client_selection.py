"""Which service is taken, and which tags one image can have."""

import pytest

from dss_client.errors import ServiceUnfit
from dss_client.records import ServiceDetail, ServiceRow, Tag, decode
from dss_client.selection import choose_service
from dss_submission.needs import main_image_tags, require_tags


def row(name: str, version: str) -> ServiceRow:
    return ServiceRow(name=name, version=version, githash=f"hash {version}", shortdesc="")


ROWS = [row("lungs", "1.10.0"), row("lungs", "1.9.0"), row("nodules", "1.0.0")]


def test_the_newest_version_of_a_name_is_taken() -> None:
    assert choose_service(ROWS, "lungs").version == "1.10.0"


def test_a_hash_names_one_version() -> None:
    assert choose_service(ROWS, "hash 1.9.0").version == "1.9.0"


def test_an_unknown_service_is_told_with_those_that_exist() -> None:
    with pytest.raises(ServiceUnfit, match="no service 'liver'; the server offers lungs, nodules"):
        choose_service(ROWS, "liver")


def test_the_image_gets_each_tag_that_a_main_image_can_have() -> None:
    tags = (
        Tag(name="CT", type="MainImage", required=True),
        Tag(name="Any", type="AnatomicalImage"),
        Tag(name="Point", type="PointLandmark"),
    )

    assert main_image_tags(ServiceDetail(tags=tags)) == ["CT", "Any"]


@pytest.mark.parametrize("kind", ["PointLandmark", "OverlayImage", "AnatomicImage"])
def test_a_service_that_needs_more_than_an_image_is_refused(kind: str) -> None:
    tags = (Tag(name="T1", type=kind, required=True),)

    with pytest.raises(ServiceUnfit, match=rf"needs 'T1' \({kind}\).*--tag T1=FILE"):
        require_tags(ServiceDetail(tags=tags), set())
    require_tags(ServiceDetail(tags=tags), {"T1"})


def test_a_description_may_leave_out_what_itksnap_does_not_need() -> None:
    assert decode(b'{"name": "lungs", "tags": []}', ServiceDetail) == ServiceDetail()
