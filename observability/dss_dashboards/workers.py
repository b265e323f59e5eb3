"""The dashboard of GPU workers: load, speed and memory."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dss_dashboards.panels import (
    BYTES,
    COUNT,
    PER_SECOND,
    RATIO,
    SECONDS,
    Row,
    dashboard,
    graph,
    mean,
    quantile,
    rate,
    with_rows,
)

_LOAD = Row(
    "Load",
    (
        graph(
            "Busy workers",
            "1 while a worker has a request on its device; all at 1 for long means that more workers are needed.",
            COUNT,
            ('dss_inference_busy{job="inference"}', "{{instance}}"),
            most=1,
        ),
        graph(
            "Requests in progress",
            "Requests on the device or waiting for it, by bundle.",
            COUNT,
            ("sum by (bundle) (dss_inference_requests_in_hand)", "{{bundle}}"),
        ),
        graph(
            "Queue",
            "Requests that wait in RabbitMQ for a worker, by queue.",
            COUNT,
            (
                'sum by (queue) (rabbitmq_detailed_queue_messages_ready{queue=~"dss\\\\.inference\\\\..+"})',
                "{{queue}}",
            ),
        ),
        graph(
            "Wait for a worker",
            "How long requests were under way before a worker took them: 90th percentile, by queue.",
            SECONDS,
            (
                quantile(
                    0.9, "dss_message_wait_seconds", '{queue=~"dss\\\\.inference\\\\..+"}', "queue"
                ),
                "{{queue}}",
            ),
        ),
        graph(
            "Outcomes",
            "How requests ended: cancelled is a withdrawn ticket, put_off is memory or disk that ran short.",
            PER_SECOND,
            (rate("dss_inference_requests_total", by="outcome"), "{{outcome}}"),
        ),
        graph(
            "Memory shortages and failures",
            "In a quarter of an hour: networks run again with less memory, requests put off, requests that failed by an error.",
            COUNT,
            (
                "sum by (device) (increase(dss_inference_memory_retries_total[15m]))",
                "more frugal than {{device}} allowed",
            ),
            (
                'sum by (bundle, outcome) (increase(dss_inference_requests_total{outcome=~"put_off|failed"}[15m]))',
                "{{bundle}} {{outcome}}",
            ),
        ),
    ),
)


_SPEED = Row(
    "Speed",
    (
        graph(
            "Stages",
            "Mean time of each stage of successful requests, by bundle.",
            SECONDS,
            (
                mean("dss_inference_stage_seconds", by="bundle, stage"),
                "{{bundle}} {{stage}}",
            ),
            span=12,
        ),
        graph(
            "Inference time",
            "Mean time on the device of the last half hour, beside that of the day.",
            SECONDS,
            ("bundle:inference_seconds:mean30m", "{{bundle}}, half an hour"),
            ("bundle:inference_seconds:mean1d", "{{bundle}}, a day"),
            span=12,
        ),
        graph(
            "Windows",
            "Windows of images that networks worked on each second, by bundle; bundles by rules have none.",
            PER_SECOND,
            (rate("dss_inference_batch_windows_sum", by="bundle"), "{{bundle}}"),
        ),
        graph(
            "Batch size",
            "Mean number of windows that a network was given at once, by bundle.",
            COUNT,
            (mean("dss_inference_batch_windows", by="bundle"), "{{bundle}}"),
        ),
        graph(
            "Loading of bundles",
            "Time that workers spent on loading each bundle, in an hour.",
            SECONDS,
            (
                "sum by (bundle) (increase(dss_inference_bundle_load_seconds_sum[1h]))",
                "{{bundle}}",
            ),
        ),
        graph(
            "Evicted bundles",
            "Bundles evicted from memory to make room for others, in an hour; many mean that DSS_BUNDLE_BYTES is small.",
            COUNT,
            (
                "sum by (bundle) (increase(dss_inference_bundles_unloaded_total[1h]))",
                "{{bundle}}",
            ),
            span=12,
        ),
        graph(
            "Processor time",
            "Cores that each worker keeps busy.",
            COUNT,
            ('rate(process_cpu_seconds_total{job="inference"}[$__rate_interval])', "{{instance}}"),
            span=12,
        ),
    ),
)


_USED_MEMORY = (
    'dss_gpu_memory_bytes{kind="total"} - ignoring (kind) dss_gpu_memory_bytes{kind="free"}',
    "used at {{instance}}",
)

_DEVICE = Row(
    "Device",
    (
        graph(
            "GPU memory",
            "Memory of the GPU: used by all processes, the most that the worker has held, and the total; 0 on a CPU.",
            BYTES,
            _USED_MEMORY,
            ('dss_gpu_memory_bytes{kind="peak"}', "peak of {{instance}}"),
            ('dss_gpu_memory_bytes{kind="total"}', "all at {{instance}}"),
            span=6,
        ),
        graph(
            "GPU utilisation",
            "Fraction of the time in which the GPU computed for any process; 0 on a CPU.",
            RATIO,
            ('dss_gpu_utilisation_ratio{job="inference"}', "{{instance}}"),
            span=6,
            most=1,
        ),
        graph(
            "Devices",
            "Workers by the device that does their work; cpu where a GPU was expected is a fault.",
            COUNT,
            ("count by (device) (dss_inference_device_info)", "{{device}}"),
            span=6,
        ),
        graph(
            "Memory of the process",
            "Main memory that each worker holds.",
            BYTES,
            ('process_resident_memory_bytes{job="inference"}', "{{instance}}"),
            span=6,
        ),
    ),
)


def workers() -> Dashboard:
    """The dashboard of the inference workers."""
    board = dashboard(
        "dss-workers", "DSS GPU workers", "Load, speed and memory of the inference workers."
    )
    return with_rows(board, _LOAD, _SPEED, _DEVICE)
