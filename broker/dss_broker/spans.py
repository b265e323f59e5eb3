"""Begins the spans for publishing and handling messages, by OpenTelemetry's semantic conventions for messaging."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from dss_broker.envelope import Envelope
from dss_broker.topology import REPLY_EXCHANGE
from dss_observability import tracing
from dss_observability.tracing import TRACEPARENT, Span, SpanKind


def begin_publish_span(envelope: Envelope, exchange: str, key: str) -> tuple[Envelope, Span]:
    """Begin a span for the publishing of ``envelope``.

    Returns the envelope with the span's traceparent as a header, and the span.  The caller must end the span when the
    broker has stored the message.
    """
    # Span names must have few values, so they leave out the reply queue of each process.
    where = exchange if exchange == REPLY_EXCHANGE else f"{exchange}:{key}"
    attributes = _attributes(envelope, "publish", "send", where) | {
        "messaging.rabbitmq.destination.routing_key": key
    }
    span = tracing.begin(
        f"publish {where}",
        kind=SpanKind.PRODUCER,
        parent=envelope.traceparent,
        attributes=attributes,
    )
    if span.traceparent is None:
        return envelope, span
    return replace(envelope, headers={**envelope.headers, TRACEPARENT: span.traceparent}), span


@contextmanager
def process_span(envelope: Envelope, queue: str) -> Iterator[Span]:
    """A context with a span, in the sender's trace, for the handling of ``envelope``, which came from ``queue``."""
    attributes = _attributes(envelope, "process", "process", queue)
    with (
        tracing.in_span_of(envelope.traceparent),
        tracing.span(f"process {queue}", kind=SpanKind.CONSUMER, attributes=attributes) as span,
    ):
        yield span


def _attributes(envelope: Envelope, name: str, kind: str, where: str) -> dict[str, str | int]:
    conversation = envelope.correlation_id
    return {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": where,
        "messaging.message.id": envelope.message_id,
        "messaging.message.body.size": len(envelope.body),
        "dss.message": envelope.type_name or "",
        **({"messaging.message.conversation_id": conversation} if conversation else {}),
    }
