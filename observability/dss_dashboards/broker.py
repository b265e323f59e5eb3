"""The dashboard of RabbitMQ, from its own metrics, and of the messages between our programs, from our metrics."""

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
    quantile,
    rate,
    with_rows,
)

_LATENCY = "entry_commit|max_commit|commit"
"""Regular expression for the names of the commit latency in RabbitMQ's metrics: ``entry_commit`` until 4.1; from 4.2 on
``max_commit``, of the slowest quorum queue, and ``commit``, of the broker's own data.
"""


_ALARMS = "memory_used_watermark|free_disk_space_watermark|file_descriptor_limit"

_NOW = Row(
    "Current state",
    (
        number(
            "Alarms",
            "RabbitMQ's alarms for memory, disk and file descriptors; it blocks publishers while one holds.",
            COUNT,
            f'sum({{__name__=~"rabbitmq_alarms_({_ALARMS})"}})',
            bad_from=1,
        ),
        number(
            "Dead letters",
            "Messages that no program could handle and that wait for an operator.",
            COUNT,
            'sum(queue:messages:sum{queue="dss.dead"})',
            bad_from=1,
        ),
        number(
            "Waiting messages",
            "Messages in all queues, on their way or not yet acknowledged.",
            COUNT,
            "sum(rabbitmq_queue_messages)",
        ),
        number("Connections", "Connections to RabbitMQ.", COUNT, "sum(rabbitmq_connections)"),
        number("Queues", "Queues of all kinds.", COUNT, "sum(rabbitmq_queues)"),
        number("Consumers", "Consumers of all queues.", COUNT, "sum(rabbitmq_consumers)"),
    ),
)


_QUEUES = Row(
    "Queues",
    (
        graph(
            "Ready messages",
            "Messages that wait for a consumer, by queue.",
            COUNT,
            ("sum by (queue) (rabbitmq_detailed_queue_messages_ready)", "{{queue}}"),
        ),
        graph(
            "Messages being handled",
            "Messages that a consumer has received and not acknowledged, by queue.",
            COUNT,
            ("sum by (queue) (rabbitmq_detailed_queue_messages_unacked)", "{{queue}}"),
        ),
        graph(
            "Consumers by queue",
            "Consumers by queue; a queue of dispatchers, workers or the portal needs at least one.",
            COUNT,
            (
                (
                    'queue:consumers:sum{queue=~"dss\\\\.(portal|dispatch|inference)\\\\..+|dss\\\\.check", '
                    'queue!~"dss\\\\.[a-z]+\\\\.name\\\\..+"}'
                ),
                "{{queue}}",
            ),
        ),
    ),
)


_FLOW = Row(
    "Flow",
    (
        graph(
            "Messages",
            "Messages each second as RabbitMQ counts them: received, confirmed, delivered, acknowledged.",
            PER_SECOND,
            (rate("rabbitmq_global_messages_received_total"), "received"),
            (rate("rabbitmq_global_messages_confirmed_total"), "confirmed"),
            (rate("rabbitmq_global_messages_delivered_total"), "delivered"),
            (rate("rabbitmq_global_messages_acknowledged_total"), "acknowledged"),
        ),
        graph(
            "Unroutable, redelivered, dead-lettered",
            "Messages each second that no queue took, that were delivered again, or that were moved on as dead or delayed.",
            PER_SECOND,
            (rate("rabbitmq_global_messages_unroutable_returned_total"), "no queue, returned"),
            (rate("rabbitmq_global_messages_unroutable_dropped_total"), "no queue, dropped"),
            (rate("rabbitmq_global_messages_redelivered_total"), "came again"),
            (rate("rabbitmq_global_messages_dead_lettered_expired_total"), "delay is over"),
            (
                rate("rabbitmq_global_messages_dead_lettered_delivery_limit_total"),
                "delivery limit",
            ),
        ),
        graph(
            "Commit latency",
            "Time until a quorum queue has written an entry, as RabbitMQ's Raft measures it.",
            SECONDS,
            (
                f'max by (instance) ({{__name__=~"rabbitmq_raft_({_LATENCY})_latency_seconds"}})',
                "{{instance}}",
            ),
        ),
    ),
)


_OURS = Row(
    "Messages of the DSS programs",
    (
        graph(
            "Published",
            "Messages each second that our programs sent, by type.",
            PER_SECOND,
            (rate("dss_messages_published_total", by="type"), "{{type}}"),
        ),
        graph(
            "Confirm time",
            "Time until RabbitMQ has a message safe: median and 99th percentile.",
            SECONDS,
            (quantile(0.5, "dss_message_confirm_seconds"), "50%"),
            (quantile(0.99, "dss_message_confirm_seconds"), "99%"),
        ),
        graph(
            "Delivery delay",
            "Time from sending to reading, 90th percentile, by queue; the clocks of both machines count.",
            SECONDS,
            (quantile(0.9, "dss_message_wait_seconds", by="queue"), "{{queue}}"),
        ),
        graph(
            "Time in handlers",
            "Mean time that a message is worked on, by queue; for dispatchers that is a whole ticket.",
            SECONDS,
            (mean("dss_message_handling_seconds", by="queue"), "{{queue}}"),
        ),
        graph(
            "Handling outcomes",
            "How handling ended: handled, put off, dead-lettered, or given back.",
            PER_SECOND,
            (rate("dss_message_handling_seconds_count", by="verdict"), "{{verdict}}"),
        ),
        graph(
            "Lost connections, refused messages",
            "Connections that ended by themselves and messages that RabbitMQ refused, in a quarter of an hour.",
            COUNT,
            ("sum by (job) (increase(dss_broker_connections_lost_total[15m]))", "lost by {{job}}"),
            ("sum by (job) (increase(dss_messages_refused_total[15m]))", "refused to {{job}}"),
        ),
    ),
)


_NODE = Row(
    "Node",
    (
        graph(
            "Memory",
            "Memory of RabbitMQ, and the limit above which it takes no messages.",
            BYTES,
            ("rabbitmq_process_resident_memory_bytes", "used at {{instance}}"),
            ("rabbitmq_resident_memory_limit_bytes", "limit at {{instance}}"),
        ),
        graph(
            "Disk",
            "Free space on RabbitMQ's disk, and the limit below which it takes no messages.",
            BYTES,
            ("rabbitmq_disk_space_available_bytes", "free at {{instance}}"),
            ("rabbitmq_disk_space_available_limit_bytes", "limit at {{instance}}"),
        ),
        graph(
            "Open files",
            "Files and sockets that RabbitMQ has open, and how many it may.",
            COUNT,
            ("rabbitmq_process_open_fds", "open at {{instance}}"),
            ("rabbitmq_process_max_fds", "limit at {{instance}}"),
        ),
    ),
)


def broker() -> Dashboard:
    """The dashboard of RabbitMQ and of our messages."""
    board = dashboard(
        "dss-broker",
        "DSS broker",
        "RabbitMQ's own metrics, and those of the messages of the DSS programs.",
    )
    return with_rows(board, _NOW, _QUEUES, _FLOW, _OURS, _NODE)
