"""The writer's metrics, declared in one place. The label `shard` is a shard's id: a process serves a bounded number."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from audit_functions.writer.settle import Counts

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_ROWS: Final = (1, 10, 50, 100, 500, 1_000, 2_500, 5_000, 10_000, 20_000)
_OF_SHARD: Final = ("shard",)


class WriterTelemetry:
    """What a writer process counts. One for a process, in a registry of its own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.counters = {
            field: Counter(f"audit_writer_{noun}", text, _OF_SHARD, registry=self.registry)
            for field, noun, text in (
                ("messages", "messages", "Stream messages committed"),
                ("bytes", "messages_bytes", "Bytes of the stream messages committed"),
                ("rows", "rows", "Leaves committed, of every kind"),
                ("duplicates", "duplicates", "Events that repeated an earlier one and left nothing"),
                ("conflicts", "conflicts", "Events that came with the id of an earlier one and other bytes"),
                ("dead_letters", "dead_letters", "Messages and events kept as dead letters"),
                (
                    "repeated_events",
                    "repeated_events",
                    "Events of frames that the stream stored twice, skipped",
                ),
                ("late_frames", "late_frames", "Frames that arrived after they were given up or missed"),
                ("missing_frames", "lost_frames", "Frames found missing"),
                (
                    "foreign_epochs",
                    "foreign_epoch_frames",
                    "Frames that named another epoch than the stream's",
                ),
            )
        }
        self.contradictions = self._counter(
            "watermark_contradictions", "Watermarks whose frame has other bytes in the stream"
        )
        self.fences_lost = self._counter("fences_lost", "Batches that another writer was faster with")
        self.errors = Counter(
            "audit_writer_errors",
            "Turns that ended in an error, by its name",
            ("shard", "error"),
            registry=self.registry,
        )
        self.trimmed = self._counter("trimmed_messages", "Messages purged from the stream")
        self.lag = self._gauge("lag_seconds", "Age of the oldest message that is not committed")
        self.frozen = Gauge(
            "audit_writer_shard_frozen",
            "1 while the shard is frozen, by reason",
            ("shard", "reason"),
            registry=self.registry,
        )
        self.standby = self._gauge("shard_standby", "1 while another writer is at work on the shard")
        self.missing = self._gauge("missing_frames_count", "Frames that were acknowledged and never arrived")
        self.fill = self._gauge("stream_fill_ratio", "Bytes of the stream over its limit")
        self.hours_to_full = self._gauge(
            "stream_full_hours", "Hours until ingest refuses if it goes on like this"
        )
        self.window = self._gauge("stream_window_hours", "Age of the oldest message of the stream")
        self.commit_lag = Histogram(
            "audit_writer_commit_lag_seconds",
            "Time from the stream's timestamp of a batch's last message to its commit",
            _OF_SHARD,
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch_rows = Histogram(
            "audit_writer_batch_rows", "Rows of a commit", _OF_SHARD, buckets=_ROWS, registry=self.registry
        )

    def committed(self, shard_id: str, counts: Counts, lag_seconds: float) -> None:
        """Count one batch."""
        for field, counter in self.counters.items():
            if amount := getattr(counts, field):
                counter.labels(shard_id).inc(amount)
        self.commit_lag.labels(shard_id).observe(max(0.0, lag_seconds))
        self.batch_rows.labels(shard_id).observe(counts.rows)

    def forget(self, shard_id: str) -> None:
        """Show nothing more of a shard that is no longer served."""
        for gauge in (self.lag, self.standby, self.missing, self.fill, self.hours_to_full, self.window):
            if (shard_id,) in gauge._metrics:  # noqa: SLF001 - there is no other way to ask
                gauge.remove(shard_id)
        self.frozen.remove_by_labels({"shard": shard_id})

    def _counter(self, noun: str, text: str) -> Counter:
        return Counter(f"audit_writer_{noun}", text, _OF_SHARD, registry=self.registry)

    def _gauge(self, noun: str, text: str) -> Gauge:
        return Gauge(f"audit_writer_{noun}", text, _OF_SHARD, registry=self.registry)
