import pytest

from dss_observability import metrics
from dss_observability.serving import TOO_SLOW, serve_health
from support import loopback
from support.stacks import free_port


def test_what_is_missing_is_told_with_503() -> None:
    bind = f"127.0.0.1:{free_port()}"
    end = serve_health(bind, lambda: ["The broker is away.", "The disk is full."])
    try:
        answer = loopback.get(f"http://{bind}/readyz")

        assert (answer.status_code, answer.text) == (503, "The broker is away.\nThe disk is full.")
        assert loopback.get(f"http://{bind}/healthz").text == "ok"
        assert loopback.get(f"http://{bind}/other").status_code == 404
    finally:
        end()


@pytest.mark.parametrize("host", ["[::1]", "[::]"])
def test_an_address_of_ipv6_is_served(host: str) -> None:
    port = free_port()
    end = serve_health(f"{host}:{port}", list)
    try:
        assert loopback.get(f"http://[::1]:{port}/readyz").text == "ok"
    finally:
        end()


def test_metrics_are_served_with_their_meaning() -> None:
    bind = f"127.0.0.1:{free_port()}"
    end = serve_health(bind, list)
    try:
        text = loopback.get(f"http://{bind}/metrics").text

        assert metrics.OUTBOX_MESSAGES
        assert "# HELP dss_outbox_messages Messages that wait for the broker." in text
    finally:
        end()


def test_readiness_is_a_number_too() -> None:
    found = ["The broker is away."]
    bind = f"127.0.0.1:{free_port()}"
    end = serve_health(bind, lambda: found)
    try:
        assert "\ndss_ready 0.0\n" in loopback.get(f"http://{bind}/metrics").text
        found.clear()
        assert "\ndss_ready 1.0\n" in loopback.get(f"http://{bind}/metrics").text
    finally:
        end()


@pytest.mark.parametrize("error", [TimeoutError, ZeroDivisionError])
def test_a_question_that_breaks_is_not_ready_and_spoils_no_page(error: type[Exception]) -> None:
    def breaks() -> list[str]:
        raise error

    bind = f"127.0.0.1:{free_port()}"
    end = serve_health(bind, breaks)
    try:
        assert loopback.get(f"http://{bind}/readyz").status_code == 503
        assert "\ndss_ready 0.0\n" in loopback.get(f"http://{bind}/metrics").text
    finally:
        end()


def test_a_question_that_takes_too_long_is_told_by_a_sentence_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def breaks() -> list[str]:
        raise TimeoutError

    bind = f"127.0.0.1:{free_port()}"
    end = serve_health(bind, breaks)
    try:
        assert loopback.get(f"http://{bind}/readyz").text == TOO_SLOW
    finally:
        end()
    assert [record.exc_info for record in caplog.records if record.levelname == "WARNING"] == [None]


def test_a_blank_address_serves_nothing() -> None:
    serve_health("", list)()


def test_a_taken_address_is_an_error() -> None:
    bind = f"127.0.0.1:{free_port()}"
    end = serve_health(bind, list)
    try:
        with pytest.raises(OSError, match="in use"):
            serve_health(bind, list)
    finally:
        end()
