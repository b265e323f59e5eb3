"""The dashboard of one service: waiting times of its users by cause, and outcomes of their tickets."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dss_dashboards.panels import (
    COUNT,
    PER_SECOND,
    SECONDS,
    Panel,
    Row,
    choice,
    dashboard,
    graph,
    mean,
    number,
    quantile,
    rate,
    with_rows,
)

_THIS = '{service="$service"}'
_BUNDLE = '{bundle="$bundle"}'


def _stage(name: str) -> str:
    return f'{{service="$service", stage="{name}"}}'


_NOW = Row(
    "Current state",
    (
        number(
            "Waiting",
            "Tickets that wait for a dispatcher.",
            COUNT,
            'sum(service:tickets:max{service="$service", status="ready"})',
        ),
        number(
            "Longest wait",
            "How long the first ticket of the queue has waited.",
            SECONDS,
            f"service:oldest_waiting_seconds:max{_THIS}",
            bad_from=600,
        ),
        number(
            "In work",
            "Tickets that dispatchers are working on.",
            COUNT,
            f"sum(dss_dispatch_tickets_in_hand{_THIS})",
        ),
        number(
            "Silence of the service",
            "Time since the last sign of life of a program that takes the tickets.",
            SECONDS,
            f"max(dss_service_silent_seconds{_THIS})",
            bad_from=12,
        ),
        number(
            "Workers",
            "Workers with the service's bundle that are alive.",
            COUNT,
            f"max(dss_workers{_BUNDLE})",
        ),
        number(
            "Requests in progress",
            "Requests for the bundle that workers have on the device or waiting for it.",
            COUNT,
            f"sum(dss_inference_requests_in_hand{_BUNDLE})",
        ),
    ),
)


def _quantiles(title: str, sentence: str, stage: str) -> Panel:
    lines = [
        (quantile(q, "dss_ticket_stage_seconds", _stage(stage)), f"{q:.0%}") for q in (0.5, 0.9)
    ]
    return graph(title, f"{sentence} Median and 90th percentile.", SECONDS, *lines)


_TIMES = Row(
    "Latency",
    (
        _quantiles("Queue wait", "Time from the submission to the last claim.", "queued"),
        _quantiles("Work", "Time from the last claim to the end.", "claimed"),
        _quantiles("End to end", "Time from the first submission to the end.", "total"),
    ),
)


_QUEUE = '{queue="dss.inference.$bundle"}'

_STAGES = Row(
    "Time by stage",
    (
        graph(
            "Stages of a claim",
            "Mean time of asking for the ticket, reading, inference with its queue, and building.",
            SECONDS,
            (mean("dss_dispatch_stage_seconds", _THIS, "stage"), "{{stage}}"),
        ),
        graph(
            "Queue of inference",
            "Mean time that requests wait before a worker takes them.",
            SECONDS,
            (mean("dss_message_wait_seconds", _QUEUE), "wait"),
        ),
        graph(
            "Stages of inference",
            "Mean time of each stage of the bundle, of successful requests.",
            SECONDS,
            (mean("dss_inference_stage_seconds", _BUNDLE, "stage"), "{{stage}}"),
        ),
    ),
)


_ENDS = Row(
    "Outcomes",
    (
        graph(
            "Tickets by state",
            "Tickets that are not deleted.",
            COUNT,
            (f"service:tickets:max{_THIS}", "{{status}}"),
        ),
        graph(
            "Events",
            "What happens to tickets: claims, ends, retries, lapsed leases.",
            PER_SECOND,
            (rate("dss_ticket_events_total", _THIS, "event"), "{{event}}"),
        ),
        graph(
            "Ends of claims",
            "How the dispatchers' work ended; TicketError is what a user can mend.",
            PER_SECOND,
            (rate("dss_dispatch_tickets_total", _THIS, "outcome"), "{{outcome}}"),
        ),
    ),
)


def service() -> Dashboard:
    """The dashboard of one service, which its user chooses."""
    board = dashboard(
        "dss-service",
        "DSS one service",
        "Latency, stages and outcomes of the tickets of one service.",
    )
    board = board.with_variable(choice("service", "service", "dss_tickets"))
    bundle = f"dss_dispatch_bundle_info{_THIS}"
    board = board.with_variable(choice("bundle", "bundle", bundle))
    return with_rows(board, _NOW, _TIMES, _STAGES, _ENDS)
