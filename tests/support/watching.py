"""A real Prometheus that looks every second and forgets quickly, and what tests ask it."""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from dss_stack.prometheus import CONFIGURATION, PrometheusServer
from support import loopback
from support.waiting import wait_until

LUNGS = "lung-segmentation"
DISPATCH_QUEUE = f"dss.dispatch.{LUNGS}"

Sending: TypeAlias = Callable[[Path], threading.Thread]
"""Sends a scan; the thread ends with its ticket."""

INTERVAL = "1s"
WINDOW = "10s"
"""Instead of the minutes and hours over which rules look back."""

THRESHOLDS = {
    'process_start_time_seconds{job="dispatch"} > 120': (
        'process_start_time_seconds{job="dispatch"} > 1'
    ),
    "oldest_waiting_seconds:max > 600": "oldest_waiting_seconds:max > 3",
    '(dss_outbox_age_seconds{job="portal"}) > 60': '(dss_outbox_age_seconds{job="portal"}) > 3',
    "service:tickets_failed:increase30m > 2": "service:tickets_failed:increase30m > 0",
    "(increase(rabbitmq_global_messages_redelivered_total[10s])) > 3": (
        "(increase(rabbitmq_global_messages_redelivered_total[10s])) > 0"
    ),
    '{verdict="Postponed"}[10s])) > 10': '{verdict="Postponed"}[10s])) > 0',
    '{outcome="refused"}[10s])) > 300': '{outcome="refused"}[10s])) > 20',
    'changes(process_start_time_seconds{job=~"portal|dispatch|inference"}[10s]) > 3': (
        'changes(process_start_time_seconds{job=~"portal|dispatch|inference"}[1m]) > 0'
    ),
}
"""Numbers that a test would wait for too long, or would have to do too much to reach."""


def quickened(folder: Path) -> Path:
    """The configuration of a site with short times, in ``folder``."""
    (folder / "rules").mkdir(parents=True)
    text = (CONFIGURATION / "prometheus.yml").read_text(encoding="utf-8")
    quick = re.sub(r"(scrape|evaluation)_interval: \w+", rf"\1_interval: {INTERVAL}", text)
    (folder / "prometheus.yml").write_text(quick, encoding="utf-8")
    for file in (CONFIGURATION / "rules").glob("*.yml"):
        (folder / "rules" / file.name).write_text(_quick_rules(file.read_text(encoding="utf-8")))
    return folder


def _quick_rules(text: str) -> str:
    quick = re.sub(r"^ +for: \w+\n", "", text, flags=re.MULTILINE)
    quick = re.sub(r"\[\d+[smhd]\]", f"[{WINDOW}]", quick)
    for slow, fast in THRESHOLDS.items():
        quick = quick.replace(slow, fast)
    return quick


def unused_thresholds() -> list[str]:
    """Those of THRESHOLDS that no rule has any more."""
    rules = [
        re.sub(r"\[\d+[smhd]\]", f"[{WINDOW}]", file.read_text(encoding="utf-8"))
        for file in (CONFIGURATION / "rules").glob("*.yml")
    ]
    return [slow for slow in THRESHOLDS if not any(slow in text for text in rules)]


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Asked of the Prometheus at ``url``, about the stack in ``vhost``.

    One RabbitMQ serves all tests, and tells of a queue for up to two minutes after it was deleted.
    """

    url: str
    vhost: str
    began_s: float
    """Unix time at which the test began."""

    def samples(self, query: str) -> list[dict[str, Any]]:
        """What ``query`` answers now.  Raises AssertionError if Prometheus does not understand it."""
        answer = loopback.get(
            f"{self.url}/api/v1/query", params={"query": query}, timeout=30
        ).json()
        assert answer["status"] == "success", (query, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def number(self, query: str) -> float | None:
        """The only value that ``query`` answers; None for none."""
        found = self.samples(query)
        return float(found[0]["value"][1]) if len(found) == 1 else None

    def has_data(self, query: str) -> bool:
        """True if at least one answer is a number."""
        return any(sample["value"][1] != "NaN" for sample in self.samples(query))

    def firing(self) -> set[tuple[str, str]]:
        """The alerts that fire now, each with what it is about: service, bundle, queue or job."""
        return self._alerts('ALERTS{alertstate="firing"}')

    def fired(self) -> set[tuple[str, str]]:
        """As ``firing``, with those that fired since the test began and have cleared since."""
        since_s = max(1, int(time.time() - self.began_s))
        return self._alerts(f'max_over_time(ALERTS{{alertstate="firing"}}[{since_s}s])')

    def _alerts(self, query: str) -> set[tuple[str, str]]:
        labels = [sample["metric"] for sample in self.samples(query)]
        return {(m["alertname"], _about(m)) for m in labels if m.get("vhost") in {None, self.vhost}}

    def broken_rules(self) -> list[str]:
        """Rules that could not be evaluated, or have not been yet."""
        answer = loopback.get(f"{self.url}/api/v1/rules", timeout=30).json()
        rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
        assert rules
        return [rule["name"] for rule in rules if rule["health"] != "ok"]

    def values(self, label: str, metric: str) -> list[str]:
        """As Grafana fills a variable."""
        answer = loopback.get(
            f"{self.url}/api/v1/label/{label}/values", params={"match[]": metric}, timeout=30
        ).json()
        found: list[str] = answer["data"]
        return found


def _about(labels: dict[str, str]) -> str:
    names = ("queue", "service", "bundle", "job")
    return next((labels[name] for name in names if name in labels), "")


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A Prometheus and what it looks at: host:port of each process of a job."""

    server: PrometheusServer
    targets: dict[str, list[str]]


def fires(watch: Questions, alert: str, about: str, within_s: float = 45) -> None:
    """Wait until ``alert`` has fired since the test began: quick rules clear within seconds."""
    wait_until(lambda: (alert, about) in watch.fired(), within_s, lambda: f"{watch.fired()}")


def clears(watch: Questions, alert: str, about: str, within_s: float = 60) -> None:
    def seen() -> str:
        return f"{watch.firing()} {watch.samples('queue:consumers:sum == 0')} {watch.samples('up')}"

    wait_until(lambda: (alert, about) not in watch.firing(), within_s, seen)
