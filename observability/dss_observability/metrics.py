"""Every metric of every program.  Base units; no label holds an id."""

from prometheus_client import Counter, Gauge, Histogram

QUICK_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LONG_S = (0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400)

HTTP_REQUESTS = Counter(
    "dss_http_requests_total", "Requests answered by the portal.", ["method", "route", "status"]
)
HTTP_SECONDS = Histogram(
    "dss_http_request_seconds",
    "Time from a request's head to its answer's head.",
    ["route"],
    buckets=QUICK_S,
)
SIGN_INS = Counter("dss_sign_ins_total", "Sign-ins by one-time token.", ["outcome"])
TICKETS = Gauge("dss_tickets", "Tickets that are not deleted.", ["service", "status"])
TICKET_STAGE_SECONDS = Histogram(
    "dss_ticket_stage_seconds",
    "How long finished tickets waited (queued), were worked on (claimed), and took in all (total).",
    ["service", "stage"],
    buckets=LONG_S,
)
LEASES_LAPSED = Counter("dss_leases_lapsed_total", "Claims that ended without a sign of life.")
PARKED = Counter("dss_parked_messages_total", "Messages that nobody could handle.", ["type"])
OUTBOX_MESSAGES = Gauge("dss_outbox_messages", "Messages that wait for the broker.")
OUTBOX_AGE_SECONDS = Gauge("dss_outbox_age_seconds", "Age of the oldest message that waits.")

DISPATCH_IN_HAND = Gauge("dss_dispatch_tickets_in_hand", "Tickets being worked on.", ["service"])
DISPATCH_TICKETS = Counter(
    "dss_dispatch_tickets_total", "Claims that came to an end.", ["service", "outcome"]
)

INFERENCE_REQUESTS = Counter(
    "dss_inference_requests_total", "Requests that a worker has answered.", ["bundle", "outcome"]
)
INFERENCE_STAGE_SECONDS = Histogram(
    "dss_inference_stage_seconds",
    "Wall-clock time of each stage of a successful inference.",
    ["bundle", "stage"],
    buckets=LONG_S,
)
