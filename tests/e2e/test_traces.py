"""One trace shows a whole ticket: a real collector gets what the three real programs send."""

from collections.abc import Iterator

import pytest

from dss_client.itksnap import ItkSnap
from dss_client.sending import Sent, send
from dss_inference.device.runner import Runner
from dss_phantom.chest import PhantomSpec, make_phantom
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import loopback
from support.builders import write_image
from support.collector import Collector, Seen, collector
from support.sites import whole_stack
from support.stacks import Stack
from support.waiting import wait_until
from support.watchers import Quiet

pytestmark = [pytest.mark.stack]

SUBMITTED = "POST /api/tickets/<int:ticket_id>/status"
SERVER, PRODUCER, CONSUMER = 2, 4, 5  # of opentelemetry-proto's SpanKind
PATIENT = "mueller-hans-1951.nii.gz"
EMAIL = "ann.trace@example.com"

Trace = dict[str, Seen]


@pytest.fixture(scope="module")
def spans() -> Iterator[Collector]:
    with collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(
    rabbit: RabbitNode,
    postgres: PostgresCluster,
    spans: Collector,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    otel = {"OTEL_EXPORTER_OTLP_ENDPOINT": spans.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with whole_stack(rabbit, postgres, tmp_path_factory.mktemp("traces"), **otel) as stack:
        yield stack


@pytest.fixture(scope="module")
def ticket(traced: Stack, tmp_path_factory: pytest.TempPathFactory) -> Sent:
    folder = tmp_path_factory.mktemp("scan")
    phantom = make_phantom(PhantomSpec(size=(64, 64, 52), spacing_mm=(6, 6, 6)), Runner("cpu"))
    with ItkSnap(traced.url) as client:
        client.login(traced.token(EMAIL))
        scan = write_image(folder / PATIENT, phantom.ct)
        sent = send(client, scan, "lung-segmentation", folder / "results", Quiet())
    assert sent.status == "success", sent.log
    return sent


@pytest.fixture(scope="module")
def trace(spans: Collector, ticket: Sent) -> Trace:
    """Every span of the ticket's one trace, once its success has been handled."""

    def whole() -> Trace:
        roots = [s for s in list(spans.spans) if s.name == SUBMITTED]
        return spans.of(roots[-1].trace) if roots else {}

    def is_over() -> bool:
        handled = [s for s in whole().values() if s.name == "process dss.portal.events"]
        return any(s.attributes["dss.message"] == "ClaimSucceeded" for s in handled) and bool(
            named(whole(), "process dss.dispatch.lung-segmentation")
        )

    wait_until(is_over, 30, lambda: str(sorted({s.name for s in spans.spans})))
    return whole()


def named(trace: Trace, name: str) -> list[Seen]:
    return [span for span in trace.values() if span.name == name]


def one(trace: Trace, name: str) -> Seen:
    (found,) = named(trace, name)
    return found


def above(trace: Trace, span: Seen) -> list[str]:
    """The names from the span to the root."""
    names = [span.name]
    while span.parent:
        span = trace[span.parent]
        names.append(span.name)
    return names


def test_one_trace_reaches_from_the_submission_to_the_success(trace: Trace) -> None:
    success = next(
        span
        for span in named(trace, "process dss.portal.events")
        if span.attributes["dss.message"] == "ClaimSucceeded"
    )

    assert above(trace, success) == [
        "process dss.portal.events",
        "publish dss.tickets:claim.event.ClaimSucceeded",
        "finish",
        "process dss.dispatch.lung-segmentation",
        "publish dss.tickets:ticket.ready.lung-segmentation",
        "outbox",
        SUBMITTED,
    ]


def test_every_span_hangs_on_another_and_takes_its_time(trace: Trace) -> None:
    roots = [span for span in trace.values() if not span.parent]

    assert [root.name for root in roots] == [SUBMITTED]
    assert not [span for span in trace.values() if span.parent and span.parent not in trace]
    assert not [span for span in trace.values() if span.seconds <= 0]
    assert not [span for span in trace.values() if span.failed]


def test_each_program_tells_its_stages(trace: Trace) -> None:
    handled = "process dss.inference.lung-segmentation"
    work = one(trace, handled)
    stages = {s.name for s in trace.values() if s.parent == work.id and s.kind == 1}

    assert {span.service for span in trace.values()} == {
        "dss-portal",
        "dss-dispatch",
        "dss-inference",
    }
    for stage in ("claim", "read", "inference", "build", "finish"):
        found = one(trace, stage)
        assert found.service == "dss-dispatch"
        assert above(trace, found)[1] == "process dss.dispatch.lung-segmentation"
    assert above(trace, work)[1:3] == [
        "publish dss.tickets:inference.run.lung-segmentation",
        "inference",
    ]
    assert {"reading the image", "waiting for the device", "writing the segmentation"} < stages
    assert len(stages) > 4  # the network's, or whatever stands in its place


def test_a_message_is_told_by_who_sends_and_who_handles_it(trace: Trace) -> None:
    asked = one(trace, "process dss.portal.claims")
    request = trace[asked.parent]
    answer = next(s for s in trace.values() if s.parent == asked.id)

    assert (request.kind, request.service) == (PRODUCER, "dss-dispatch")
    assert (asked.kind, asked.service) == (CONSUMER, "dss-portal")
    assert (answer.kind, answer.name) == (PRODUCER, "publish dss.replies")
    assert request.attributes["messaging.system"] == "rabbitmq"
    assert request.attributes["messaging.operation.type"] == "send"
    assert asked.attributes["messaging.operation.type"] == "process"
    assert asked.attributes["messaging.message.id"] == request.attributes["messaging.message.id"]


def test_a_caller_s_own_trace_goes_on(traced: Stack, spans: Collector, ticket: Sent) -> None:
    theirs = "4bf92f3577b34da6a3ce929d0e0e4736"

    headers = {"traceparent": f"00-{theirs}-00f067aa0ba902b7-01"}
    loopback.post(f"{traced.url}/api/login", data={"token": traced.token(EMAIL)}, headers=headers)

    wait_until(lambda: bool(spans.of(theirs)), 20)
    (span,) = spans.of(theirs).values()
    assert (span.name, span.parent, span.kind) == ("POST /api/login", "00f067aa0ba902b7", SERVER)


def test_spans_hold_no_name_of_a_file_or_user_and_no_token(
    traced: Stack, spans: Collector, trace: Trace
) -> None:
    everything = repr(spans.spans)

    for secret in ("mueller", EMAIL, traced.amqp_url, traced.database_url, "k" * 32):
        assert secret not in everything
