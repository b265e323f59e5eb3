"""Without a collector nothing is sent, nothing is loaded, and the trace of others goes on."""

import subprocess
import sys

import pytest

from dss_observability import telemetry, tracing

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SAME_TRACE = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
OTHER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
LOADED = """
import sys, importlib
importlib.import_module(sys.argv[1])
from dss_observability import telemetry
telemetry.start_tracing("test", "1", {})()
print(any(name.startswith("opentelemetry") for name in sys.modules))
"""
HIDDEN = """
import sys
sys.modules["opentelemetry"] = None
from dss_observability import telemetry
telemetry.start_tracing("test", "1", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})()
"""


@pytest.mark.parametrize("program", ["dss_portal", "dss_dispatch", "dss_inference"])
@pytest.mark.slow
def test_no_program_loads_opentelemetry_unless_told_to(program: str) -> None:
    command = [sys.executable, "-c", LOADED, f"{program}.__main__"]

    printed = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout

    assert printed.strip() == "False"


def test_a_missing_extra_is_a_sentence_and_no_end() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN], check=True, capture_output=True, encoding="utf-8"
    )

    assert "the extra 'tracing' is not installed" in done.stderr


@pytest.mark.parametrize(
    ("environment", "is_wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_opentelemetry_s_own_variables_decide(
    environment: dict[str, str],
    is_wanted: bool,
) -> None:
    assert telemetry.is_configured(environment) is is_wanted


def test_a_span_that_nobody_wants_leaves_the_trace_as_it_is() -> None:
    with tracing.in_span_of(GIVEN), tracing.span("read") as span:
        assert tracing.current_traceparent.get() == span.traceparent == GIVEN
        assert tracing.trace_id() == "0af7651916cd43dd8448eb211c80319c"

    assert tracing.trace_id() is None


@pytest.mark.parametrize(
    "sent",
    [None, "", "00-a-b-01", GIVEN + "\r\nx: y", GIVEN.upper(), f"00-{'0' * 32}-{'1' * 16}-01"],
)
def test_what_is_no_traceparent_is_not_carried_on(sent: str | None) -> None:
    assert tracing.valid(sent) is None


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [(None, GIVEN), ("nonsense", GIVEN), (SAME_TRACE, GIVEN), (OTHER, OTHER)],
)
def test_work_stays_below_the_span_in_hand_unless_it_belongs_to_another_trace(
    wanted: str | None, expected: str
) -> None:
    with tracing.in_span_of(GIVEN):
        assert tracing.given_or_current(wanted) == expected
    with tracing.in_span_of(None):
        assert tracing.given_or_current(None) is None


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"},
            "no traces: OTEL_EXPORTER_OTLP_ENDPOINT is no address like http://collector:4318",
        ),
        (
            {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "many"},
            "no traces: OpenTelemetry refuses a variable",
        ),
    ],
)
def test_a_variable_that_opentelemetry_refuses_is_a_sentence_and_no_end(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    settings: dict[str, str],
    sentence: str,
) -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", **settings}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    telemetry.start_tracing("test", "1", environment)()

    assert caplog.messages == [sentence]
