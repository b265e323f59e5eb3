"""Every metric name that our programs and RabbitMQ expose, and those that a query asks for."""

import re
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import REGISTRY

import dss_observability.metrics  # noqa: F401 - registers ours

RABBITMQ = Path(__file__).parents[1] / "data" / "rabbitmq_metrics.txt"
"""Names that RabbitMQ 3.10 exposes at /metrics and at /metrics/detailed; a test compares them."""

_SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
    "summary": ("_sum", "_count"),
    "info": ("_info",),
}


def _ours() -> Iterator[str]:
    for metric in REGISTRY.collect():
        yield from (metric.name + suffix for suffix in _SUFFIXES[metric.type])


FAMILIES = {
    *_ours(),
    *RABBITMQ.read_text(encoding="utf-8").split(),
    "up",
    "scrape_duration_seconds",
}

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')
_NOT_NAMES = re.compile(
    r"\{[^}]*\}|\[[^]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"
)
_WORD = re.compile(r"(?<![\w.:$])[a-zA-Z_:][\w:]*")
_OPERATORS = {"and", "or", "unless", "bool", "offset", "by", "on", "ignoring"}


def names_in(query: str) -> set[str]:
    """Names of metrics and of recorded series: all words but labels, functions and operators."""
    bare = _NOT_NAMES.sub("", _STRINGS.sub("", query))
    functions = set(re.findall(r"(\w+)\s*\(", bare))
    return set(_WORD.findall(bare)) - functions - _OPERATORS
