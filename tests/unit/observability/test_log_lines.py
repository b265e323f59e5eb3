"""What a line of the log says besides its text."""

import json
import logging
import threading
from collections.abc import Iterator

import pytest

from dss_observability import logs, tracing
from dss_observability.logs import add_log_facts, configure_logging, log_facts, without_file_names

log = logging.getLogger("test.lines")
PATH = "/srv/tickets/00000007/input/Müller Hans 1951.nii.gz"


@pytest.fixture
def _logging() -> Iterator[None]:
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    logs._log_facts.set(None)  # whatever an earlier test was about
    yield
    root.handlers[:], root.level = kept, level


def written(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    line: dict[str, object] = json.loads(capsys.readouterr().err)
    return line


@pytest.mark.usefixtures("_logging")
def test_a_line_is_about_what_the_block_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("test", json_lines=True)

    with log_facts(ticket=7, claim=None):
        add_log_facts(claim="c")
        log.info("found", extra={"claim": None, "count": 2})

    line = written(capsys)
    assert (line["ticket"], line["claim"], line["count"]) == (7, "c", 2)
    log.info("after")
    assert "ticket" not in written(capsys)


@pytest.mark.usefixtures("_logging")
def test_another_thread_is_about_something_else(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("test", json_lines=True)

    with log_facts(ticket=7), tracing.in_span_of("00-" + "a" * 32 + "-" + "b" * 16 + "-01"):
        thread = threading.Thread(target=log.info, args=("elsewhere",))
        thread.start()
        thread.join()

    assert {"ticket", "trace"}.isdisjoint(written(capsys))


@pytest.mark.usefixtures("_logging")
@pytest.mark.parametrize("json_lines", [True, False])
def test_a_trace_does_not_name_a_user_s_file(
    capsys: pytest.CaptureFixture[str], *, json_lines: bool
) -> None:
    configure_logging("test", json_lines=json_lines)

    try:
        raise OSError(28, "No space left on device", PATH)
    except OSError as error:
        log.exception("not written", extra={"reason": repr(error), "where": PATH})

    text = capsys.readouterr().err
    assert "No space left on device" in text
    assert "ller" not in text


def test_only_the_name_that_a_user_gave_is_left_out() -> None:
    assert without_file_names(f"No such file: '{PATH}'") == (
        "No such file: '/srv/tickets/00000007/input/(a file)'"
    )
    assert without_file_names("/srv/services/abc/service.json") == "/srv/services/abc/service.json"
