"""One conversation held with two servers, and what may differ in their answers."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field

import httpx

from support import loopback

NO_KEEPING = httpx.Limits(max_keepalive_connections=0)
"""The reference server closes some connections without saying so, and a quick client uses them once more."""

HEADERS = (
    "content-type",
    "content-disposition",
    "content-transfer-encoding",
    "allow",
    "location",
)
"""What the contract says about headers.  A length must be there where the reference has one."""


@dataclass(frozen=True)
class Step:
    """One request.  In its texts ``{name}`` stands for what an earlier step kept under that name.

    ``form`` is encoded, ``raw`` is sent as it is; ``keep`` and ``pattern`` say what to remember of
    the answer; in an ``unordered`` answer, an object of JSON may have its members in any order.
    """

    fact: str
    who: str
    request: str
    _: KW_ONLY
    form: Mapping[str, str] | None = None
    file: tuple[str, bytes] | None = None
    raw: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    unordered: bool = False
    keep: str = ""
    pattern: str = "(.*)"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """``headers`` has HEADERS, as far as they were sent, and ``length`` the bytes announced."""

    status: int
    body: str
    headers: Mapping[str, str]
    length: str | None


class Conversation:
    """Holds the sessions of several people with one server, and what was kept."""

    def __init__(self, address: str, kept: Mapping[str, str]) -> None:
        self._address = address
        self._kept = {**kept}
        self._people: dict[str, httpx.Client] = {}

    def hold(self, steps: Iterable[Step]) -> dict[str, Answer]:
        """The answers by the fact that each step is about."""
        return {step.fact: self._take(step) for step in steps}

    def close(self) -> None:
        for person in self._people.values():
            person.close()

    def _take(self, step: Step) -> Answer:
        method, _, path = self._filled(step.request).partition(" ")
        answer = self._person(step.who).request(
            method,
            self._address + path,
            data={k: self._filled(v) for k, v in step.form.items()} if step.form else None,
            files={"myfile": step.file} if step.file else None,
            content=step.raw,
            headers=step.headers,
        )
        if step.keep:
            found = re.search(step.pattern, answer.text)
            assert found, f"{step.fact}: {answer.status_code} {answer.text}"
            self._kept[step.keep] = found[1]
        return self._normal(answer, unordered=step.unordered)

    def _person(self, name: str) -> httpx.Client:
        if name == "nobody":  # a stranger each time
            self._people.pop(name, loopback.client()).close()
        if name not in self._people:
            self._people[name] = loopback.client(timeout=30, limits=NO_KEEPING)
        return self._people[name]

    def _filled(self, text: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda found: self._kept[found[1]], text)

    def _normal(self, answer: httpx.Response, *, unordered: bool) -> Answer:
        length = answer.headers.get("content-length")
        headers = {
            name: self._same(answer.headers[name]) for name in HEADERS if name in answer.headers
        }
        if answer.status_code == httpx.codes.SEE_OTHER:
            headers.pop("content-type", None)  # of an empty body
        body = _in_order(answer.text) if unordered else answer.text
        return Answer(
            status=answer.status_code, body=self._same(body), headers=headers, length=length
        )

    def _same(self, text: str) -> str:
        text = text.replace(self._address, "HOME").replace(self._kept.get("hash", "HASH"), "HASH")
        for pattern, replacement in NORMAL_FORMS:
            text = re.sub(pattern, replacement, text)
        return text


NORMAL_FORMS = (
    (r"\b[0-9a-f]{48}\b", "TOKEN"),
    (r"\b[0-9a-f]{32}\b", "ID"),
    # Section 0, number 8: links have 32 digits, not 8.
    (r"/blobs/[0-9a-f]{8}\b", "/blobs/ID"),
    # Section 0, number 2: the time of a log line is text, not seconds since 1970.
    (r'"atime": (\d{10}|"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")', '"atime": TIME'),
    (r"(?m)^(\d+),(\d{10}|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}),", r"\1,TIME,"),
    # Number 17: an addition that old clients do not read.
    (r'"queue_reason": "[^"]*", ', ""),
    # Both measure durations; a number of seconds stays a number of seconds.
    (r'"(last_heard_from|avg_duration)": [\d.]+', r'"\1": SECONDS'),
    (r"^(\d+,\d+),[\d.]+,(\d+)(\r\n)$", r"\1,SECONDS,\2\3"),
    (r"^(\d+,\d+),[\d.]+,[\d.]+,(\d+)(\r\n)$", r"\1,SECONDS,SECONDS,\2\3"),
)


def _in_order(text: str) -> str:
    return json.dumps(json.loads(text), sort_keys=True)
