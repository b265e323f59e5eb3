"""Every metric of every program.  Base units; no label contains an id, a user or a file.

Each process is a target of Prometheus: in a query, sum counters and histograms over the processes of a program.  Gauges
that a portal reads from the database are equal in every portal: take their maximum.  Metrics without labels exist in
every program, with value 0 where they have no meaning: select the program by its job.
"""

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call] # a series for each series, of no use

QUICK_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LONG_S = (0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400)
MESSAGE_S = (0.001, *QUICK_S, 60, 300, 1800, 7200)

READY = Gauge("dss_ready", "1 if the program can do its work, as /readyz says, else 0.")

# Portal: HTTP requests.

HTTP_REQUESTS = Counter(
    "dss_http_requests_total", "Requests answered by the portal.", ["method", "route", "status"]
)
HTTP_ERRORS = Counter(
    "dss_http_errors_total",
    "Requests answered with a status of 500 or more, except those for readiness and liveness.",
)
HTTP_SECONDS = Histogram(
    "dss_http_request_seconds",
    "Time from a request's head to its answer's head; for an upload, until the file is stored.",
    ["route"],
    buckets=QUICK_S,
)
HTTP_BYTES = Counter(
    "dss_http_bytes_total", "Bytes of bodies, received (in) and sent (out).", ["direction"]
)
UPLOADS_IN_FLIGHT = Gauge("dss_uploads_in_flight", "Files that are being received now.")
SIGN_INS = Counter(
    "dss_sign_ins_total",
    "Sign-ins by way (token, issuer, machine) and outcome (accepted, refused).",
    ["way", "outcome"],
)

# Portal: state in the database and the datastore.

TICKETS = Gauge("dss_tickets", "Tickets that are not deleted.", ["service", "status"])
OLDEST_WAITING_SECONDS = Gauge(
    "dss_ticket_oldest_waiting_seconds",
    "How long the first ticket of the queue has waited for a claim; 0 if none waits.",
    ["service"],
)
OUTBOX_MESSAGES = Gauge("dss_outbox_messages", "Messages that wait for the broker.")
OUTBOX_AGE_SECONDS = Gauge("dss_outbox_age_seconds", "Age of the oldest message that waits.")
OUTBOX_SET_ASIDE = Gauge(
    "dss_outbox_set_aside_messages", "Messages that cannot be sent; they wait for an operator."
)
DATASTORE_BYTES = Gauge(
    "dss_datastore_bytes", "Size of the file system of the datastore (total, free).", ["kind"]
)

SERVICE_SILENT_SECONDS = Gauge(
    "dss_service_silent_seconds",
    "Time since the last sign of life of a program that takes the service's tickets; dispatchers announce themselves every 3 s.",
    ["service"],
)
DISPATCHERS = Gauge(
    "dss_dispatchers",
    "Processes that take the service's tickets now; who asks over HTTP counts as one.",
    ["service"],
)
WORKERS = Gauge(
    "dss_workers",
    "Inference workers that have the bundle and are alive: heard within the last 12 s, and not ended.",
    ["bundle"],
)
CERTIFICATE_EXPIRY_SECONDS = Gauge(
    "dss_certificate_expiry_timestamp_seconds",
    "When the certificate of a server expires (portal, at its public address; broker), as Unix time.",
    ["server"],
)

# Portal: outcomes of tickets.

TICKET_EVENTS = Counter(
    "dss_ticket_events_total",
    "What happened to tickets: Submitted, Claimed, Succeeded, Failed, Retried, LeaseLapsed, ...",
    ["service", "event"],
)
TICKETS_FINISHED = Counter(
    "dss_tickets_finished_total",
    "Tickets that came to an end: success, failed, timeout.",
    ["service", "outcome"],
)
TICKET_STAGE_SECONDS = Histogram(
    "dss_ticket_stage_seconds",
    "How long finished tickets waited (queued), were worked on (claimed), and took in all (total).",
    ["service", "stage"],
    buckets=LONG_S,
)
LEASES_LAPSED = Counter("dss_leases_lapsed_total", "Claims that ended without a sign of life.")
TASK_FAILURES = Counter(
    "dss_portal_task_failures_total",
    "Background tasks of the portal that ended unforeseen, and were begun again.",
    ["task"],
)
NOTIFICATIONS = Counter(
    "dss_notifications_total",
    "Tries to tell a user of a ticket's end, by kind (mail, webhook, ntfy): sent, failed, set_aside (given up).",
    ["kind", "outcome"],
)
NOTIFICATIONS_WAITING = Gauge(
    "dss_notifications_waiting", "Notifications that wait to be sent.", ["kind"]
)
NOTIFICATION_AGE_SECONDS = Gauge(
    "dss_notification_age_seconds",
    "Age of the oldest notification that waits; 0 if none.",
    ["kind"],
)
PARKED = Counter("dss_parked_messages_total", "Messages that no program could handle.", ["type"])

# Dispatchers.

DISPATCH_IN_HAND = Gauge("dss_dispatch_tickets_in_hand", "Tickets being worked on.", ["service"])
DISPATCH_TICKETS = Counter(
    "dss_dispatch_tickets_total",
    "Claims that ended: success, the name of a handled error, or unexpected.",
    ["service", "outcome"],
)
DISPATCH_BUNDLE_INFO = Gauge(
    "dss_dispatch_bundle_info",
    "1 for the bundle that a service asks for inference.",
    ["service", "bundle"],
)
DISPATCH_STAGE_SECONDS = Histogram(
    "dss_dispatch_stage_seconds",
    "Time of each stage that came to its end: claim, read, inference (waiting included), build.",
    ["service", "stage"],
    buckets=LONG_S,
)

# Inference workers.

INFERENCE_BUSY = Gauge("dss_inference_busy", "1 while a request is on the device, else 0.")
INFERENCE_IN_HAND = Gauge(
    "dss_inference_requests_in_hand", "Requests on the device or waiting for it.", ["bundle"]
)
INFERENCE_REQUESTS = Counter(
    "dss_inference_requests_total",
    "Requests by how they ended: finished, repeated (known already), refused (the user can mend it), "
    "cancelled (ticket withdrawn), put_off (memory or disk was short), failed (not foreseen).",
    ["bundle", "outcome"],
)
INFERENCE_STAGE_SECONDS = Histogram(
    "dss_inference_stage_seconds",
    "Wall-clock time of each stage of a successful inference.",
    ["bundle", "stage"],
    buckets=LONG_S,
)
INFERENCE_BATCH_WINDOWS = Histogram(
    "dss_inference_batch_windows",
    "Windows of an image that a network was given at once; their sum is all windows.",
    ["bundle"],
    buckets=(1, 2, 4, 8, 16, 32, 64),
)
BUNDLE_LOAD_SECONDS = Histogram(
    "dss_inference_bundle_load_seconds",
    "Time to load a bundle, its network and weights included.",
    ["bundle"],
    buckets=(0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
BUNDLES_UNLOADED = Counter(
    "dss_inference_bundles_unloaded_total",
    "Times that a bundle was let go because others needed its memory.",
    ["bundle"],
)
MEMORY_RETRIES = Counter(
    "dss_inference_memory_retries_total",
    "Times that a network ran out of memory on a device (cuda, cpu); it is tried more frugally then.",
    ["device"],
)
DEVICE_INFO = Gauge("dss_inference_device_info", "1 for the device that does the work.", ["device"])
GPU_MEMORY_BYTES = Gauge(
    "dss_gpu_memory_bytes",
    "Memory of the GPU: total, free (by the driver), peak (most that this process has held); 0 on a CPU.",
    ["kind"],
)
GPU_UTILISATION = Gauge(
    "dss_gpu_utilisation_ratio",
    "Fraction of the last second (or less) in which the GPU computed for any process, 0..1; 0 on a CPU.",
)

# Messages, in every program.

BROKER_CONNECTED = Gauge("dss_broker_connected", "1 while messages can be published, else 0.")
BROKER_LOST = Counter("dss_broker_connections_lost_total", "Connections that ended by themselves.")
MESSAGES_PUBLISHED = Counter(
    "dss_messages_published_total",
    "Messages by how publishing ended: confirmed, unroutable, refused.",
    ["type", "outcome"],
)
MESSAGES_REFUSED = Counter(
    "dss_messages_refused_total", "Times that the broker did not take a message; it is sent again."
)
CONFIRM_SECONDS = Histogram(
    "dss_message_confirm_seconds",
    "Time until the broker has a message safe, its own absence included.",
    buckets=QUICK_S,
)
MESSAGE_WAIT_SECONDS = Histogram(
    "dss_message_wait_seconds",
    "Age of a message when its handler begins, by the clocks of both machines; first tries only.",
    ["queue"],
    buckets=MESSAGE_S,
)
MESSAGE_SECONDS = Histogram(
    "dss_message_handling_seconds",
    "Time in a handler, by what became of the message: Handled, Postponed, Parked, Returned.",
    ["queue", "verdict"],
    buckets=MESSAGE_S,
)
MESSAGES_REDELIVERED = Counter(
    "dss_messages_redelivered_total",
    "Messages that RabbitMQ delivered again: their earlier reader died, stopped or lost its connection, or handed them back.",
    ["queue"],
)
