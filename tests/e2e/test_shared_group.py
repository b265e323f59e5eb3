"""Programs of three users with one group, as containers of a cluster may be: they share the datastore's files."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from stat import S_IRWXO, S_IWGRP

import pytest

from conftest import missing
from dss_client.itksnap import ItkSnap
from dss_client.sending import send
from dss_datastore.layout import TICKETS
from support.stacks import PROGRAMS, Stack
from support.waiting import wait_until
from support.watchers import Quiet

pytestmark = [pytest.mark.stack]

FIRST_UID = 1000660001
READS_ALL = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
"""The test's Python may lie where nobody but root can see it; this right writes nothing."""


@pytest.fixture
def datastore(own_stack: Stack) -> Iterator[Path]:
    """A volume for a group, as clusters mount it, on which each program is another user."""
    if os.geteuid() != 0:
        missing("Other users take root.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o2770)
        own_stack.settings["DSS_DATASTORE"] = name
        for uid, program in enumerate(PROGRAMS, FIRST_UID):
            identity = (f"--reuid={uid}", "--regid=0", "--clear-groups")
            own_stack.wrappers[program] = ["setpriv", *identity, *READS_ALL]
        yield folder
        own_stack.stop()


def test_a_ticket_is_done_by_programs_of_three_users_and_its_files_stay_in_their_group(
    own_stack: Stack, datastore: Path, scan: Path, tmp_path: Path
) -> None:
    own_stack.start()
    wait_until(lambda: "lung-segmentation" in own_stack.announced(), 90, own_stack.logs)

    with ItkSnap(own_stack.url) as client:
        client.login(own_stack.token("ann@example.com", "--tier", "poweruser"))
        sent = send(client, scan, "lung-segmentation", tmp_path, Quiet())
        files = [*datastore.rglob("*")]
        found = {path: path.stat() for path in files}
        client.delete(sent.ticket)

    assert sent.status == "success", sent.log
    assert {facts.st_uid for facts in found.values()} > {FIRST_UID}
    assert not [
        path for path, facts in found.items() if facts.st_mode & (S_IRWXO | S_IWGRP) != S_IWGRP
    ]
    assert not list((datastore / TICKETS).iterdir())
