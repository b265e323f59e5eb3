"""Addresses of Git repositories that are refused before git is called."""

import pytest

from dss_portal.refusals import Refused
from dss_portal.services import git
from dss_portal.settings import Settings


@pytest.mark.parametrize("address", ["https://[x", "https://[::1", "https://u:p@example.org/r"])
async def test_an_address_that_is_malformed_or_holds_a_password_is_refused(address: str) -> None:
    settings = Settings.model_construct(git_schemes="https,ssh")

    with pytest.raises(Refused) as refused:
        await git.read_file(address, "", "service.json", settings)

    assert refused.value.text.startswith("Error fetching Git repository: ")
