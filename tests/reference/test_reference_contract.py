"""Ours and the reference server are asked the same, and answer the same but for what is listed here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from reference.account_steps import LEAVING, RULES, SIGNING_IN
from reference.admin_steps import CLEARING, ENROLLING
from reference.conversation import Answer, Conversation, Step
from reference.provider_steps import CLAIMING, FINDING, FINISHING, WORKING
from reference.ticket_steps import DELETING, SUBMITTING, WAITING
from support import reference_server
from support.sites import Site

pytestmark = pytest.mark.stack

STEPS: tuple[Step, ...] = (
    *SIGNING_IN,
    *RULES,
    *ENROLLING,
    *FINDING,
    *SUBMITTING,
    *WAITING,
    *DELETING,
    *CLAIMING,
    *WORKING,
    *FINISHING,
    *CLEARING,
    *LEAVING,
)

PEOPLE = ("root", "pat", "ann", "bob")  # enrolled in this order, so that their numbers agree


@dataclass(frozen=True)
class Ours:
    """What we answer instead, and the number of section 0 of the contract that permits it."""

    number: int
    status: int
    body: str


MISSING = "Missing '{}' parameter"
NO_FORM = "The multipart form names no boundary."

DIFFERENCES: Mapping[str, Ours] = {
    "no token is sent": Ours(1, 400, MISSING.format("token")),
    "no code comes back from the issuer": Ours(
        1, 400, "This sign-in was not begun here, or it took too long. Begin again."
    ),
    "a form that is no UTF-8": Ours(1, 400, "The form is not UTF-8 text."),
    "a multipart form without a boundary": Ours(1, 400, "The multipart form names no boundary."),
    "a provider without a name": Ours(1, 400, MISSING.format("name")),
    "a user without an address": Ours(1, 400, MISSING.format("email")),
    "a user with odd rights": Ours(1, 400, "'admin' must be 0 or 1, not 'yes'."),
    "a repository without a descriptor": Ours(
        1, 400, "Error parsing service.json file: the repository has no such file at its top."
    ),
    "a descriptor without a name": Ours(
        1,
        400,
        "Error parsing service.json file: name: is needed.",
    ),
    "a service without a repository": Ours(1, 400, MISSING.format("repo")),
    "a service of nobody": Ours(1, 400, "There is no provider nobody."),
    "claims are not listed": Ours(1, 405, "method not allowed"),
    "a stranger without a list": Ours(1, 401, "You are not logged in!"),
    "a claim of nobody": Ours(1, 400, MISSING.format("provider")),
    "a claim of another": Ours(11, 400, "Provider lab_2 is not one of yours."),
    "statistics of the unknown": Ours(1, 400, "Service abc is not available"),
    "a file that is only a field": Ours(1, 400, NO_FORM),
    "a file that begins with a dot": Ours(
        5, 400, "A file needs a name that does not begin with a dot, not '.a'."
    ),
    "a file without a name": Ours(
        1, 400, "A file needs a name that does not begin with a dot, not '..'."
    ),
    "one ticket too many": Ours(
        7,
        400,
        "Maximum allowed number of open tickets (10) exceeded. These count: "
        + ", ".join(f"{number} (init)" for number in range(3, 13))
        + ". Delete those that you do not need, or wait until they are done.",
    ),
    "the order of files": Ours(5, 200, "0,b\r\n1,a\r\n"),
    "a download in part": Ours(14, 206, "vo"),
    "a download of nothing": Ours(1, 400, "Ticket 1 has no file 99 in its input area"),
    "no status": Ours(1, 400, MISSING.format("status")),
    "a sysadmin reads no ticket": Ours(1, 400, "Ticket 99 not found for user 1"),
    "a sysadmin reads no detail": Ours(1, 400, "Ticket 99 not found for user 1"),
    "the log since no number": Ours(1, 400, "'since' must be a whole number, not 'x'."),
    "an input file that is not there": Ours(1, 400, "Ticket 1 has no file 99 in its input area"),
    "a progress that is no number": Ours(
        1, 400, "'progress' must be a number from 0 to 1, not 'x'."
    ),
    "a progress of nothing": Ours(1, 400, MISSING.format("chunk_start")),
    "a line of the kind log": Ours(1, 404, "not found"),
    "a line without words": Ours(1, 400, MISSING.format("message")),
    "an attachment without a description": Ours(1, 400, MISSING.format("desc")),
    "an attachment without a file": Ours(1, 400, NO_FORM),
    "an unknown short blob": Ours(8, 404, "not found"),
    "a result that is no file": Ours(1, 400, NO_FORM),
    "no provider's status": Ours(1, 400, MISSING.format("status")),
    "its progress begins anew": Ours(12, 200, "0.0"),
    "a line after the end": Ours(3, 400, "Ticket 1 has not been claimed by user 2"),
    "a blob of a deleted ticket": Ours(1, 400, "Resource ID not found"),
    "a purge after no number": Ours(1, 400, "'days' must be a number, not 'x'."),
    "no ticket for what has gone": Ours(11, 400, "Service HASH is not available"),
    "a name that no address can hold": Ours(
        1, 400, "A provider's name consists of letters, digits, '_' and '-', 78 at most; not ''."
    ),
    "a doubled slash": Ours(15, 200, "logged in as ann@example.com \n"),
    "a sysadmin tries a success again": Ours(3, 400, "Ticket 1 not found for user 1"),
    "HEAD deletes nothing": Ours(9, 405, ""),
    # The picture of a result is one more line of a log, so later lines have higher numbers.
    "what is tried again waits": Ours(
        17,
        200,
        '{"result": {"status": "ready", "progress": 0.0, "queue_position": 1, "log": ['
        '{"id": 2, "atime": TIME, "category": "info", "attachments": [], '
        '"message": "Ticket received and queued for processing"}, '
        '{"id": 4, "atime": TIME, "category": "info", "attachments": [], '
        '"message": "Ticket claimed by provider hospital instance gpu, 1"}, '
        '{"id": 13, "atime": TIME, "category": "info", "attachments": [], '
        '"message": "Retrying ticket"}]}}',
    ),
}


@dataclass(frozen=True, kw_only=True)
class Both:
    """The answers of the two servers to every step."""

    theirs: Mapping[str, Answer]
    ours: Mapping[str, Answer]


@pytest.fixture(scope="module")
def both(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """The whole conversation, held once with each server."""
    repositories = _repositories(tmp_path_factory.mktemp("repositories"))
    ours = {f"{name}_token": _enrolled(site, name) for name in PEOPLE}
    folder = tmp_path_factory.mktemp("reference")
    theirs = {f"{name}_token": f"{number:048x}" for number, name in enumerate(PEOPLE, start=10)}
    with reference_server.running(reference_server.installed(), folder, one_user=False) as address:
        for name in PEOPLE:
            token, email = theirs[f"{name}_token"], f"{name}@example.com"
            reference_server.enroll(folder, email, token, sysadmin=name == "root")
        yield Both(
            theirs=_held(address, {**repositories, **theirs}),
            ours=_held(site.url, {**repositories, **ours}),
        )


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.fact.replace(" ", "_"))
def test_our_answer_is_the_reference_s_or_permitted(step: Step, both: Both) -> None:
    theirs, ours = both.theirs[step.fact], both.ours[step.fact]
    permitted = DIFFERENCES.get(step.fact)

    if permitted is None:
        assert (ours.status, ours.body) == (theirs.status, theirs.body)
        assert ours.headers == theirs.headers
        assert ours.length is not None or theirs.length is None
    else:
        assert (ours.status, ours.body) == (permitted.status, permitted.body)
        assert (ours.status, ours.body) != (theirs.status, theirs.body), "it is no difference"


def test_every_difference_belongs_to_a_step_and_a_number() -> None:
    assert {step.fact for step in STEPS} >= set(DIFFERENCES)
    assert all(1 <= difference.number <= 17 for difference in DIFFERENCES.values())


def test_every_fact_is_asked_for_once() -> None:
    assert len({step.fact for step in STEPS}) == len(STEPS)


def _held(address: str, kept: Mapping[str, str]) -> Mapping[str, Answer]:
    conversation = Conversation(address, kept)
    try:
        return conversation.hold(STEPS)
    finally:
        conversation.close()


def _enrolled(site: Site, name: str) -> str:
    options = ["--sysadmin"] if name == "root" else []
    return site.stack.token(f"{name}@example.com", *options)


def _repositories(folder: Path) -> dict[str, str]:
    service = reference_server.SERVICE
    nameless = {key: value for key, value in service.items() if key != "name"}
    descriptors = {"": service, "twin_": {**service, "longdesc": "Another."}, "nameless_": nameless}
    for name, descriptor in descriptors.items():
        reference_server.commit(folder / f"{name}repository", descriptor)
    reference_server.commit(folder / "empty_repository", {}, name="other.json")
    return {
        f"{name}repository": f"file://{folder}/{name}repository"
        for name in (*descriptors, "empty_")
    }
