"""Sends spans to an OpenTelemetry collector.  Only this module imports OpenTelemetry; it needs the extra ``tracing``.

Tracing is on if one of OpenTelemetry's own variables names the collector.  The SDK reads all other variables itself,
such as OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER and OTEL_RESOURCE_ATTRIBUTES.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from typing import TYPE_CHECKING

from dss_observability import tracing
from dss_observability.tracing import TRACEPARENT, Attributes, SpanKind
from dss_process.proxies import ProxyUnusable, proxy_for
from dss_process.version import installed_version

if TYPE_CHECKING:  # importing it takes megabytes and a third of a second
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

log = logging.getLogger(__name__)


def is_configured(environment: Mapping[str, str]) -> bool:
    """True if an environment variable of OpenTelemetry names a collector, and none disables tracing."""
    disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    muted = environment.get("OTEL_TRACES_EXPORTER", "").lower() == "none"
    return any(environment.get(name) for name in ENDPOINTS) and not (disabled or muted)


def start_tracing(
    program: str, instance: str, environment: Mapping[str, str]
) -> Callable[[], None]:
    """Send the later spans of this process to the collector, if one is ``is_configured``; otherwise do nothing.

    If the extra ``tracing`` is not installed, or the collector's address, its proxy or another variable of
    OpenTelemetry cannot be used, only a warning is logged.  Returns a function that sends the remaining spans and ends
    tracing.
    """
    if not is_configured(environment):
        return lambda: None
    setting = next(name for name in ENDPOINTS if environment.get(name))
    if not environment[setting].startswith(("http://", "https://")):
        log.warning("no traces: %s is no address like http://collector:4318", setting)
        return lambda: None
    try:
        proxy_for(environment[setting], environment)
        provider = _provider(program, instance)
    except ProxyUnusable as error:
        log.warning("no traces: the collector's proxy cannot be used", extra={"reason": str(error)})
        return lambda: None
    except ValueError as error:
        log.warning("no traces: OpenTelemetry refuses a variable", extra={"reason": str(error)})
        return lambda: None
    except PackageNotFoundError as error:  # a ModuleNotFoundError, but no missing module
        log.warning("no traces: a version cannot be read", extra={"reason": str(error)})
        return lambda: None
    except ModuleNotFoundError:
        log.warning("no traces: OpenTelemetry is wanted, but the extra 'tracing' is not installed")
        return lambda: None
    # During an outage of the collector, log one line for each lost batch, without a traceback.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
    tracing.set_tracer(_OtelTracer(provider.get_tracer("dss")))
    log.info("traces sent")

    def end() -> None:
        tracing.set_tracer(None)
        provider.shutdown()

    return end


def _provider(program: str, instance: str) -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http import trace_exporter  # noqa: PLC0415 - slow to load
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    who = {
        "service.namespace": "dss",
        "service.name": f"dss-{program}",
        "service.instance.id": instance,
        "service.version": installed_version(program),
    }
    provider = TracerProvider(resource=Resource.create(who), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(trace_exporter.OTLPSpanExporter()))
    return provider


@dataclass(frozen=True)
class _OtelSpan:
    """Implements ``tracing.Span`` with a span of OpenTelemetry."""

    span: "trace.Span"
    traceparent: str

    def note(self, attributes: Attributes) -> None:
        self.span.set_attributes(dict(attributes))

    def end(self, failure: str = "") -> None:
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - loaded long ago

        if failure:
            self.span.set_attribute("error.type", failure)
            self.span.set_status(StatusCode.ERROR)
        self.span.end()


@dataclass(frozen=True)
class _OtelTracer:
    """Implements ``tracing.Tracer`` with a tracer of OpenTelemetry.

    The parent of a span is given by its traceparent, between threads as well as between processes.
    """

    tracer: "trace.Tracer"

    def begin(
        self, name: str, kind: SpanKind, parent: str | None, attributes: Attributes, began_ns: int
    ) -> _OtelSpan:
        from opentelemetry import trace  # noqa: PLC0415 - loaded long ago
        from opentelemetry.context import Context  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        carrier = TraceContextTextMapPropagator()
        above = carrier.extract({TRACEPARENT: parent} if parent else {}, Context())
        span = self.tracer.start_span(
            name,
            context=above,
            kind=trace.SpanKind[kind.value],
            attributes=dict(attributes),
            start_time=began_ns,
        )
        headers: dict[str, str] = {}
        carrier.inject(headers, trace.set_span_in_context(span, Context()))
        return _OtelSpan(span, headers[TRACEPARENT])
