"""What the relay tells Prometheus, in a registry of its own; a destination is named by kind, host and a hash of its address."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class RelayMetrics:
    """All metrics of one relay."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, text: str) -> Counter:
            return Counter(f"nilometer_relay_{name}", text, ("destination",), registry=self.registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"nilometer_relay_{name}", text, ("destination",), registry=self.registry)

        self.forwarded = counter("forwarded_alerts", "Alerts that the destination has taken.")
        self.failed = counter("failed_posts", "Posts that the destination did not take.")
        self.retried = counter("retried_posts", "Posts tried again after a failure.")
        self.dead_lettered = counter("dead_lettered_alerts", "Alerts given up and sent to dead-letters.")
        self.suppressed = counter("suppressed_alerts", "Alerts held back by a suppression or a maintenance window.")
        self.repeated = counter("repeated_alerts", "Alerts left out because they had been heard before.")
        self.open_episodes = gauge("open_episodes", "Episodes that are open.")
        self.last_success = gauge("last_success_timestamp_seconds", "When the destination last took something.")
        self.lag = gauge("lag_records", "Alerts in the topics that are not delivered yet.")
        self.trouble = gauge("failing", "1 while the destination does not take what it is sent.")

    def begin(self, destination: str) -> None:
        """Let every series be there from the start: an absent one alerts nobody."""
        for metric in vars(self).values():
            if isinstance(metric, Counter | Gauge):
                metric.labels(destination)

    def failing(self, destination: str) -> bool:
        """Whether a destination does not take what it is sent."""
        return bool(self.registry.get_sample_value("nilometer_relay_failing", {"destination": destination}))
