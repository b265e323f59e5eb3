"""The dashboard of the portal: requests of users, and their durations."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dss_dashboards.panels import (
    BYTES,
    COUNT,
    DATE,
    PER_SECOND,
    REQUESTS,
    SECONDS,
    THROUGHPUT,
    Row,
    dashboard,
    graph,
    mean,
    number,
    quantile,
    rate,
    with_rows,
)

_NO_FILES = '{route!~".*(files|attachments).*"}'


_REQUESTS = Row(
    "Requests",
    (
        graph(
            "By status",
            "Requests answered each second, by status; 500 and above are errors of the portal.",
            REQUESTS,
            (rate("dss_http_requests_total", by="status"), "{{status}}"),
            span=12,
        ),
        graph(
            "By route",
            "Requests answered each second, by the rule of their address.",
            REQUESTS,
            (rate("dss_http_requests_total", by="method, route"), "{{method}} {{route}}"),
            span=12,
        ),
        graph(
            "Latency",
            "Time to the head of the answer, files aside: median, 95th and 99th percentile.",
            SECONDS,
            *(
                (quantile(q, "dss_http_request_seconds", _NO_FILES), f"{q:.0%}")
                for q in (0.5, 0.95, 0.99)
            ),
            span=12,
        ),
        graph(
            "Slowest routes",
            "Mean time of the five slowest routes; uploads count until the file is stored.",
            SECONDS,
            (f"topk(5, {mean('dss_http_request_seconds', by='route')})", "{{route}}"),
            span=12,
        ),
    ),
)


_TRAFFIC = Row(
    "Files and users",
    (
        graph(
            "Traffic",
            "Bytes of bodies each second, received (in) and sent (out).",
            THROUGHPUT,
            (rate("dss_http_bytes_total", by="direction"), "{{direction}}"),
        ),
        graph(
            "Uploads",
            "Files that are being received now, over all portals.",
            COUNT,
            ('sum(dss_uploads_in_flight{job="portal"})', "uploads"),
        ),
        graph(
            "Sign-ins",
            "Sign-ins each second by way and outcome; many refused ones may be an attempt to guess tokens.",
            PER_SECOND,
            (rate("dss_sign_ins_total", by="way, outcome"), "{{way}} {{outcome}}"),
        ),
    ),
)


_EVENTS = '{queue="dss.portal.events"}'
_CLAIMS = '{queue="dss.portal.claims"}'

_WORK = Row(
    "Background work",
    (
        graph(
            "Lag of events",
            "Age of progress and results when the portal reads them: median and 90th percentile.",
            SECONDS,
            (quantile(0.5, "dss_message_wait_seconds", _EVENTS), "50%"),
            (quantile(0.9, "dss_message_wait_seconds", _EVENTS), "90%"),
        ),
        graph(
            "Handling",
            "Mean time to handle an event, and to answer a claim.",
            SECONDS,
            (mean("dss_message_handling_seconds", _EVENTS), "event"),
            (mean("dss_message_handling_seconds", _CLAIMS), "claim"),
        ),
        graph(
            "Ticket events",
            "Changes of tickets each second, over all services.",
            PER_SECOND,
            (rate("dss_ticket_events_total", by="event"), "{{event}}"),
        ),
        graph(
            "Outbox",
            "Messages that wait for the broker.",
            COUNT,
            ('max(dss_outbox_messages{job="portal"})', "messages"),
            ('max(dss_outbox_set_aside_messages{job="portal"})', "cannot be sent"),
        ),
        graph(
            "Dead-lettered messages",
            "Messages of the last hour that no program could handle, and about which the portal told the users.",
            COUNT,
            ("sum by (type) (increase(dss_parked_messages_total[1h]))", "{{type}}"),
        ),
        graph(
            "Datastore",
            "Size of the datastore's file system, and what is free.",
            BYTES,
            ("max by (kind) (dss_datastore_bytes)", "{{kind}}"),
        ),
    ),
)


_PROCESS = Row(
    "Processes",
    (
        number(
            "Ready portals",
            "Portals that can do their work.",
            COUNT,
            'sum(dss_ready{job="portal"})',
            span=6,
        ),
        number(
            "Certificates",
            "When the certificates of the portal's address and of the broker expire; none if neither is encrypted.",
            DATE,
            "min by (server) (dss_certificate_expiry_timestamp_seconds) * 1000",
            span=6,
            legend="{{server}}",
        ),
        graph(
            "Processor time",
            "Cores that each portal keeps busy; one is the most that it can.",
            COUNT,
            ('rate(process_cpu_seconds_total{job="portal"}[$__rate_interval])', "{{instance}}"),
            span=6,
        ),
        graph(
            "Memory of the process",
            "Main memory that each portal holds.",
            BYTES,
            ('process_resident_memory_bytes{job="portal"}', "{{instance}}"),
            span=6,
        ),
    ),
)


def portal() -> Dashboard:
    """The dashboard of the portal."""
    board = dashboard(
        "dss-portal", "DSS portal", "Requests, latency and background work of the portals."
    )
    return with_rows(board, _REQUESTS, _TRAFFIC, _WORK, _PROCESS)
