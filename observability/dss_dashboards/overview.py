"""The dashboard of the complete site.  It shows whether everything works, and which dashboard has details."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dss_dashboards.panels import (
    BYTES,
    COUNT,
    PER_SECOND,
    SECONDS,
    Row,
    dashboard,
    graph,
    mean,
    number,
    rate,
    with_rows,
)

_NOW = Row(
    "Current state",
    (
        number(
            "Alerts",
            "Alerts that fire; the run-book has a section for each.",
            COUNT,
            'count(ALERTS{alertstate="firing"}) or vector(0)',
            bad_from=1,
        ),
        number(
            "Processes down",
            "Processes that Prometheus cannot reach.",
            COUNT,
            "count(up == 0) or vector(0)",
            bad_from=1,
        ),
        number(
            "Waiting",
            "Tickets that wait for a dispatcher.",
            COUNT,
            'sum(service:tickets:max{status="ready"})',
        ),
        number(
            "In work",
            "Tickets that are claimed.",
            COUNT,
            'sum(service:tickets:max{status="claimed"})',
        ),
        number(
            "Done in an hour",
            "Tickets that succeeded within the last hour.",
            COUNT,
            'sum(increase(dss_tickets_finished_total{outcome="success"}[1h]))',
        ),
        number(
            "Failed in an hour",
            "Tickets that failed or timed out within the last hour.",
            COUNT,
            'sum(increase(dss_tickets_finished_total{outcome=~"failed|timeout"}[1h]))',
            bad_from=1,
        ),
    ),
)


_SLOW = Row(
    "Latency",
    (
        graph(
            "Waiting tickets",
            "How many tickets of each service wait for a dispatcher.",
            COUNT,
            ('service:tickets:max{status="ready"}', "{{service}}"),
        ),
        graph(
            "Longest wait",
            "How long the first ticket of each queue has waited; a straight rise means that no ticket is taken.",
            SECONDS,
            ("service:oldest_waiting_seconds:max", "{{service}}"),
        ),
        graph(
            "Time by stage",
            "Mean time of finished tickets: waiting (queued), being worked on (claimed), in all (total).",
            SECONDS,
            (mean("dss_ticket_stage_seconds", by="stage"), "{{stage}}"),
        ),
        graph(
            "Stages in the dispatcher",
            "Mean time of each stage of a claim; inference includes waiting for a worker.",
            SECONDS,
            (mean("dss_dispatch_stage_seconds", by="stage"), "{{stage}}"),
        ),
        graph(
            "Inference time",
            "Mean time that finished requests took on the device, by bundle.",
            SECONDS,
            ("bundle:inference_seconds:mean30m", "{{bundle}}"),
        ),
        graph(
            "Age of messages",
            "Mean time from sending a message until a consumer receives it, by queue.",
            SECONDS,
            (mean("dss_message_wait_seconds", by="queue"), "{{queue}}"),
        ),
    ),
)


_FAILING = Row(
    "Failures",
    (
        graph(
            "Ends of tickets",
            "Tickets that came to an end each second, by outcome.",
            PER_SECOND,
            (rate("dss_tickets_finished_total", by="service, outcome"), "{{service}} {{outcome}}"),
        ),
        graph(
            "Ends of claims",
            "How the dispatchers' work ended; TicketError is what a user can mend.",
            PER_SECOND,
            (rate("dss_dispatch_tickets_total", by="outcome"), "{{outcome}}"),
        ),
        graph(
            "Ends of requests for inference",
            "How the workers' work ended; put_off is memory or disk that ran short.",
            PER_SECOND,
            (rate("dss_inference_requests_total", by="outcome"), "{{outcome}}"),
        ),
        graph(
            "Lapsed leases",
            "Claims that ended without a sign of life, in each quarter of an hour.",
            COUNT,
            ("sum(increase(dss_leases_lapsed_total[15m]))", "lapsed"),
        ),
        graph(
            "Dead letters",
            "Messages that no program could handle and that wait for an operator.",
            COUNT,
            ('queue:messages:sum{queue="dss.dead"}', "dss.dead"),
        ),
        graph(
            "Retried and redelivered messages",
            "Messages that were put off, and messages that RabbitMQ delivered again because their consumer ended.",
            PER_SECOND,
            (
                rate("dss_message_handling_seconds_count", '{verdict!="Handled"}', "verdict"),
                "{{verdict}}",
            ),
            (rate("dss_messages_redelivered_total"), "redelivered"),
        ),
    ),
)


_PRESENT = Row(
    "Availability",
    (
        graph(
            "Ready processes",
            "Processes that can do their work, by kind; /readyz says what the others lack.",
            COUNT,
            ('sum by (job) (dss_ready{job=~"portal|dispatch|inference"})', "{{job}}"),
        ),
        graph(
            "Silence of services",
            "Time since the last sign of life of a program that takes a service's tickets; after 12 s none counts as alive.",
            SECONDS,
            ("max by (service) (dss_service_silent_seconds)", "{{service}}"),
        ),
        graph(
            "Workers",
            "Inference workers that are alive, by bundle.",
            COUNT,
            ("max by (bundle) (dss_workers)", "{{bundle}}"),
        ),
    ),
)


_ROOM = Row(
    "Capacity",
    (
        graph(
            "Datastore",
            "Size of the datastore's file system, and what is free.",
            BYTES,
            ("max by (kind) (dss_datastore_bytes)", "{{kind}}"),
        ),
        graph(
            "Outbox",
            "Messages in the portal's database that the broker has not taken yet.",
            COUNT,
            ('max(dss_outbox_messages{job="portal"})', "messages"),
        ),
        graph(
            "Age of the outbox",
            "How long the oldest of these messages has waited; more than a few seconds means that the broker is not reachable.",
            SECONDS,
            ('max(dss_outbox_age_seconds{job="portal"})', "oldest"),
        ),
    ),
)


def overview() -> Dashboard:
    """The dashboard of the complete site."""
    board = dashboard(
        "dss-overview",
        "DSS overview",
        "State of the complete site, and which dashboard has details.",
    )
    return with_rows(board, _NOW, _SLOW, _FAILING, _PRESENT, _ROOM)
